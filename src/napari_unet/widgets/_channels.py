"""Image layers that are read together, as the channels of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari.layers import Image

from napari_unet.core.channels import StackedChannels
from napari_unet.core.coarse import Pyramid
from napari_unet.widgets._layers import image_array, label_shape, watch_data

__all__ = ["Channels"]


class Channels:
    """An image layer, and others of its size that are read with it.

    Parameters
    ----------
    image, axes
        The image layer, and its axes.
    """

    def __init__(self, image: Image, axes: str) -> None:
        self._image, self._axes = image, axes
        self.layers: tuple[Image, ...] = ()
        """The others, in their order."""
        self._arrays: list[Any] = []  # of which `_pixels` are made
        self._pixels: Any = None
        self._releases: list[Callable[[], None]] = []

    @property
    def pixels(self) -> Any:
        """The image at full resolution; the same array for as long as it is the same.

        What is computed of an image is kept for that very array.
        """
        layers = (self._image, *self.layers)
        arrays = [image_array(layer) for layer in layers]
        if list(map(id, self._arrays)) != list(map(id, arrays)):
            with_levels = [_with_levels(layer) for layer in layers]
            self._arrays = arrays
            self._pixels = (
                StackedChannels(with_levels) if self.layers else with_levels[0]
            )
        return self._pixels

    @property
    def axes(self) -> str:
        """Axes of `pixels`."""
        return f"C{self._axes}" if self.layers else self._axes

    def fits(self, layer: Image) -> bool:
        """Whether a layer could be read with the image, pixel by pixel."""
        image = self._image
        if image.rgb or "C" in self._axes or layer is image or layer.rgb:
            return False
        shape = tuple(image_array(layer).shape)
        return shape == label_shape(image, self._axes) and _lie_alike(layer, image)

    def set(self, layers: Sequence[Image], on_replaced: Callable[[], None]) -> None:
        """Read these layers with the image from now on.

        ``on_replaced`` is called when one of them is given another array.
        """
        self.release()
        self.layers = tuple(layers)
        self._releases = [watch_data(layer, on_replaced) for layer in self.layers]

    def release(self) -> None:
        """Stop listening."""
        for release in self._releases:
            release()
        self._releases = []


def _with_levels(layer: Image) -> Any:
    """Return a layer's pixels, which know of coarser levels where there are any."""
    return Pyramid(layer.data) if layer.multiscale else image_array(layer)


def _lie_alike(one: Image, other: Image) -> bool:
    """Whether equal pixels of two layers of one shape are at equal places."""
    same = one.units == other.units and all(
        np.shape(getattr(one, name)) == np.shape(getattr(other, name))
        and np.allclose(getattr(one, name), getattr(other, name))
        for name in ("scale", "translate", "rotate", "shear")
    )
    return same and np.allclose(one.affine.affine_matrix, other.affine.affine_matrix)
