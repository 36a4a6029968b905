"""Keeps what is painted on disk, with or without a project that somebody made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari.layers import Labels
from platformdirs import user_data_path
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode, LearnerConfig
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import JobEvent, Notice
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._image_facts import facts_of
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._layers import ROLE
from napari_unet.widgets._notify import notify
from napari_unet.widgets._restore import restore_annotation
from napari_unet.widgets._snapshot import snapshot

if TYPE_CHECKING:
    from napari_unet.project import Project
    from napari_unet.project.recovery import Unsaved
    from napari_unet.widgets._desk import Desk, DeskJob

__all__ = ["ProjectKeeper", "unsaved_place"]

RETRY_MS = 5_000
"""After a save that failed: long enough to free some space, short beside a crash."""


def unsaved_place() -> Path:
    """Return the folder for what is painted without a project."""
    return user_data_path("napari-unet", appauthor=False) / "unsaved"


class ProjectKeeper(QObject):
    """The project of one viewer; autosaves, restores, and says how it stands.

    Signals
    -------
    changed : another project, another image in it, saved or not
    leaving : the open project is about to be left
    opened : (Project that a person opened or made, whether of what is open)
    heard : JobEvent of the worker, after it was heeded here
    said : (sentence, level)
    """

    changed = Signal()
    leaving = Signal()
    opened = Signal(object, bool)
    heard = Signal(object)
    said = Signal(str, str)

    def __init__(
        self, book: ImageBook, classes: ClassList, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._book, self._classes = book, classes
        self._desk_or_none: Desk | None = None
        self.project: Project | None = None
        self.is_named = False
        self.saved_s: float | None = None
        """When the last stroke came to the disk (monotonic); None: none did."""
        self.problem = ""
        """Why what is painted is not on the disk."""
        self.offer: tuple[str, Unsaved] | None = None
        """What was painted on an image before, without a project."""
        self._seen: WeakSet[Labels] = WeakSet()
        self._is_shut = False
        self._bridge = Bridge(self)
        self._bridge.received.connect(self._on_received)
        self._bridge.failed.connect(self._on_failed)
        self._bridge.finished.connect(self._on_finished)
        self._has_new = False
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.setInterval(RETRY_MS)
        self._retry.timeout.connect(self._work)
        book.entered.connect(self.look)
        book.leaving.connect(self._keep_last)

    @property
    def _desk(self) -> Desk:
        if self._desk_or_none is None:
            from napari_unet.widgets._desk import Desk

            self._desk_or_none = Desk(unsaved_place())
        return self._desk_or_none

    @property
    def has_unsaved(self) -> bool:
        """Whether something that was painted is not on the disk yet."""
        return self._desk_or_none is not None and self._desk.has_unsaved

    def number_of(self, entry: AnnotatedImage) -> int | None:
        """Return the number that an image has in the project."""
        return self._desk.number_of(entry.key)

    # --- what a person can ask for ---------------------------------------------------

    def open(self, folder: str | Path) -> None:
        """Open a project; the one that is open is closed, with all in it saved."""
        self.leaving.emit()
        self._ask(partial(self._desk.open, Path(folder)))

    def create(self, folder: str | Path) -> None:
        """Make a project of what is open; what was painted without one goes along."""
        self._ask(partial(self._desk.create, Path(folder)))

    def close(self) -> None:
        """Close the project."""
        self.leaving.emit()
        self._ask(self._desk.close)

    def do(self, job: DeskJob, *, is_urgent: bool = True) -> None:
        """Do something with the open project on the worker; see `heard`."""
        project = self.project
        if project is not None:
            request = partial(self._desk.on, project, job)
            self._desk.ask(request, is_urgent=is_urgent)
            self._work()

    def ask(self, make: Callable[[Desk], Any]) -> None:
        """Do something on the worker that needs no open project."""
        self._ask(partial(make, self._desk))

    def bring_back(self) -> None:
        """Take up what was painted on an image before, without a project."""
        if self.offer is not None:
            _, unsaved = self.offer
            self.offer = None
            self.open(unsaved.folder)

    def dismiss(self) -> None:
        """Offer it no more."""
        if self.offer is not None:
            try:
                self.offer[1].dismiss()
            except OSError as error:
                self.said.emit(f"It will be offered again: {error.strerror}.", "info")
            self.offer = None
            self.changed.emit()

    # --- what happens in the viewer --------------------------------------------------

    def look(self, entry: AnnotatedImage) -> None:
        """See whether an image is known, and bring its annotation back."""
        self._ask(partial(self._desk.look, facts_of(entry, self._book)))

    def save(self, entry: AnnotatedImage, *, is_correction: bool = False) -> None:
        """Keep what is painted on an image."""
        if entry.annotation is None or entry.copy is None:
            return
        if self._is_worth_keeping(entry.annotation, entry.copy):
            self._put(entry, entry.copy, is_correction)
            self._retry.stop()  # what failed for one image must not keep another
            self._work()

    def describe(self, mode: AnnotationMode, learner: LearnerConfig) -> None:
        """Keep mode, settings and classes with the project."""
        from napari_unet.project import ClassEntry

        classes = tuple(
            ClassEntry(value=c.value, name=c.name[:500], colour=c.colour[:7])
            for c in self._classes
        )
        changes: dict[str, Any] = {"mode": mode, "learner": learner}
        if mode == "strokes":
            changes["classes"] = classes
        self._desk.description.update(changes)  # one that begins later begins with it
        if self.project is not None and not self._is_shut:
            self.note(self.project, **changes)

    def note(self, project: Project, **changes: Any) -> None:
        """Change fields of a project's record, where they differ."""
        self._ask(partial(self._desk.describe, project, changes))

    def keep_round(
        self, project: Project, pending: Path, facts: dict[str, Any]
    ) -> None:
        """Make a model that was written the newest round of its project."""
        self._ask(partial(self._desk.keep_round, project, pending, facts))

    def expect(self, key: str, number: int) -> None:
        """Note which image of the project an image of the viewer is that comes now."""
        if self.project is not None:
            self._desk.expect(self.project, key, number)

    def write_anew_if_gone(self) -> None:
        """Save once more what is painted, where somebody deleted the project's folder.

        The project still has all that was in it.
        """
        if self.project is None or self.project.is_there:
            return
        for entry in self._book:
            if entry.annotation is not None and entry.copy is not None:
                self._put(entry, entry.copy, False)
        self._work()

    def flush(self, timeout_s: float = 20.0) -> bool:
        """Save what is painted and wait for it; return whether all is on the disk.

        Also strokes that nobody copied yet. For the ways out, when events are no longer
        heard.
        """
        if self._desk_or_none is None:
            return True
        self._retry.stop()
        self.write_anew_if_gone()
        for entry in self._book:
            self._put_newest(entry)
        self._stop(timeout_s)
        if self._desk.has_unsaved:
            self._bridge.start(self._desk.run)
            self._stop(timeout_s)
        return not self._desk.has_unsaved

    def _stop(self, timeout_s: float) -> None:
        """End the worker, and hear which project is open by now."""
        from napari_unet.widgets import _desk

        self._bridge.stop(timeout_s)
        for event in self._bridge.left_over():
            match event:
                case _desk.ProjectOpened():
                    self.project, self.is_named = event.project, event.is_named
                case _desk.ProjectBegun():
                    self.project, self.is_named = event.project, False
                case _desk.ProjectClosed():
                    self.project, self.is_named = None, False
        self.changed.emit()

    def shut(self) -> None:
        """Let go of the project: the viewer closed."""
        self._is_shut = True  # late counts would open it once more, and lock it
        self._bridge.stop()
        if self._desk_or_none is not None:
            self._desk.shut()

    # --- inside ----------------------------------------------------------------------

    def _put(self, entry: AnnotatedImage, labels: Any, is_correction: bool) -> None:
        from napari_unet.widgets._desk import Work

        assert entry.annotation is not None
        self._has_new = True
        of_objects = entry.mode == "objects"
        self._desk.save(
            Work(
                facts_of(entry, self._book),
                str(entry.annotation.unique_id),
                entry.mode,
                labels,
                complete=entry.complete if of_objects else None,
                outlines=entry.regions.outlines() if of_objects else (),
                is_correction=is_correction,
                project=self.project,
            )
        )

    def _put_newest(self, entry: AnnotatedImage) -> None:
        """Keep strokes that nobody copied yet."""
        if entry.annotation is None:
            return
        try:
            labels = snapshot(entry.annotation, entry.copy, entry.mode)
        except NapariUnetError:
            return  # the dock has said why
        if labels is not None and (entry.copy is not None or labels.any()):
            self._put(entry, labels, False)

    def _keep_last(self, entry: AnnotatedImage) -> None:
        """Keep the last stroke of layers that go, as all do when a viewer closes."""
        if self.project is not None:
            self.write_anew_if_gone()
            self._put_newest(entry)
            self._work()

    def _is_worth_keeping(self, layer: Labels, labels: TiledLabels) -> bool:
        """Whether a person did something: not of an empty layer, nor of a sample's."""
        is_first = layer not in self._seen
        self._seen.add(layer)
        is_sample = f"{ROLE} classes" in layer.metadata
        return not is_first or (labels.any() and not is_sample) or self.is_named

    def _ask(self, request: Any) -> None:
        self._desk.ask(request)
        self._work()

    def _work(self) -> None:
        is_waiting = self._bridge.is_running or self._retry.isActive()
        if not is_waiting and not self._desk.is_idle:
            self._has_new = False
            self._bridge.start(self._desk.run)

    def _on_received(self, event: JobEvent) -> None:
        from napari_unet.widgets import _desk

        match event:
            case _desk.ProjectOpened():
                self.project, self.is_named = event.project, event.is_named
                self.offer = None
                self.opened.emit(event.project, event.is_same_work)
                for entry in self._book:
                    self.look(entry)
                    if event.is_same_work and entry.copy is not None:
                        self.save(entry)
            case _desk.ProjectBegun():
                self.project, self.is_named = event.project, False
            case _desk.ProjectClosed():
                self.project, self.is_named, self.saved_s = None, False, None
            case _desk.Saved():
                self.saved_s, self.problem = event.time_s, ""
            case _desk.Recognised():
                self._restore(event)
            case _desk.Recoverable():
                known = self._book.get(event.key)
                if known is not None and known.annotation is None:
                    self.offer = event.key, event.unsaved
            case Notice():
                self.said.emit(event.message, event.level)
        self.heard.emit(event)
        self.changed.emit()

    def _restore(self, event: Any) -> None:
        """Bring back what is painted on an image, as layers."""
        entry = self._book.get(event.key)
        if entry is None:
            return
        for kept in event.painted:
            layer = restore_annotation(
                self._book, entry, kept.mode, kept.labels, kept.outlines
            )
            self._desk.bind(event.project, str(layer.unique_id), kept.name)
            if not layer.visible and kept.mode == entry.mode:
                self.said.emit(
                    f"'{layer.name}' has what was painted on this image before: "
                    "choose it as the annotation to go on with it.",
                    "warning",
                )

    def _on_failed(self, error: BaseException) -> None:
        """Say that it is not on the disk; it is tried again, and nothing is lost."""
        text = str(error) if isinstance(error, NapariUnetError) else repr(error)
        if not self.problem:
            notify(f"Not saved: {text}. It is tried again until it works.")
        self.problem = text
        if self._has_new:  # which must not wait for what failed
            self._work()
        else:
            self._retry.start()
        self.changed.emit()

    def _on_finished(self, _result: object) -> None:
        self._work()  # what came while it ended
        self.changed.emit()
