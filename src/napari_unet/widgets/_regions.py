"""Regions declared complete: inside them, what is not an object is background."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Shapes
from numpy.typing import NDArray

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.widgets._layers import ROLE, follow, label_shape, transform_of

__all__ = ["Regions"]

# vermilion: 4 : 1 or more both on black and on white
_EDGE = "#D55E00"
_FACE = "#D55E0014"  # a tint: objects and image stay what is seen
_ELLIPSE = np.linspace(0, 2 * np.pi, 90, endpoint=False)
_AREAS = ("rectangle", "polygon", "ellipse")


class Regions:
    """The shapes layer of one image in which complete regions are drawn.

    Parameters
    ----------
    image, axes
        The image layer, and its axes.
    on_change
        Called without arguments whenever a region may have changed.
    """

    def __init__(self, image: Image, axes: str, on_change: Callable[[], None]) -> None:
        self._image, self._axes, self._on_change = image, axes, on_change
        self.layer: Shapes | None = None
        self._drawn: list[tuple[str, bytes]] = []
        self._mask: TiledLabels | None = None
        self._release: Callable[[], None] | None = None

    @property
    def n(self) -> int:
        """Number of regions."""
        return sum(1 for _ in self._outlines())

    def make(self, layers: Any, *, is_active: bool = True) -> Shapes:
        """Add the layer, once; return it, if active ready to draw a rectangle."""
        layer = self.layer
        if layer is None:
            shortest = min(label_shape(self._image, self._axes)[-2:])
            layer = Shapes(
                ndim=len(self._axes.replace("C", "")),
                name=f"{self._image.name} complete",
                metadata={ROLE: "complete"},
                **transform_of(self._image, self._axes),
            )
            layer.current_edge_color, layer.current_face_color = _EDGE, _FACE
            layer.current_edge_width = float(np.clip(shortest / 250, 0.5, 8))
            layer.opacity = 1.0
            self.bind(layer)  # before it is added: who hears of that looks here
            selected = layers.selection.active
            layers.append(layer)
            layers.selection.active = selected
        if is_active:
            layers.selection.active = layer
            layer.mode = "add_rectangle"
        return layer

    def bind(self, layer: Shapes | None) -> None:
        """Listen to a layer, or to none."""
        if self._release is not None:
            self._release()
            self._release = None
        self.layer = layer
        if layer is None:
            return
        emitters = (layer.events.data, layer.events.set_data)

        def heard(_event: Any = None) -> None:
            self._on_change()

        for emitter in emitters:
            emitter.connect(heard)
        unfollow = follow(layer, self._image, self._axes)

        def release() -> None:
            for emitter in emitters:
                emitter.disconnect(heard)
            unfollow()

        self._release = release

    def show(self, is_shown: bool) -> None:
        """Show or hide the layer."""
        if self.layer is not None:
            self.layer.visible = is_shown

    def outlines(self) -> list[dict[str, Any]]:
        """Return the regions as they can be drawn again: kind, and corners in px."""
        return [
            {"kind": kind, "corners": corners.tolist()}
            for kind, corners in self._outlines()
        ]

    def mask(self) -> TiledLabels | None:
        """Return where the image is complete, as its label array; None: nowhere.

        The same for as long as the regions are.
        """
        # half a region is none; napari tells by nothing else that one is being drawn
        if self.layer is not None and self.layer._is_creating:
            return self._mask
        outlines = list(self._outlines())
        drawn = [(kind, corners.tobytes()) for kind, corners in outlines]
        if drawn != self._drawn:
            self._drawn = drawn
            self._mask = self._fill(outlines) if outlines else None
        return self._mask

    def _outlines(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Yield the kind of each shape that has an area, and its corners (n, ndim)."""
        if self.layer is not None:
            for kind, corners in zip(
                self.layer.shape_type, self.layer.data, strict=True
            ):
                if kind in _AREAS:
                    yield kind, np.asarray(corners, np.float64)

    def _fill(self, outlines: list[tuple[str, NDArray[np.float64]]]) -> TiledLabels:
        from skimage.draw import polygon

        shape = label_shape(self._image, self._axes)
        mask = np.zeros(shape, bool)  # memory only where it is written
        for kind, corners in outlines:
            planes = tuple(
                slice(max(0, round(low)), round(high) + 1)
                for low, high in zip(
                    corners[:, :-2].min(axis=0),
                    corners[:, :-2].max(axis=0),
                    strict=True,
                )
            )
            yx = corners[:, -2:]
            if kind == "ellipse":
                yx = _ellipse(yx)
            rows, columns = polygon(  # type: ignore[no-untyped-call]
                yx[:, 0], yx[:, 1], shape[-2:]
            )
            mask[(*planes, rows, columns)] = True
        return TiledLabels.of(mask)


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points on an ellipse, which napari keeps as the corners of its box."""
    centre = corners.mean(axis=0)
    first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    points: NDArray[np.float64] = (
        centre + np.cos(_ELLIPSE)[:, None] * first + np.sin(_ELLIPSE)[:, None] * second
    )
    return points
