"""Labels to a file of any format, as a job."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.export.formats import format_of
from napari_unet.export.label_image import (
    LabelBlocks,
    LabelImage,
    Stopped,
    label_axes,
)
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["export_job"]


def export_job(
    path: str | os.PathLike[str],
    labels: Any,
    *,
    token: CancelToken | None = None,
    format: str | None = None,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    class_names: Mapping[int, str] | None = None,
    class_colours: Mapping[int, tuple[int, int, int]] | None = None,
    are_objects: bool = False,
    class_labels: Any = None,
    background: int | None = None,
    name: str = "image",
) -> Generator[JobEvent, None, Path | None]:
    """Write a label image to a file; yields how far it is.

    The file appears whole or not at all. TIFF, OME-Zarr and NumPy files take labels
    that are larger than memory, if they are read where they are sliced (dask, zarr);
    outlines (GeoJSON, ROIs, COCO) take a plane at a time, and PNG its one.

    Parameters
    ----------
    path
        File to write.
    labels
        Integers of 0 or more, shape (Y, X), (Z, Y, X), (T, Y, X) or (T, Z, Y, X).
    token
        Asked before each part that is read.
    format
        A name in `FORMATS`; None: by the suffix.
    axes
        One letter per axis; by default YX, ZYX, TZYX.
    scale
        World units per pixel, one number per axis.
    unit
        Unit of the spatial axes, such as ``"um"``.
    class_names, class_colours
        Names, and RGB (0..255), of class values.
    are_objects
        Whether each value is the number of an object instead of a class.
    class_labels
        With objects: class values, of the shape of ``labels``. An object has the class
        that most of its pixels have.
    background
        A value that is no class and no object, as 0 never is; outlines leave it out.
    name
        Of the image that the labels are of (COCO's ``file_name``).

    Returns
    -------
    Path or None
        The file; None where the job was stopped, and wrote nothing.

    Raises
    ------
    FileError
        If there is no such format, it cannot hold these labels, or the file cannot be
        written.
    ImageError
        If the array holds no labels, or what is needed of it at once does not fit into
        memory.
    """
    path = Path(path)
    chosen = format_of(path, format)
    try:
        blocks = LabelBlocks(labels, token)
        image = LabelImage(
            blocks,
            label_axes(axes, blocks.ndim),
            scale,
            unit,
            class_names or {},
            class_colours or {},
            are_objects,
            None if class_labels is None else LabelBlocks(class_labels, token),
            background,
            name,
        )
        yield from chosen.load()(path, image)
    except Stopped:
        return None
    return path
