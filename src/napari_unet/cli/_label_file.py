"""Label files that are exported or measured: left on disk where they are large."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_unet.cli._read import ReadImage, read_image, read_labels
from napari_unet.errors import AnnotationError

__all__ = ["open_labels"]


def open_labels(path: Path, axes: str | None = None, level: int = 0) -> ReadImage:
    """Read labels; zarr and large files stay on disk and are read where sliced.

    Parameters
    ----------
    path
        Of the file.
    axes
        One letter per axis where the file does not say, or is wrong; in the order of
        TZYX.
    level
        Of an OME-Zarr image.

    Raises
    ------
    FileError, ImageError
        See `read_image`.
    AnnotationError
        If the file holds colours, fractions or negative numbers.
    """
    image = read_image(path, axes, level)
    known = image.axes
    if known is not None and known.endswith("C"):
        raise AnnotationError(
            f"{path} holds colours (shape {image.array.shape}), not labels; save the "
            "numbers of the classes instead"
        )
    if known is not None and "C" in known:
        # one channel is none; several are planes that ImageJ takes for channels
        known = None if image.array.shape[known.index("C")] > 1 else known
    is_lazy = not isinstance(image.array, np.ndarray) or isinstance(
        image.array, np.memmap
    )
    if is_lazy and image.array.dtype.kind in "bui" and "C" not in (known or ""):
        return replace(image, axes=known)
    labels = read_labels(path, level)
    known = None if known is None else known.replace("C", "")
    return replace(labels, axes=known)
