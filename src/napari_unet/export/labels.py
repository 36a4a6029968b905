"""Label images to TIFF, OME-TIFF, OME-Zarr, PNG and NumPy files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.atomic import replace_file
from napari_unet.errors import FileError
from napari_unet.export.label_image import LabelBlocks, LabelImage, label_axes
from napari_unet.export.ome_zarr import Layout, image_label, zarr_blocks
from napari_unet.export.picture import write_png
from napari_unet.export.tiff import write_tiff
from napari_unet.jobs import JobEvent, Progress

__all__ = [
    "check_label_suffix",
    "write_labels",
    "write_npy_labels",
    "write_ome_tiff_labels",
    "write_png_labels",
    "write_tiff_labels",
    "write_zarr_labels",
]

_PIXELS = (".tif", ".tiff", ".png", ".zarr", ".npy")


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
    of the classes. ``.png`` holds one plane in 8 or 16 bit and no pixel size, ``.npy``
    values alone. The file appears whole or not at all. For outlines, and to be told
    how far it is, see `export_job`.

    Parameters
    ----------
    path
        File to write.
    labels
        Integers of 0 or more (or bool), shape (Y, X), (Z, Y, X) or (T, Z, Y, X). What
        is read as it is sliced (dask, zarr) need not fit into memory.
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
    check_label_suffix(path)
    blocks = LabelBlocks(labels)
    image = LabelImage(
        blocks,
        label_axes(axes, blocks.ndim),
        scale,
        unit,
        class_names=class_names or {},
        are_objects=class_names is None,
    )
    write = {
        ".png": write_png_labels,
        ".zarr": write_zarr_labels,
        ".npy": write_npy_labels,
    }.get(path.suffix.lower(), write_tiff_labels)
    for _ in write(path, image):
        pass
    return path


def check_label_suffix(path: str | os.PathLike[str]) -> None:
    """Raise `FileError` unless `write_labels` knows the format of that suffix."""
    suffix = Path(path).suffix
    if suffix.lower() not in _PIXELS:
        raise FileError(
            f"{path} has the suffix '{suffix}'; labels can be written to "
            f"{', '.join(_PIXELS[:-1])} and {_PIXELS[-1]}"
        )


def write_tiff_labels(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write ImageJ's TIFF, or OME-TIFF where ImageJ's cannot hold the labels."""
    yield from _write_tiff(path, image, path.stem.lower().endswith(".ome"))


def write_ome_tiff_labels(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write OME-TIFF."""
    yield from _write_tiff(path, image, True)


def _write_tiff(path: Path, image: LabelImage, is_ome: bool) -> Iterator[JobEvent]:
    yield from ()  # the library asks for one plane after the other, and says nothing
    if image.labels.largest > 2**32 - 1:
        raise FileError(f"{path} was not written: a TIFF holds labels up to 4294967295")
    write_tiff(
        path,
        image.labels,
        image.axes,
        largest=image.labels.largest,
        scale=image.scale,
        unit=image.unit,
        description=_names_text(image),
        force_ome=is_ome,
    )


def write_zarr_labels(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write an OME-Zarr 0.5 store; see `zarr_blocks`."""
    layout = Layout(image.labels.shape, image.axes, image.scale, image.unit)
    values = [] if image.are_objects else image.labels.values
    colours = {value: image.colour_of(value) for value in values}
    metadata = image_label(values, image.class_names, colours)
    yield from zarr_blocks(path, image.labels, layout, metadata)


def write_png_labels(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write a plane as PNG of 8 or 16 bit."""
    labels = image.labels
    plane = [n for n in labels.shape[:-2] if n > 1]
    if plane:
        raise FileError(
            f"{path} was not written: a PNG holds one plane, these labels have the "
            f"shape {labels.shape}; choose .tif"
        )
    if labels.largest > 65535:
        raise FileError(
            f"{path} was not written: a PNG holds labels up to 65535, the largest here "
            f"is {labels.largest}; choose .tif"
        )
    yield from ()
    write_png(path, labels[(0,) * (labels.ndim - 2)])


def write_npy_labels(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write NumPy's own format, which is filled on the disk."""
    labels = image.labels
    places = list(labels.places())
    with replace_file(path) as temporary:
        array = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=labels.dtype, shape=labels.shape
        )
        for done, place in enumerate(places, start=1):
            array[place] = labels[place]
            yield Progress(done, len(places), "blocks")
        array.flush()
        del array


def _names_text(image: LabelImage) -> str:
    names = [] if image.are_objects else sorted(image.class_names.items())
    lines = [f"{value}: {name}" for value, name in names]
    return "\n".join(["labels", *lines]) + "\n" if lines else ""
