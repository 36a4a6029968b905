"""TIFF files that Fiji, QuPath and napari open with the right axes and pixel size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile

from napari_unet.core.atomic import replace_file
from napari_unet.errors import ImageError
from napari_unet.export.units import imagej_unit, ome_unit

__all__ = ["Pixels", "check_scale", "write_tiff"]

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
# ImageJ's hyperstacks hold no more than 4 GiB; the metadata need a little of it
_MAX_IMAGEJ_BYTES = 4 * 2**30 - 2**20
# larger planes are written in tiles, so that no more than one is in memory
_MAX_PLANE_BYTES = 2**30
_TILE_PX = 512


class Pixels(Protocol):
    """An array, in memory or read where it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels along each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, place: Any, /) -> Any:
        """Return a part as an array in memory."""


def write_tiff(
    path: Path,
    array: Pixels,
    axes: str,
    *,
    largest: float = 1,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    description: str = "",
    force_ome: bool = False,
) -> None:
    """Write an array as a compressed TIFF, whole or not at all.

    ImageJ's metadata where ImageJ knows the dtype (uint8, uint16, float32) and the size
    is below 4 GiB, else OME-XML. A plane is read at a time, and planes above 1 GiB, as
    OME-TIFF, by the tile.

    Parameters
    ----------
    path
        File to write.
    array
        Pixels, one axis per letter of ``axes``.
    axes
        In the order of TZCYX, such as ``"YX"``, ``"ZYX"``, ``"CYX"``.
    largest
        Value that ImageJ shows as white; without it, labels 1 and 2 look black.
    scale
        World units per pixel for each axis but C, in the order of ``axes``.
    unit
        Unit of the spatial axes, under any usual name; see `unit_name`.
    description
        Text for people: ImageJ's *Show Info*, OME's description.
    force_ome
        Write OME-XML in any case.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    # a negative step mirrors the image in napari; a pixel's size has no sign
    sizes = [abs(step) for step in scale or ()]
    steps = dict(zip(axes.replace("C", ""), sizes, strict=False))
    n_bytes = math.prod(array.shape) * array.dtype.itemsize
    is_tiled = math.prod(array.shape[-2:]) * array.dtype.itemsize > _MAX_PLANE_BYTES
    imagej = (
        not (force_ome or is_tiled)
        and array.dtype.name in _IMAGEJ_DTYPES
        and n_bytes < _MAX_IMAGEJ_BYTES
    )
    options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib"}
    options |= {"shape": array.shape, "dtype": array.dtype}
    if is_tiled:
        options["tile"] = (_TILE_PX, _TILE_PX)
    if imagej:
        options |= {"imagej": True, "metadata": _imagej(axes, steps, unit, largest)}
        if description:
            options["metadata"]["Info"] = description
        if {"Y", "X"} <= steps.keys():
            options["resolution"] = (1 / steps["X"], 1 / steps["Y"])
    else:
        options |= {"ome": True, "metadata": _ome(axes, steps, unit)}
        options["bigtiff"] = n_bytes > _MAX_IMAGEJ_BYTES
        if description:
            options["metadata"]["Description"] = description
    pixels = _tiles(array) if is_tiled else _planes(array)
    with replace_file(path) as temporary:
        tifffile.imwrite(temporary, pixels, **options)


def _planes(array: Pixels) -> Any:
    """Return a plane, or the planes one after the other."""
    if len(array.shape) == 2:
        return array[...]
    return (array[index] for index in np.ndindex(*array.shape[:-2]))


def _tiles(array: Pixels) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the tiles of every plane, those at its border filled up."""
    *leading, height, width = array.shape
    for index in np.ndindex(*leading):
        for y in range(0, height, _TILE_PX):
            for x in range(0, width, _TILE_PX):
                place = (*index, slice(y, y + _TILE_PX), slice(x, x + _TILE_PX))
                part = array[place]
                missing = [(0, _TILE_PX - n) for n in part.shape]
                yield np.pad(part, missing)


def check_scale(scale: Sequence[float] | None, n_axes: int) -> None:
    """Raise `ImageError` unless there is one finite step, not 0, for each axis."""
    if scale is None:
        return
    if len(scale) != n_axes:
        raise ImageError(
            f"the scale {tuple(scale)} has {len(scale)} numbers, the array {n_axes} "
            "axes"
        )
    if not all(np.isfinite(step) and step != 0 for step in scale):
        raise ImageError(
            f"the scale {tuple(scale)} must be finite and not 0 in each axis"
        )


def _imagej(
    axes: str, steps: dict[str, float], unit: str | None, largest: float
) -> dict[str, Any]:
    """Return ImageJ's metadata."""
    metadata: dict[str, Any] = {"axes": axes, "unit": imagej_unit(unit)}
    if "Z" in steps:
        metadata["spacing"] = steps["Z"]
    if "T" in steps:
        metadata["finterval"] = steps["T"]
    metadata |= {"min": 0, "max": max(1, largest)}
    return metadata


def _ome(axes: str, steps: dict[str, float], unit: str | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": axes}
    for axis in "ZYX":
        if axis in steps:
            metadata[f"PhysicalSize{axis}"] = steps[axis]
            metadata[f"PhysicalSize{axis}Unit"] = ome_unit(unit)
    if "T" in steps:
        metadata["TimeIncrement"] = steps["T"]
    return metadata
