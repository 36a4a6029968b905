"""The images a learner has met: by name or by content, all with the same channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.config import MAX_CHANNELS
from napari_unet.core.arrays import PlaneStack, fingerprint
from napari_unet.core.source import ImageSource
from napari_unet.errors import ImageError
from napari_unet.inference.instances import checked_sampling

__all__ = [
    "ImageRegistry",
    "anisotropy_learned",
    "anisotropy_of",
    "check_channels",
    "check_sight",
]


class ImageRegistry:
    """Finds the source of an image, so that its features are computed once.

    Parameters
    ----------
    downsampling
        How much coarser images are learned from.

    Attributes
    ----------
    axes
        Axes of the image that was annotated first, None before; tells where to look for
        channels in images that have no annotation.
    """

    def __init__(self, downsampling: int = 1) -> None:
        self._downsampling = downsampling
        self.axes: str | None = None
        self._sources: dict[str, ImageSource] = {}

    def source_of(
        self, stack: PlaneStack, key: str | None, anisotropy: float | None = None
    ) -> ImageSource:
        """Return the source of an annotated image, the known one where it is the same.

        Without a key, equal pixels are the same image. ``anisotropy`` is the distance
        of its planes over the size of a pixel, where known.

        Raises
        ------
        ImageError
            If no pixel has a value that could be learned from.
        """
        name = fingerprint(stack) if key is None else key
        known = self._sources.get(name)
        if (
            known is None
            or known.stack.axes != stack.axes
            or (key is not None and known.stack.image is not stack.image)
        ):
            known = ImageSource(name, stack)
            known.coarsened(self._downsampling).require_values()
        # else what was measured and made of it would be made again for each stroke
        is_same = known.anisotropy == anisotropy
        return known if is_same else replace(known, anisotropy=anisotropy)

    def remember(self, source: ImageSource) -> None:
        """Find this source again, under its key, from now on."""
        self._sources[source.key] = source

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
        source = self._known(image, key, axes) or self._new(
            image, key, axes, n_channels
        )
        check_channels(source.stack.n_channels, n_channels)
        if key is not None:
            self.remember(source)
        return source

    def _known(
        self, image: Any, key: str | None, axes: str | None
    ) -> ImageSource | None:
        """Return the source of an image that was met before."""
        if key is not None:
            known = self._sources.get(key)
            if known is None or known.stack.image is not image:
                return None
            return known if axes in (None, known.stack.axes) else None
        for stack in self._readings(image, axes):
            known = self._sources.get(fingerprint(stack))
            if known is not None:
                return known
        return None

    def _new(
        self, image: Any, key: str | None, axes: str | None, n_channels: int | None
    ) -> ImageSource:
        """Return a source, with its channels where the annotated image had them."""
        guessed, *others = self._readings(image, axes)
        fitting = (s for s in others if "C" in s.axes and s.n_channels == n_channels)
        stack = next(fitting, guessed)
        return ImageSource(fingerprint(stack) if key is None else key, stack)

    def _readings(self, image: Any, axes: str | None) -> list[PlaneStack]:
        """Return the ways to read an image: as guessed, and as the annotated one."""
        stacks = [PlaneStack(image, axes)]
        if axes is None and self.axes is not None and len(self.axes) == np.ndim(image):
            stacks.append(PlaneStack(image, self.axes))
        return stacks


def anisotropy_of(axes: str, scale: Sequence[float] | None) -> float | None:
    """Return the distance of planes over the size of a pixel; None where unknown.

    Parameters
    ----------
    axes
        Of the image, without channels.
    scale
        World units per pixel along each of them, or None.

    Raises
    ------
    ImageError
        Unless there is one finite number, not 0, for each axis.
    """
    if scale is None or "Z" not in axes:
        return None
    steps = dict(zip(axes, checked_sampling(scale, len(axes)), strict=True))
    pixel = math.sqrt(steps["Y"] * steps["X"])
    return min(max(steps["Z"] / pixel, 1e-3), 1e3)


def anisotropy_learned(annotations: AnnotationSet) -> float:
    """Return the anisotropy of the first annotated image where it is known.

    It is that of the image as it is learned from. Where no image's is known, voxels of
    the full one are taken for cubes.
    """
    known = (image.source.anisotropy for image in annotations.images)
    return next((found for found in known if found), 1.0 / annotations.downsampling)


def check_sight(stack: PlaneStack, dimensions: str) -> None:
    """Raise an `ImageError` where planes around are to be seen, and there are none."""
    if dimensions != "2d" and not stack.has_z:
        raise ImageError(
            f"the image has the axes {stack.axes} and no z: with dimensions "
            f"'{dimensions}' stacks are learned and predicted; this image needs a "
            "model that was trained with '2d'"
        )


def check_channels(n_channels: int, wanted: int | None) -> None:
    """Raise an `ImageError` unless the number of channels is the one learned from."""
    if n_channels > MAX_CHANNELS:
        raise ImageError(
            f"the image has {n_channels} channels, but a network has at most "
            f"{MAX_CHANNELS}: choose some of them, or name the axes (such as 'ZYX')"
        )
    if wanted is not None and n_channels != wanted:
        raise ImageError(
            f"the image has {n_channels} channel{'s' if n_channels != 1 else ''}, but "
            f"the learner works with {wanted}: images that are learned from or "
            "predicted together must be of one kind, such as all grey or all RGB"
        )
