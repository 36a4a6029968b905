"""TIFF files that Fiji, QuPath and napari open with the right axes and pixel size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_unet.core.atomic import replace_file
from napari_unet.errors import ImageError
from napari_unet.export.units import imagej_unit, ome_unit

__all__ = ["check_scale", "write_tiff"]

_IMAGEJ_DTYPES = ("uint8", "uint16", "float32")
# ImageJ's hyperstacks hold no more than 4 GiB; the metadata need a little of it
_MAX_IMAGEJ_BYTES = 4 * 2**30 - 2**20


def write_tiff(
    path: Path,
    array: np.ndarray[Any, Any],
    axes: str,
    *,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    description: str = "",
    force_ome: bool = False,
) -> None:
    """Write an array as a compressed TIFF, whole or not at all.

    ImageJ's metadata where ImageJ knows the dtype (uint8, uint16, float32) and the size
    is below 4 GiB, else OME-XML.

    Parameters
    ----------
    path
        File to write.
    array
        Pixels, one axis per letter of ``axes``.
    axes
        In the order of TZCYX, such as ``"YX"``, ``"ZYX"``, ``"CYX"``.
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
    imagej = (
        not force_ome
        and array.dtype.name in _IMAGEJ_DTYPES
        and array.nbytes < _MAX_IMAGEJ_BYTES
    )
    options: dict[str, Any] = {"photometric": "minisblack", "compression": "zlib"}
    if imagej:
        options |= {"imagej": True, "metadata": _imagej(array, axes, steps, unit)}
        if description:
            options["metadata"]["Info"] = description
        if {"Y", "X"} <= steps.keys():
            options["resolution"] = (1 / steps["X"], 1 / steps["Y"])
    else:
        options |= {"ome": True, "metadata": _ome(axes, steps, unit)}
        options["bigtiff"] = array.nbytes > _MAX_IMAGEJ_BYTES
        if description:
            options["metadata"]["Description"] = description
    with replace_file(path) as temporary:
        tifffile.imwrite(temporary, array, **options)


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
    array: np.ndarray[Any, Any], axes: str, steps: dict[str, float], unit: str | None
) -> dict[str, Any]:
    """Return ImageJ's metadata; without min and max, labels 1 and 2 look black."""
    metadata: dict[str, Any] = {"axes": axes, "unit": imagej_unit(unit)}
    if "Z" in steps:
        metadata["spacing"] = steps["Z"]
    if "T" in steps:
        metadata["finterval"] = steps["T"]
    metadata["min"] = 0
    metadata["max"] = (
        1 if array.dtype.kind == "f" else max(1, int(array.max(initial=0)))
    )
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
