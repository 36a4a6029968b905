"""Learns from all annotated images of a project, also from those not in the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.jobs import JobEvent
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._live import LiveLoop
from napari_unet.widgets._project import ProjectKeeper

if TYPE_CHECKING:
    from napari_unet.widgets._project_reading import (
        ImageRead,
        ImageUnread,
        ReadingBudget,
    )

__all__ = ["OtherImages"]

_MAX_NAMES = 5  # in a sentence


class OtherImages(QObject):
    """Tells the live loop the images of a project that the viewer does not tell.

    What is wanted follows from the project and the viewer; whenever one of them
    changes, what is told is made to agree. The viewer's own images have keys of their
    own, so that none is told twice.

    Signals
    -------
    said : (sentence, level)
    told : an image is learned from now, or no more
    """

    said = Signal(str, str)
    told = Signal()

    def __init__(
        self,
        keeper: ProjectKeeper,
        book: ImageBook,
        live: LiveLoop,
        classes: ClassList,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.keeper, self.book, self._live = keeper, book, live
        self._classes = classes
        self._mode = book.mode
        self._told: set[int] = set()
        self._asked: set[int] = set()
        self._unread: dict[int, ImageUnread] = {}
        self._budget: ReadingBudget | None = None
        self._warning = ""  # what was said last
        self._timer = QTimer(self)  # all changes of a moment are one
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._agree)
        book.changed.connect(self._on_book)
        keeper.opened.connect(self._on_opened)
        keeper.heard.connect(self._hear)

    @property
    def n_told(self) -> int:
        """How many images are learned from without being in the viewer."""
        return len(self._told)

    def take_over(self, entry: AnnotatedImage, number: int) -> None:
        """Go on learning from an image that is about to leave the viewer."""
        if entry.copy is None or not (entry.copy.any() or entry.complete is not None):
            return
        from napari_unet.widgets._project_reading import held_bytes, key_of

        key = key_of(number)
        self._memory().note(number, held_bytes(entry.channels.pixels))
        self._live.annotate(
            key,
            entry.channels.pixels,
            entry.copy,
            entry.channels.axes,
            entry.complete,
            entry.scale,
        )
        self._classes.copy_counts(entry.key, key)
        self._told.add(number)

    def _agree(self) -> None:
        """Forget what is not wanted any more, and ask for what is not told yet."""
        wanted = self._wanted()
        for number in self._told - wanted:
            self._forget(number)
        for number in self._unread.keys() - wanted:  # it may be read the next time
            del self._unread[number]
        from napari_unet.widgets._project_reading import read_image

        budget = self._memory()
        for number in sorted(wanted - self._told - self._asked - set(self._unread)):
            self._asked.add(number)
            job = partial(read_image, number=number, mode=self._mode, budget=budget)
            self.keeper.do(job, is_urgent=False)

    def _memory(self) -> ReadingBudget:
        if self._budget is None:
            from napari_unet.widgets._project_reading import ReadingBudget

            self._budget = ReadingBudget()
        return self._budget

    def _wanted(self) -> set[int]:
        """Return the annotated images of the project that the viewer has not."""
        project = self.keeper.project
        if project is None or not self.keeper.is_named:
            return set()
        here = {self.keeper.number_of(entry) for entry in self.book}
        annotated = {i.number for i in project.images if self._mode in i.annotation}
        return annotated - here

    def _forget(self, number: int) -> None:
        from napari_unet.widgets._project_reading import key_of

        self._told.discard(number)
        self._memory().give_back(number)
        too_large = [n for n, event in self._unread.items() if event.is_too_large]
        for other in too_large:  # there may be room now
            del self._unread[other]
        self._live.forget(key_of(number))
        self._classes.drop_counts(key_of(number))
        self.told.emit()

    def _forget_all(self) -> None:
        for number in list(self._told):
            self._forget(number)
        self._asked.clear()
        self._unread.clear()
        self._budget = None  # with what is being read now, which comes to nothing
        self._warning = ""

    def _on_book(self) -> None:
        if self.book.mode != self._mode:  # the loop is told of it after this
            self._mode = self.book.mode
            self._forget_all()
        self._timer.start()

    def _on_opened(self, _project: object) -> None:
        self._forget_all()
        self._timer.start()

    def _hear(self, event: JobEvent) -> None:
        from napari_unet.widgets import _desk_events as of_desk
        from napari_unet.widgets import _project_reading as of_reading
        from napari_unet.widgets._project_actions import Did

        match event:
            case of_reading.ImageRead():
                self._tell(event)
            case of_reading.ImageUnread() if event.mode == self._mode:
                self._asked.discard(event.number)
                self._unread[event.number] = event
            case of_desk.Saved() | of_desk.Recognised() | of_desk.ProjectClosed():
                self._timer.start()
                return
            case Did():  # it may be there now
                self._unread.clear()
                self._warning = ""
                self._timer.start()
                return
            case _:
                return
        if not self._asked:
            self._warn()

    def _warn(self) -> None:
        """Say once which images are not learned from."""
        text = _unread_text(list(self._unread.values()))
        if text and text != self._warning:
            self.said.emit(text, "warning")
        self._warning = text

    def _tell(self, event: ImageRead) -> None:
        """Learn from an image, unless it was opened or given up meanwhile."""
        from napari_unet.widgets._project_reading import key_of

        if event.mode != self._mode:
            return
        self._asked.discard(event.number)
        if event.number not in self._wanted():
            self._memory().give_back(event.number)
            return
        key = key_of(event.number)
        self._told.add(event.number)
        self._classes.set_counts(event.counted)
        self._live.annotate(
            key, event.pixels, event.labels, event.axes, event.complete, event.scale
        )
        self.told.emit()


def _unread_text(unread: Sequence[ImageUnread]) -> str:
    """Say which images are not learned from: one sentence for each reason."""
    sentences = []
    reasons = [event.why for event in unread if event.why]
    if len(reasons) == 1:
        sentences = [f"One annotated image is not learned from: {reasons[0]}."]
    elif reasons:
        sentences = [
            f"{len(reasons)} annotated images are not learned from now, because they "
            f"are missing or cannot be read; the first: {reasons[0]}."
        ]
    names = [f"'{event.name}'" for event in unread if event.is_too_large]
    if names:
        shown, n_more = names[:_MAX_NAMES], len(names) - _MAX_NAMES
        more = f" and {n_more} more" if n_more > 0 else ""
        until = "it is" if len(names) == 1 else "they are"
        sentences.append(
            f"Not learned from until {until} opened, because memory is short: "
            f"{', '.join(shown)}{more}."
        )
    return " ".join(sentences)
