"""Outlines of classes or objects, plane by plane, with what they are called."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.memory import available_memory_bytes
from napari_unet.errors import ImageError
from napari_unet.export.label_image import LabelImage
from napari_unet.export.trace import Outline, trace

__all__ = ["OutlinedPlane", "Shape", "check_planes_fit", "outlined_planes"]

# measured: 24 to 27 with objects of 10 px and more across, 50 with specks of 5
_BYTES_PER_PX = 32


@dataclass(frozen=True)
class Shape:
    """An outline, and the class and name that it has.

    ``class_value`` is 0 for an object of no known class.
    """

    outline: Outline
    class_value: int
    name: str


@dataclass(frozen=True)
class OutlinedPlane:
    """A plane (Y, X) at an index of the leading axes, and its shapes."""

    index: tuple[int, ...]
    labels: NDArray[Any]
    shapes: list[Shape]


def outlined_planes(
    image: LabelImage, apart: Literal["values", "pieces"]
) -> Iterator[OutlinedPlane]:
    """Yield every plane with its outlines, those of the background left out.

    Parameters
    ----------
    image
        What is outlined.
    apart
        Whether a class is one outline in each plane or several; objects are one.

    Raises
    ------
    ImageError
        If the memory cannot hold a plane, or nothing is left to outline.
    """
    check_planes_fit(image)
    n_shapes = 0
    for index in image.labels.planes:
        plane = image.labels[index]
        if image.background:
            plane = np.where(plane == image.background, 0, plane)
        outlines = trace(plane, "values" if image.are_objects else apart)
        shapes = [_named(image, outline) for outline in outlines]
        n_shapes += len(shapes)
        yield OutlinedPlane(index, plane, shapes)
    if not n_shapes:
        seen = f"0 and {image.background}" if image.background else "0"
        raise ImageError(
            f"the labels hold nothing to outline, only the background ({seen})"
        )


def check_planes_fit(image: LabelImage) -> None:
    """Raise `ImageError` where outlining a plane takes more memory than is free."""
    needed = math.prod(image.labels.shape[-2:]) * _BYTES_PER_PX
    free = available_memory_bytes()
    if free is not None and needed > free:
        raise ImageError(
            f"outlines need about {needed / 2**30:,.1f} GB of memory for a plane of "
            f"{' x '.join(map(str, image.labels.shape[-2:]))} px, and "
            f"{free / 2**30:,.1f} GB are free; write OME-Zarr or OME-TIFF, which take "
            "a block at a time"
        )


def _named(image: LabelImage, outline: Outline) -> Shape:
    value = image.class_of(outline.value)
    name = image.name_of(value)
    if image.are_objects:
        name = f"{name} {outline.value}"
    return Shape(outline, value, name)
