"""The images a learner has met: by name or by content, all with the same channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.core.arrays import ImageSource, PlaneStack, fingerprint
from napari_unet.errors import ImageError

__all__ = ["ImageRegistry"]


class ImageRegistry:
    """Finds the source of an image, so that its features are computed once.

    Attributes
    ----------
    axes
        Axes of the image that was annotated first, None before; tells where to look for
        channels in images that have no annotation.
    """

    def __init__(self) -> None:
        self.axes: str | None = None
        self._sources: dict[str, ImageSource] = {}

    def register(self, stack: PlaneStack, key: str | None) -> ImageSource:
        """Return the source of an annotated image, the known one where it is the same.

        Without a key, equal pixels are the same image.
        """
        name = fingerprint(stack) if key is None else key
        known = self._sources.get(name)
        if known is None or known.stack.axes != stack.axes:
            is_same = False
        else:
            is_same = key is None or known.stack.image is stack.image
        if known is None or not is_same:
            known = self._sources[name] = ImageSource(name, stack)
        return known

    def forget(self, key: str) -> None:
        """Drop an image."""
        self._sources.pop(key, None)

    def find(
        self, image: Any, key: str | None, axes: str | None, n_channels: int | None
    ) -> ImageSource:
        """Return the source of an image to predict.

        Raises
        ------
        ImageError
            If it has other channels than the ``n_channels`` that were learned from.
        """
        if key is not None and key in self._sources:
            source = self._sources[key]
            if source.stack.image is image:
                return source
        stack = PlaneStack(image, axes)
        if axes is None and stack.n_channels != n_channels:
            stack = self._with_known_axes(image) or stack
        check_channels(stack.n_channels, n_channels)
        if key is not None:
            return ImageSource(key, stack)
        name = fingerprint(stack)
        known = self._sources.get(name)
        if known is not None and known.stack.axes == stack.axes:
            return known
        return ImageSource(name, stack)

    def _with_known_axes(self, image: Any) -> PlaneStack | None:
        """Read an image with its channels where the annotated image had them."""
        if self.axes is None or len(self.axes) != np.ndim(image):
            return None
        return PlaneStack(image, self.axes)


def check_channels(n_channels: int, wanted: int | None) -> None:
    """Raise an `ImageError` unless the number of channels is the one learned from."""
    if wanted is not None and n_channels != wanted:
        raise ImageError(
            f"the image has {n_channels} channel{'s' if n_channels != 1 else ''}, but "
            f"the learner works with {wanted}: use images of one kind, or name the "
            "axes (such as axes='YXC')"
        )
