"""The class that is painted with, in step with napari's own label control."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._layers import is_grey

__all__ = ["Brush", "unused_id"]

_MAX_ID = 65_535


def unused_id(annotation: NDArray[np.integer]) -> int:
    """Return a number for the next object: above all that are used, if there is one."""
    highest = min(_MAX_ID, int(np.iinfo(annotation.dtype).max))
    used = int(annotation.max(initial=1))
    for number in range(used + 1, highest + 1):
        if not is_grey(number):
            return number
    is_used = np.zeros(used + 1, bool)
    for plane in np.ndindex(annotation.shape[:-2]):
        is_used[annotation[plane]] = True
    for number in np.flatnonzero(~is_used).tolist():
        if number > 1 and not is_grey(number):
            return int(number)
    return highest


class Brush(QObject):
    """Selects classes, or objects, on the current annotation layer.

    Of objects there are two to choose from: 1, the background, and 2, the object that
    is being painted; `select_next` begins another one.

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
        self._object_id = 0
        book.changed.connect(self._follow)

    @property
    def value(self) -> int:
        """The selected class; 0 without an annotation layer."""
        if self._layer is None:
            return 0
        number = int(self._layer.selected_label)
        return min(number, 2) if self._of_objects else number

    @property
    def object_id(self) -> int:
        """The object that is painted, or was before the background; 0: none."""
        return self._object_id if self._of_objects and self._layer is not None else 0

    @property
    def _of_objects(self) -> bool:
        return self._book.mode == "objects"

    def select(self, value: int) -> None:
        """Paint with a class: selects the annotation layer and the brush as well."""
        if self._layer is None or self._classes.get(value) is None:
            return
        if self._of_objects and value > 1:
            value = self._object_id or unused_id(np.asarray(self._layer.data))
        self._take_up(value)

    def _take_up(self, number: int) -> None:
        assert self._layer is not None
        self._layer.selected_label = number
        self._book.layers.selection.active = self._layer
        if self._layer.mode not in ("paint", "fill", "polygon"):
            self._layer.mode = "paint"

    def select_next(self) -> None:
        """Paint the next class, after the last the first; of objects, a new one."""
        if self._of_objects:
            if self._layer is not None:
                self._take_up(unused_id(np.asarray(self._layer.data)))
            return
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
            if self._of_objects:
                self._object_id = unused_id(np.asarray(layer.data))
                layer.selected_label = self._object_id
            elif self._classes.get(int(layer.selected_label)) is None:
                layer.selected_label = self._classes.values[-1]
        self.changed.emit()

    def _on_selected(self, _event: Any) -> None:
        if self._layer is not None and self._layer.selected_label > 1:
            self._object_id = int(self._layer.selected_label)
        self.changed.emit()
