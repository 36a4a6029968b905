"""Objects in place of classes in the overlay: each in a colour of its own."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.config import InstanceConfig
from napari_unet.jobs import ObjectsFound
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._overlay import Overlay

__all__ = ["ObjectsView"]

SETTLE_MS = 250
"""A slider that is dragged asks once, where it rests."""


class ObjectsView(QObject):
    """Whether objects are shown, how they are cut apart, and their layers.

    Signals
    -------
    changed : shown or not, or other settings
    wanted : InstanceConfig for the job, or None where classes are shown
    """

    changed = Signal()
    wanted = Signal(object)

    def __init__(
        self, book: ImageBook, overlay: Overlay, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._book, self._overlay = book, overlay
        self.is_on = False
        self.settings = InstanceConfig()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(SETTLE_MS)
        self._timer.timeout.connect(self._ask)
        self._hidden: WeakSet[Any] = WeakSet()
        book.changed.connect(self._on_book_changed)
        # made anew in the middle of a removal, a layer crashes napari's drawing
        book.objects_removed.connect(lambda: self.set_on(False))

    def set_on(self, is_on: bool) -> None:
        """Show objects, or classes."""
        if is_on == self.is_on:
            return
        self.is_on = is_on
        self._hidden.clear()
        for entry in self._book:
            self._dress(entry)
            for layer in entry.predicted:
                layer.visible = (layer is entry.objects) == is_on
        self._ask()
        self.changed.emit()

    def set_strength(self, strength: float) -> None:
        """Set how readily touching objects are split, 0 (never) to 1."""
        self._set(split_strength=strength)

    def set_min_size(self, n_px: int | None) -> None:
        """Leave out objects of fewer pixels; None: as the painted ones tell."""
        self._set(min_size_px=n_px)

    def write(self, event: ObjectsFound) -> bool:
        """Take objects; False when their image is gone or classes are shown by now."""
        entry = self._book.get(event.key)
        return self.is_on and entry is not None and entry.write_objects(event)

    def _set(self, **values: Any) -> None:
        settings = self.settings.model_copy(update=values)
        if settings != self.settings:
            self.settings = settings
            for entry in self._book:
                entry.has_all_objects = False
            self._timer.start()
            self.changed.emit()

    def _ask(self) -> None:
        self._timer.stop()
        self.wanted.emit(self.settings if self.is_on else None)

    def _on_book_changed(self) -> None:
        for entry in self._book:
            self._dress(entry)

    def _dress(self, entry: AnnotatedImage) -> None:
        """Show objects in place of classes where a prediction has been made."""
        layer = entry.prediction
        if not self.is_on or layer is None or layer in self._hidden:
            return  # whoever shows it again by hand shall see it
        self._hidden.add(layer)
        layer.visible = False
        entry.make_objects(self._book.layers, self._overlay.style)
