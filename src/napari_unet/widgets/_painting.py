"""From painting to the job: waits for the stroke's end, copies, counts, passes on."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.errors import NapariUnetError
from napari_unet.jobs import JobEvent
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._classes import ClassList, Counted, Painted, count_job
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._snapshot import class_names_of

__all__ = ["Painting"]

PAINT_DELAY_MS = 200
"""After a stroke ends: short enough to feel instant, long enough to bundle events."""


class Painting(QObject):
    """Watches annotations; what napari reports only says that something may differ.

    Undo, redo, scripts and other plugins change a layer without a painting event, so
    the layer is compared with the last copy (1 ms for 2048 x 2048 px of uint8).

    Signals
    -------
    copied : AnnotatedImage whose ``copy`` is new
    refused : one sentence, why an annotation cannot be used
    failed : exception that ended the counting
    """

    copied = Signal(object)
    refused = Signal(str)
    failed = Signal(object)

    def __init__(
        self, book: ImageBook, classes: ClassList, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._book = book
        self._classes = classes
        self._changed: set[str] = set()
        self._uncounted: dict[str, Painted] = {}
        self._counter = Bridge(self)
        self._counter.received.connect(self._on_counted)
        self._counter.finished.connect(self._count)
        self._counter.failed.connect(self.failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAINT_DELAY_MS)
        self._timer.timeout.connect(self.take)
        book.painted.connect(self._on_painted)
        book.changing.connect(self.take)
        book.removed.connect(self._on_removed)

    def take(self) -> None:
        """Copy every annotation that changed, now."""
        self._timer.stop()
        keys, self._changed = self._changed, set()
        for key in keys:
            entry = self._book.get(key)
            if entry is not None:
                self._take(entry)

    def stop(self) -> None:
        """Stop waiting and counting; what was not copied yet is copied on the next."""
        self._timer.stop()
        self._counter.stop()

    def _take(self, entry: AnnotatedImage) -> None:
        try:
            is_new = entry.take_copy()
        except NapariUnetError as error:
            self.refused.emit(str(error))
            return
        if not is_new or entry.copy is None:
            return
        if entry.annotation is not None and entry.mode == "strokes":
            self._classes.rename_all(class_names_of(entry.annotation))
        if entry.copy.any() or entry.complete is not None:
            painted = Painted(entry.copy, entry.mode, entry.complete)
            self._uncounted[entry.key] = painted
            self._count()
        else:
            self._uncounted.pop(entry.key, None)
            self._classes.drop_counts(entry.key)
        self.copied.emit(entry)

    def _count(self, _result: Any = None) -> None:
        """Count on a worker: labelling a large plane takes longer than a frame."""
        if self._uncounted and not self._counter.is_running:
            waiting, self._uncounted = self._uncounted, {}
            self._counter.start(lambda token: count_job(token, waiting))

    def _on_counted(self, event: JobEvent) -> None:
        if isinstance(event, Counted) and self._book.get(event.key) is not None:
            self._classes.set_counts(event)

    def _on_painted(self, key: str) -> None:
        self._changed.add(key)
        if not self._timer.isActive():
            self._timer.start()

    def _on_removed(self, key: str) -> None:
        self._changed.discard(key)
        self._uncounted.pop(key, None)
        self._classes.drop_counts(key)
