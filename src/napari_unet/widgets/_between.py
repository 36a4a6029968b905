"""Fills in what lies between painted planes, as one step that can be undone."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_unet.annotation.interpolation import (
    has_planes_to_fill,
    interpolate_job,
    why_nothing_between,
)
from napari_unet.annotation.tiled import TILE_PX, TiledLabels
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._images import ImageBook

__all__ = ["Between"]

_TOO_FEW = "Paint in two planes of the stack first, with another between them."


class Between(QObject):
    """Interpolates the current annotation on a worker, then paints it.

    Signals
    -------
    told : one sentence, what was filled in
    failed : exception that ended the work
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(self, book: ImageBook, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._book = book
        self._layer: Labels | None = None
        self._bridge = Bridge(self)
        self._bridge.finished.connect(self._on_found)
        self._bridge.failed.connect(self.failed)

    @property
    def is_stack(self) -> bool:
        """Whether the current image has planes to fill in between."""
        entry = self._book.current
        return entry is not None and "Z" in entry.axes

    @property
    def why_not(self) -> str:
        """Why nothing can be filled in now; '' if it can."""
        entry = self._book.current
        if entry is None or entry.copy is None or "Z" not in entry.axes:
            return _TOO_FEW
        can_fill = has_planes_to_fill(entry.copy, entry.axes.replace("C", ""))
        return "" if can_fill else _TOO_FEW

    def fill(self) -> None:
        """Begin; the annotation changes when all is found."""
        entry = self._book.current
        if self.why_not or entry is None or entry.copy is None:
            return
        painted, axes = entry.copy, entry.axes.replace("C", "")
        complete, self._layer = entry.complete, entry.annotation
        self._bridge.start(
            lambda token: interpolate_job(painted, axes, complete=complete, token=token)
        )

    def stop(self) -> None:
        """Stop finding; nothing is painted."""
        self._bridge.stop()

    def _on_found(self, found: TiledLabels) -> None:
        layer, entry = self._layer, self._book.current
        self._layer = None
        if entry is None or layer is not entry.annotation or layer is None:
            return
        where, values = _pixels(found)
        # what was painted meanwhile stays
        is_free = np.asarray(layer.data[where]) == 0
        where = tuple(axis[is_free] for axis in where)
        if not is_free.any():
            why = "it was painted meanwhile"
            if not found.any() and entry.copy is not None:
                why = why_nothing_between(entry.copy, entry.axes.replace("C", ""))
            self.told.emit(f"Nothing was filled in: {why}.")
            return
        layer.data_setitem(where, values[is_free])
        n_planes = len(found.cells)
        self.told.emit(
            f"{int(is_free.sum()):,} px were filled in on {n_planes:,} "
            f"plane{'' if n_planes == 1 else 's'}: look them over; Ctrl+Z takes them "
            "back."
        )


def _pixels(labels: TiledLabels) -> tuple[tuple[Any, ...], Any]:
    """Return the indices of all that is not 0, one array per axis, and the values."""
    leading = labels.shape[:-2]
    columns, values = [np.zeros((labels.ndim, 0), np.intp)], [np.zeros(0, labels.dtype)]
    for (plane, row, column), tile in labels.tiles.items():
        y, x = np.nonzero(tile)
        index = np.unravel_index(plane, leading)
        planes = [np.full(len(y), i) for i in index]
        columns.append(np.stack([*planes, y + row * TILE_PX, x + column * TILE_PX]))
        values.append(tile[y, x])
    return tuple(np.concatenate(columns, axis=1)), np.concatenate(values)
