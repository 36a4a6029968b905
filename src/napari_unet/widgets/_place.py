"""Going to a place of an image, and marking it for a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._layers import ROLE, SHOWN_OF, transform_of

__all__ = ["MARK_MS", "Place", "PlaceMark", "go_to"]

MARK_MS = 2500
"""Long enough to be found, short enough not to be in the way of the first stroke."""

_CONTEXT = 4.0
"""Sides of the place that fit into the shorter side of the canvas."""
_CLOSE_ENOUGH = 2.0
"""A zoom that is at most so many times nearer or farther is left as it is."""
_EDGE = "#D55E00"  # vermilion: 4 : 1 or more both on black and on white


@dataclass(frozen=True)
class Place:
    """A rectangle (px) of the plane at ``index`` of an image's label array."""

    index: tuple[int, ...]
    y: int
    x: int
    height: int
    width: int

    @property
    def corners(self) -> NDArray[np.float64]:
        """Its corners in pixel coordinates, shape (4, ndim)."""
        y0, x0 = self.y - 0.5, self.x - 0.5
        y1, x1 = y0 + self.height, x0 + self.width
        plane = [float(i) for i in self.index]
        return np.array(
            [(*plane, y, x) for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))]
        )


def go_to(viewer: Any, layer: Labels, place: Place, context: float = _CONTEXT) -> None:
    """Show the plane of a place, its middle in the middle, near enough to paint.

    ``layer`` is any label layer of the image. Volumes and other axes give way to the
    plane: what cannot be painted need not be shown. So many of its sides fit into the
    canvas as ``context`` says.
    """
    dims = viewer.dims
    dims.ndisplay = 2
    dims.order = tuple(range(dims.ndim))
    corners = np.array([layer.data_to_world(corner) for corner in place.corners])
    centre = corners.mean(axis=0)
    first = dims.ndim - layer.ndim
    for number, position in enumerate(centre[:-2]):
        dims.set_point(first + number, float(position))
    camera = viewer.scene.camera
    camera.center = (0.0, float(centre[-2]), float(centre[-1]))
    side = float(np.ptp(corners[:, -2:], axis=0).max())
    wanted = min(viewer.canvas.size) / (context * side)
    if not wanted / _CLOSE_ENOUGH <= camera.zoom <= wanted * _CLOSE_ENOUGH:
        camera.zoom = wanted


class PlaceMark(QObject):
    """A frame around a place, in a layer of its own that is hidden most of the time."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers: WeakKeyDictionary[AnnotatedImage, Shapes] = WeakKeyDictionary()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(MARK_MS)
        self._timer.timeout.connect(self.hide)

    def show(self, layers: Any, entry: AnnotatedImage, place: Place) -> None:
        """Frame a place of an image for `MARK_MS`."""
        self.hide()
        layer = self._layers.get(entry)
        is_new = layer is None or layer not in layers
        if layer is None or is_new:
            layer = Shapes(
                ndim=len(entry.shape),
                name=f"{entry.image.name} least sure here",
                metadata={ROLE: "mark", SHOWN_OF: entry.key},
                **transform_of(entry.image, entry.axes),
            )
            layer.editable = False
            self._layers[entry] = layer
        else:  # the image may have moved since
            for name, value in transform_of(entry.image, entry.axes).items():
                setattr(layer, name, value)
        layer.data = []
        layer.add_rectangles(
            place.corners,
            edge_color=_EDGE,
            face_color="transparent",
            edge_width=max(place.height, place.width) / 40,
        )
        layer.visible = True
        if is_new:  # on top; whoever paints goes on where she was
            active, selected = layers.selection.active, set(layers.selection)
            layers.append(layer)
            layers.selection = selected
            layers.selection.active = active
        self._timer.start()

    def hide(self) -> None:
        """Take the frame away."""
        self._timer.stop()
        for layer in self._layers.values():
            layer.visible = False
