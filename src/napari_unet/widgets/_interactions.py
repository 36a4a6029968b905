"""The log of interactions: when somebody paints, learns, predicts, accepts.

Off unless it is switched on; it lies in the project folder and is sent nowhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from napari_unet.jobs import JobEvent, LearningChanged, WholeEnded
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._project import ProjectKeeper

if TYPE_CHECKING:
    from napari_unet.project import Project

__all__ = ["InteractionLog"]

Line = dict[str, Any]


class InteractionLog(QObject):
    """Notes times in lines of JSON, while it is on."""

    def __init__(
        self, book: ImageBook, keeper: ProjectKeeper, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._book, self._keeper = book, keeper
        self.is_on = False
        self._release: Callable[[], None] | None = None
        self._followed: Labels | None = None
        self._started_s: float | None = None
        self._done: set[int] | None = None
        self._unsaved: list[Line] = []
        self._timer = QTimer(self)  # napari tells of a step before it draws it
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._forget_start)
        keeper.opened.connect(self._on_opened)
        book.changed.connect(self._follow)
        keeper.changed.connect(self._on_project)

    def set_on(self, is_on: bool) -> None:
        """Begin to note, or end it; what was noted stays."""
        if is_on == self.is_on:
            return
        self.is_on = is_on
        self._done = None
        self._follow()
        self._on_project()

    def hear(self, event: JobEvent) -> None:
        """Note what the job did."""
        if isinstance(event, LearningChanged):
            self._note("learn" if event.is_learning else "pause")
        elif isinstance(event, WholeEnded) and event.is_done:
            self._note("predict")

    def stop(self) -> None:
        """Listen to no layer any more."""
        if self._release is not None:
            self._release()
        self._release = self._followed = None
        self._forget_start()

    def _follow(self) -> None:
        """Listen to the strokes of the current image."""
        entry = self._book.current
        layer = None if entry is None else entry.annotation
        if not self.is_on or layer is None:
            self.stop()
            return
        if self._followed is layer:
            return
        self.stop()
        begins, ends = layer.events.labels_update, layer.events.paint
        begins.connect(self._begin)
        ends.connect(self._end)
        self._followed = layer

        def release() -> None:
            begins.disconnect(self._begin)
            ends.disconnect(self._end)

        self._release = release

    def _begin(self, _event: Any = None) -> None:
        if self._started_s is None:
            self._started_s = time.time()

    def _end(self, _event: Any = None) -> None:
        start, self._started_s = self._started_s, None
        now = time.time()
        self._timer.start()
        self._note("paint", start=round(start or now, 2), end=round(now, 2))

    def _forget_start(self) -> None:
        """Let what a step draws after its end begin no other one."""
        self._started_s = None

    def _note(self, what: str, **more: float) -> None:
        if not self.is_on:
            return
        entry = self._book.current
        line: Line = {"time": round(time.time(), 2), "event": what}
        if entry is not None:
            line["image"] = str(entry.image.name)
            line["number"] = self._keeper.number_of(entry)
        self._unsaved.append({**line, **more})
        self._save()

    def _save(self) -> None:
        project = self._keeper.project
        if self._unsaved and project is not None:
            lines, self._unsaved = self._unsaved, []
            job = partial(_add, lines=lines)
            self._keeper.ask(lambda desk: desk.wherever(project, job))

    def _on_opened(self, _project: Project, is_same_work: bool) -> None:
        if not is_same_work:
            self._unsaved = []  # of other images than the project's

    def _on_project(self) -> None:
        """Note which images were accepted, that is, said to be done."""
        project = self._keeper.project
        if not self.is_on or project is None:
            return
        self._save()
        done = {image.number for image in project.images if image.is_done}
        if self._done is not None:
            for number in sorted(done - self._done):
                line = {"time": round(time.time(), 2), "event": "accept"}
                self._unsaved.append({**line, "number": number})
        self._done = done
        self._save()


def _add(
    project: Project, lines: Sequence[Mapping[str, Any]]
) -> Generator[JobEvent, None, None]:
    from napari_unet.project.notes import INTERACTIONS, add_lines

    yield from ()
    add_lines(project.folder / INTERACTIONS, lines)
