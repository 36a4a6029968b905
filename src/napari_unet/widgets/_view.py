"""The visible field: which rectangle of which plane a person looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Labels

__all__ = ["LIVE_PX", "VisibleField", "visible_field"]

LIVE_PX = 16 * 2**20
"""As many pixels are kept predicted: some seconds' work, and more than screens have."""


@dataclass(frozen=True)
class VisibleField:
    """Rectangle ``[y0:y1, x0:x1]``, in px, of one plane of a label array.

    ``is_middle``: it is only the middle of what is in sight.
    """

    index: tuple[int, ...]
    y0: int
    y1: int
    x0: int
    x1: int
    is_middle: bool = False

    def middle(self, max_px: int | None = None) -> VisibleField:
        """Return the middle of it, of the same form, where it has more pixels.

        ``max_px`` is `LIVE_PX` unless it is given.
        """
        max_px = max_px or LIVE_PX
        height, width = self.y1 - self.y0, self.x1 - self.x0
        if height * width <= max_px:
            return self
        share = (max_px / (height * width)) ** 0.5
        height, width = max(int(height * share), 1), max(int(width * share), 1)
        y0, x0 = (self.y0 + self.y1 - height) // 2, (self.x0 + self.x1 - width) // 2
        return VisibleField(self.index, y0, y0 + height, x0, x0 + width, True)


def visible_field(viewer: Any, layer: Labels) -> VisibleField | None:
    """Return the part of a layer that the canvas shows, or None.

    None while the viewer shows volumes or other axes than the last two, or when the
    layer is out of sight. The layer's own ``corner_pixels`` are only right after a
    drawing, and never in a window that is not shown: the camera always is.
    """
    first = viewer.dims.ndim - layer.ndim
    displayed = [d - first for d in viewer.dims.displayed]
    if viewer.dims.ndisplay != 2 or displayed != [layer.ndim - 2, layer.ndim - 1]:
        return None
    camera = viewer.scene.camera
    height, width = (n / camera.zoom / 2 for n in viewer.canvas.size)
    center_y, center_x = camera.center[-2:]
    corners = []
    for sign_y in (-1, 1):
        for sign_x in (-1, 1):
            point = np.asarray(viewer.dims.point, float)[first:]
            point[-2:] = center_y + sign_y * height, center_x + sign_x * width
            corners.append(layer.world_to_data(point))
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    shape = layer.data.shape
    index = tuple(int(i) for i in np.round(low[:-2]))
    if any(not 0 <= i < n for i, n in zip(index, shape, strict=False)):
        return None
    # a pixel reaches half a pixel beyond its centre on each side
    y0, x0 = (max(0, int(np.floor(v + 0.5))) for v in low[-2:])
    y1, x1 = (
        min(n, int(np.ceil(v + 0.5)))
        for v, n in zip(high[-2:], shape[-2:], strict=True)
    )
    if y0 >= y1 or x0 >= x1:
        return None
    return VisibleField(index, y0, y1, x0, x1)
