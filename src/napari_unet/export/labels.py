"""Label images to TIFF, PNG and OME-Zarr."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.errors import FileError, ImageError
from napari_unet.export.ome_zarr import Layout, image_label, write_zarr
from napari_unet.export.picture import write_png
from napari_unet.export.tiff import check_scale, write_tiff

__all__ = ["AXES", "check_label_suffix", "write_labels"]

AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}
"""Axes of a label array by its number of dimensions."""


def write_labels(
    path: str | os.PathLike[str],
    labels: Any,
    *,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    class_names: Mapping[int, str] | None = None,
) -> Path:
    """Write a label image; the suffix chooses the format.

    ``.tif``/``.tiff`` keep axes, pixel size, unit and class names: ImageJ's metadata
    for labels up to 65535 (8 or 16 bit), OME-XML above and for ``.ome.tif``. ``.zarr``
    becomes an OME-Zarr 0.5 store with levels, pixel size, unit, and colours and names
    of the classes. ``.png`` holds one plane in 8 or 16 bit and no pixel size. The file
    appears whole or not at all.

    Parameters
    ----------
    path
        File to write.
    labels
        Integers of 0 or more (or bool), shape (Y, X), (Z, Y, X) or (T, Z, Y, X).
    axes
        One letter per axis of ``labels``; by default YX, ZYX, TZYX.
    scale
        World units per pixel, one number per axis of ``labels``, as napari has it.
    unit
        Unit of the spatial axes, such as ``"micrometer"`` or ``"um"``.
    class_names
        Names of label values, written where people read them (not in PNG). In OME-Zarr
        their colours too; without names the labels are taken for objects.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    FileError
        If the suffix is unknown, the format cannot hold so many labels or axes, the
        folder is missing or read-only, or the disk is full.
    ImageError
        If the array holds no labels (wrong dtype, shape, scale or negative values).
    """
    path = Path(path)
    array = _checked(path, labels, scale)
    if path.suffix.lower() == ".png":
        _write_png(path, array)
        return path
    if path.suffix.lower() == ".zarr":
        layout = Layout(array.shape, _file_axes(axes, array.ndim), scale, unit)
        values = np.unique(array[array > 0]).tolist() if class_names is not None else ()
        write_zarr(path, array, layout, image_label(values, class_names or {}))
        return path
    _check_fits_tiff(path, array)
    write_tiff(
        path,
        array,
        _file_axes(axes, array.ndim),
        scale=scale,
        unit=unit,
        description=_names_text(class_names),
        force_ome=path.stem.lower().endswith(".ome"),
    )
    return path


def check_label_suffix(path: str | os.PathLike[str]) -> None:
    """Raise `FileError` unless `write_labels` knows the format of that suffix."""
    suffix = Path(path).suffix
    if suffix.lower() not in (".tif", ".tiff", ".png", ".zarr"):
        raise FileError(
            f"{path} has the suffix '{suffix}'; labels can be written to .tif, .tiff, "
            ".png and .zarr"
        )


def _checked(
    path: Path, labels: Any, scale: Sequence[float] | None
) -> np.ndarray[Any, Any]:
    """Return labels in their smallest dtype, with 2 to 4 axes that the scale fits."""
    check_label_suffix(path)
    array = _smallest(labels)
    if array.ndim not in AXES:
        raise ImageError(
            f"labels of shape {array.shape} have {array.ndim} axes; 2 to 4 can be"
            " written"
        )
    check_scale(scale, array.ndim)
    return array


def _smallest(labels: Any) -> np.ndarray[Any, Any]:
    """Return labels as uint8, uint16 or uint32 (uint64 where nothing smaller holds)."""
    array = np.asarray(labels)
    if array.dtype.kind not in "bui":
        raise ImageError(
            f"labels must be integers, but their dtype is {array.dtype}; for "
            "probabilities use write_probabilities"
        )
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        raise ImageError(f"labels must be 0 or more, but the smallest is {array.min()}")
    largest = int(array.max(initial=0))
    # an array that is already small stays as it is: planes of one series agree
    if array.dtype in (np.uint8, np.uint16):
        return array
    for dtype in (np.uint8, np.uint16, np.uint32):
        if largest <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array


def _check_fits_tiff(path: Path, array: np.ndarray[Any, Any]) -> None:
    if array.max(initial=0) > 2**32 - 1:
        raise FileError(f"{path} was not written: a TIFF holds labels up to 4294967295")


def _write_png(path: Path, array: np.ndarray[Any, Any]) -> None:
    if array.ndim != 2:
        raise FileError(
            f"{path} was not written: a PNG holds one plane, these labels have the "
            f"shape {array.shape}; choose .tif"
        )
    if array.max(initial=0) > 65535:
        raise FileError(
            f"{path} was not written: a PNG holds labels up to 65535, the largest here "
            f"is {array.max()}; choose .tif"
        )
    write_png(path, array)


def _file_axes(axes: str | None, ndim: int) -> str:
    axes = axes or AXES[ndim]
    if len(axes) != ndim or len(set(axes)) != ndim or not set(axes) <= set("TZYX"):
        raise ImageError(
            f"the axes '{axes}' do not name the {ndim} axes of the labels: one letter "
            "of TZYX each"
        )
    if axes != "".join(sorted(axes, key="TZYX".index)):
        raise ImageError(f"the axes '{axes}' must be in the order of TZYX")
    return axes


def _names_text(class_names: Mapping[int, str] | None) -> str:
    lines = [f"{value}: {name}" for value, name in sorted((class_names or {}).items())]
    return "\n".join(["labels", *lines]) + "\n" if lines else ""
