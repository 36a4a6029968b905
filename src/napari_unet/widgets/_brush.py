"""The class that is painted with, in step with napari's own label control."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._images import ImageBook

__all__ = ["Brush"]


class Brush(QObject):
    """Selects classes on the current annotation layer.

    Signals
    -------
    changed : another class is selected
    """

    changed = Signal()

    def __init__(
        self, book: ImageBook, classes: ClassList, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._book = book
        self._classes = classes
        self._layer: Labels | None = None
        book.changed.connect(self._follow)

    @property
    def value(self) -> int:
        """The selected class; 0 without an annotation layer."""
        return int(self._layer.selected_label) if self._layer is not None else 0

    def select(self, value: int) -> None:
        """Paint with a class: selects the annotation layer and the brush as well."""
        if self._layer is None or self._classes.get(value) is None:
            return
        self._layer.selected_label = value
        self._book.layers.selection.active = self._layer
        if self._layer.mode not in ("paint", "fill", "polygon"):
            self._layer.mode = "paint"

    def select_next(self) -> None:
        """Paint with the next class, after the last with the first."""
        values = self._classes.values
        later = [value for value in values if value > self.value]
        self.select(later[0] if later else values[0])

    def hide_strokes(self, is_hidden: bool) -> None:
        """Hide or show the annotation layer."""
        if self._layer is not None:
            self._layer.visible = not is_hidden

    def _follow(self) -> None:
        entry = self._book.current
        layer = entry.annotation if entry is not None else None
        if layer is self._layer:
            return
        if self._layer is not None:
            self._layer.events.selected_label.disconnect(self._on_selected)
        self._layer = layer
        if layer is not None:
            layer.events.selected_label.connect(self._on_selected)
            if self._classes.get(int(layer.selected_label)) is None:
                layer.selected_label = self._classes.values[-1]
        self.changed.emit()

    def _on_selected(self, _event: Any) -> None:
        self.changed.emit()
