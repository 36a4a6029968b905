"""Probabilities to TIFF, OME-Zarr and NumPy files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.atomic import replace_file
from napari_unet.errors import FileError, ImageError
from napari_unet.export.label_image import AXES
from napari_unet.export.ome_zarr import Layout, write_zarr
from napari_unet.export.tiff import check_scale, write_tiff

__all__ = ["write_probabilities"]


def write_probabilities(
    path: str | os.PathLike[str],
    probabilities: Any,
    *,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    class_names: Sequence[str] = (),
) -> Path:
    """Write class probabilities, float32, with one channel per class.

    Parameters
    ----------
    path
        File to write: ``.tif`` or ``.tiff``, an OME-Zarr store, ``.zarr``, or an array
        without anything beside it, ``.npy``.
    probabilities
        Shape (K, Y, X), (K, Z, Y, X) or (K, T, Z, Y, X), 0..1. In a TIFF the classes
        lie where ImageJ expects channels: CYX, ZCYX, TZCYX; in OME-Zarr TCZYX; in
        ``.npy`` in front, as here.
    axes
        Axes behind the first one; by default YX, ZYX, TZYX.
    scale
        World units per pixel for each axis behind the first.
    unit
        Unit of the spatial axes.
    class_names
        Names of the classes in the order of the first axis, for ImageJ's *Show Info*
        (TIFF only).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileError
        If the suffix is another one, or the file cannot be written.
    ImageError
        If the array has no such shape.
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff", ".zarr", ".npy"):
        raise FileError(
            f"{path} has the suffix '{path.suffix}'; probabilities are written to "
            ".tif, .zarr or .npy"
        )
    array = _checked(probabilities)
    check_scale(scale, array.ndim - 1)
    axes = axes or AXES[array.ndim - 1]
    if path.suffix.lower() == ".npy":
        with replace_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        return path
    if path.suffix.lower() == ".zarr":
        layout = Layout(array.shape[1:], axes, scale, unit).with_classes(len(array))
        write_zarr(path, np.moveaxis(array, 0, layout.axes.index("C")), layout, {})
        return path
    text = "".join(f"channel {k + 1}: {name}\n" for k, name in enumerate(class_names))
    write_tiff(
        path,
        np.moveaxis(array, 0, -3),
        f"{axes[:-2]}C{axes[-2:]}",
        scale=scale,
        unit=unit,
        description=text,
    )
    return path


def _checked(probabilities: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return probabilities as float32, with 2 to 4 axes behind that of the classes."""
    array = np.asarray(probabilities, np.float32)
    if array.ndim - 1 not in AXES:
        raise ImageError(
            f"probabilities of shape {array.shape} have {array.ndim} axes; classes "
            "first, then 2 to 4 others, can be written"
        )
    return array
