"""Image layers that are read together, as the channels of one image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.layers import Image

from napari_unet.core.channels import StackedChannels
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
        self._stacked: StackedChannels | None = None
        self._releases: list[Callable[[], None]] = []

    @property
    def pixels(self) -> Any:
        """The image at full resolution; the same array for as long as it is the same.

        What is computed of an image is kept for that very array.
        """
        own = image_array(self._image)
        if not self.layers:
            return own
        arrays = [own, *map(image_array, self.layers)]
        known = [] if self._stacked is None else list(self._stacked.arrays)
        if list(map(id, known)) != list(map(id, arrays)):
            self._stacked = StackedChannels(arrays)
        return self._stacked

    @property
    def axes(self) -> str:
        """Axes of `pixels`."""
        return f"C{self._axes}" if self.layers else self._axes

    def fits(self, layer: Image) -> bool:
        """Whether a layer could be read with the image, pixel by pixel."""
        has_own = self._image.rgb or "C" in self._axes
        return (
            not has_own
            and layer is not self._image
            and not layer.rgb
            and tuple(image_array(layer).shape) == label_shape(self._image, self._axes)
        )

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
