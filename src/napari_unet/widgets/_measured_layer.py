"""The way between a row of measurements and its object in the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.export import Table

__all__ = ["MeasuredLayer"]


class MeasuredLayer:
    """The labels layer that a table was measured of.

    Parameters
    ----------
    viewer, layer
        Of which only their public parts are used.
    axes
        Axes of the layer, when it was measured.
    on_news
        Called with the label that was chosen in the viewer, or with None when the
        labels were changed.
    """

    def __init__(
        self,
        viewer: Any,
        layer: Labels,
        axes: str,
        on_news: Callable[[int | None], None],
    ) -> None:
        self._viewer, self._layer, self._axes = viewer, layer, axes
        self._on_news = on_news
        self._is_ours = False
        self.is_outdated = False
        """Whether the labels were changed since."""
        self._changes = (layer.events.paint, layer.events.data)
        layer.events.selected_label.connect(self._on_selected)
        for emitter in self._changes:
            emitter.connect(self._on_changed)

    def release(self) -> None:
        """Stop listening."""
        self._layer.events.selected_label.disconnect(self._on_selected)
        for emitter in self._changes:
            emitter.disconnect(self._on_changed)

    def go_to(self, table: Table, row: int) -> None:
        """Choose the object of a row in its layer, and bring it to the middle."""
        layer, viewer = self._layer, self._viewer
        if layer not in viewer.layers or "label" not in table:
            return
        self._is_ours = True
        try:
            layer.selected_label = int(table["label"][row])
        finally:
            self._is_ours = False
        place = self._middle(table, row)
        if place is None:
            return
        world = np.asarray(layer.data_to_world(place), float)
        first = viewer.dims.ndim - layer.ndim
        hidden = [d - first for d in viewer.dims.not_displayed if d >= first]
        for axis in hidden:
            viewer.dims.set_point(axis + first, float(world[axis]))
        shown = [d - first for d in viewer.dims.displayed]
        if min(shown) >= 0:
            viewer.scene.camera.center = tuple(float(world[d]) for d in shown)

    def find(self, table: Table, selected: int) -> int | None:
        """Return the row of a label, of those in sight where it is at several times."""
        if "label" not in table:
            return None
        rows = np.flatnonzero(table["label"] == selected)
        for heading, axis in (("time_point", "T"), ("plane", "Z")):
            if heading in table and axis in self._axes and len(rows) > 1:
                now = self._index()[self._axes.index(axis)]
                in_sight = rows[table[heading][rows] == now]
                rows = in_sight if len(in_sight) else rows
        return int(rows[0]) if len(rows) else None

    def _index(self) -> NDArray[np.int64]:
        """Return the pixel of the layer that the sliders are at."""
        first = self._viewer.dims.ndim - self._layer.ndim
        point = self._viewer.dims.point[first:]
        place = np.asarray(self._layer.world_to_data(point), float)
        return np.round(place).astype(np.int64)

    def _middle(self, table: Table, row: int) -> tuple[float, ...] | None:
        """Return the middle of an object's box, px, along the layer's axes."""
        place = []
        for axis in self._axes.lower():
            box = f"bbox_{axis}_start_px", f"bbox_{axis}_stop_px"
            index = {"t": "time_point", "z": "plane"}.get(axis, "")
            if box[0] in table:
                start, stop = (float(table[name][row]) for name in box)
                place.append((start + stop - 1) / 2)
            elif index in table:
                place.append(float(table[index][row]))
            else:
                return None
        return tuple(place)

    def _on_selected(self, _event: Any = None) -> None:
        if not self._is_ours:
            self._on_news(int(self._layer.selected_label))

    def _on_changed(self, _event: Any = None) -> None:
        if not self.is_outdated:
            self.is_outdated = True
            self._on_news(None)
