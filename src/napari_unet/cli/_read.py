"""Images and labels from files, or one sentence that says why not.

Nothing is read that could run code (no pickles), nothing is silently cut (16-bit colour
PNG, stacks that end early), and a file that claims to be huge costs no memory before
its claim is checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli._console import naming
from napari_unet.cli._zarr import is_zarr, read_zarr
from napari_unet.core.arrays import check_axes
from napari_unet.errors import AnnotationError, FileError, ImageError, NapariUnetError

__all__ = ["SUFFIXES", "ReadImage", "read_image", "read_labels"]

_KINDS = {
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".npy": "NumPy",
}
SUFFIXES = tuple(_KINDS)
"""What can be read, in lower case."""

_MAGIC = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "NumPy": (b"\x93NUMPY",),
    # classic and BigTIFF, both byte orders
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}


@dataclass(frozen=True)
class ReadImage:
    """An image file's pixels and what it says about them.

    ``axes`` has one letter of TCZYX per axis of ``array``, or is None where the file
    does not say; ``steps`` maps axis letters to world units per pixel, for the axes
    that the file gives a size for; ``unit`` is the unit's name in napari.
    """

    path: Path
    array: Any
    axes: str | None = None
    steps: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None

    def scale(self, label_axes: str) -> tuple[float, ...] | None:
        """Return world units per pixel along the axes of a label array, if known."""
        if not set(label_axes) & self.steps.keys():
            return None
        return tuple(self.steps.get(axis, 1.0) for axis in label_axes)

    def voxel_size(self, axes: str | None) -> tuple[float, ...] | None:
        """Return world units per pixel along ``axes`` without channels.

        None unless the file tells all three of a voxel: one that knows the size of its
        pixels alone does not tell how far planes are apart.
        """
        is_known = axes is not None and set("ZYX") <= self.steps.keys() & set(axes)
        return self.scale(axes.replace("C", "")) if axes and is_known else None

    def axes_for(self, label_shape: tuple[int, ...]) -> str | None:
        """Return the axes, or None where a label array of that shape proves them wrong.

        ImageJ calls a plain stack of pages channels; labels on every page say better.
        """
        if "C" in (self.axes or "") and label_shape == self.array.shape:
            return None
        return self.axes


def read_image(
    path: str | os.PathLike[str], axes: str | None = None, level: int = 0
) -> ReadImage:
    """Read an image; zarr and large TIFF and NumPy files stay on disk.

    Parameters
    ----------
    path
        ``.tif``, ``.tiff``, ``.png``, ``.jpg``, ``.jpeg`` or ``.npy``, or the folder of
        a zarr array or an OME-Zarr image.
    axes
        One letter of TCZYX per axis, where the file says nothing or the wrong thing.
    level
        Of an OME-Zarr image, 0 is the finest; other files have no other.

    Raises
    ------
    FileError
        If the file is missing, unreadable, damaged or of another kind.
    ImageError
        If it is a kind of image that cannot be used.
    """
    path = Path(path)
    kind = _check(path)
    try:
        image = _read(path, kind, level)
    except NapariUnetError:
        raise
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into the memory") from error
    except Exception as error:
        # decoders of damaged and hostile files raise anything there is
        detail = str(error).strip().splitlines()
        raise FileError(
            f"{path} cannot be read as {kind}; it is damaged or incomplete"
            + (f" ({detail[0][:120]})" if detail else "")
        ) from error
    if level and kind != "Zarr":
        raise FileError(f"{path} is no OME-Zarr image: leave out --level {level}")
    if image.array.size == 0:
        raise ImageError(f"{path} holds an empty array of shape {image.array.shape}")
    if image.array.dtype.kind not in "buif":
        raise ImageError(
            f"{path} holds values of type {image.array.dtype}; integers or real "
            "numbers can be used"
        )
    if axes is not None:
        image = ReadImage(path, image.array, axes.upper(), image.steps, image.unit)
    if image.axes is not None:
        _check_axes(path, image.axes, image.array.shape)
    return image


def read_labels(path: str | os.PathLike[str], level: int = 0) -> ReadImage:
    """Read an annotation, truth or prediction: whole numbers of 0 or more.

    Raises
    ------
    FileError, ImageError
        See `read_image`.
    AnnotationError
        If the file holds colours, fractions or negative numbers.
    """
    image = read_image(path, level=level)
    array = np.asarray(image.array)
    axes = image.axes or ""
    if "C" in axes and array.shape[axes.index("C")] == 1:  # as many OME-Zarr labels are
        array, axes = array.squeeze(axes.index("C")), axes.replace("C", "")
    if axes.endswith("C"):
        raise AnnotationError(
            f"{path} holds colours (shape {array.shape}), not labels; save the numbers "
            "of the classes instead"
        )
    if array.dtype.kind == "f":
        whole = np.isfinite(array).all() and np.array_equal(array, np.floor(array))
        if not whole or abs(array).max() > 2**31:
            raise AnnotationError(
                f"{path} holds fractions or NaN, not labels; labels are whole numbers"
            )
        array = array.astype(np.int64)
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind == "i" and array.min() < 0:
        raise AnnotationError(
            f"{path} holds the label {array.min()}; labels are 0 (not annotated), 1 "
            "(background), 2 and up"
        )
    # a Z stack may pass for channels (ImageJ's default), but labels have none
    return ReadImage(path=image.path, array=array, steps=image.steps, unit=image.unit)


def _check(path: Path) -> str:
    """Return the kind of a file that is there and begins as its suffix promises."""
    kind = _KINDS.get(path.suffix.lower())
    if path.is_dir():
        if is_zarr(path):
            return "Zarr"
        raise FileError(f"{path} is a folder; give the files in it")
    if kind is None:
        raise FileError(
            f"{path} has the suffix '{path.suffix}'; images can be read from "
            + ", ".join(SUFFIXES)
            + " and zarr folders"
        )
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except FileNotFoundError as error:
        raise FileError(f"there is no file {path}") from error
    except OSError as error:
        raise FileError(f"{path} cannot be opened: {error.strerror}") from error
    if not start:
        raise FileError(f"{path} is empty")
    if not start.startswith(_MAGIC[kind]):
        raise FileError(f"{path} is not a {kind} file, whatever its name says")
    return kind


def _read(path: Path, kind: str, level: int) -> ReadImage:
    if kind == "Zarr":
        return ReadImage(path, *read_zarr(path, level))
    if kind == "TIFF":
        from napari_unet.cli._tiff import read_tiff

        return ReadImage(path, *read_tiff(path))
    if kind == "NumPy":
        # mapped first: a header that claims terabytes is refused, not allocated
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return ReadImage(path, mapped if mapped.nbytes > 2**28 else np.array(mapped))
    return _read_picture(path, kind)


def _read_picture(path: Path, kind: str) -> ReadImage:
    import warnings

    import imageio.v3 as iio

    options = {}
    if kind == "PNG":
        with open(path, "rb") as file:
            depth, colour_type = file.read(26)[24:26]
        # the reader would silently cut it to 8 bit
        if depth == 16 and colour_type != 0:
            raise ImageError(
                f"{path} is a 16-bit PNG with colours, which would be cut to 8 bit; "
                "save it as TIFF"
            )
        # a palette's indices are the labels; its colours are decoration
        if colour_type == 3:
            options["mode"] = "P"
    with warnings.catch_warnings():
        # beyond 89 megapixels Pillow warns, beyond 179 it refuses
        warnings.simplefilter("ignore")
        array = np.asarray(iio.imread(path, plugin="pillow", index=0, **options))
    if array.ndim == 3 and array.shape[2] == 2:
        array = array[..., 0]  # grey with transparency
    return ReadImage(path, array, "YXC" if array.ndim == 3 else "YX")


def _check_axes(path: Path, axes: str, shape: tuple[int, ...]) -> None:
    if len(axes) != len(shape):
        raise ImageError(
            f"the axes '{axes}' have {len(axes)} letters, but {path} has the "
            f"shape {shape}"
        )
    with naming(path):
        check_axes(axes)
