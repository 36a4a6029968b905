"""TIFF in: pixels, axes and pixel size as ImageJ, OME or tifffile wrote them."""

from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from napari_unet.cli._lazy import LazyArray
from napari_unet.errors import FileError, ImageError
from napari_unet.export import unit_name

__all__ = ["read_tiff"]

_MAPPED_BYTES = 2**28  # above, uncompressed images stay on disk
_LAZY_BYTES = 2**30  # above, compressed and tiled ones are decoded where they are read
# deflate, the densest of the common ones, reaches 1032
_MAX_RATIO = 2000
# what tifffile decodes itself: none, deflate twice, packbits, lzma
_OWN_CODECS = {1, 8, 32946, 32773, 34925}


def read_tiff(path: Path) -> tuple[Any, str | None, dict[str, float], str | None]:
    """Return the first series of a TIFF as (array, axes, steps, unit).

    ``axes`` is None where the file only says how many pages it has; ``steps`` maps axis
    letters to world units per pixel.

    Raises
    ------
    FileError
        If the file is damaged, ends early, or needs a codec that is not installed.
    """
    complaints: list[str] = []
    with _listen(complaints), tifffile.TiffFile(path) as tiff:
        if not tiff.series:
            raise FileError(f"{path} cannot be read as TIFF; it holds no image")
        series = tiff.series[0]
        codec = tiff.pages[0].compression
        _check_size(path, series, codec)
        try:
            array, axes = _pixels(path, tiff, series)
        except Exception as error:
            if codec not in _OWN_CODECS and not importlib.util.find_spec("imagecodecs"):
                raise FileError(
                    f"{path} is compressed with {_codec_name(codec)}, which needs the "
                    "package imagecodecs: pip install imagecodecs, or save the image "
                    "without compression"
                ) from error
            raise
        steps, unit = _calibration(tiff)
    # a stack that was cut off is otherwise read as one with fewer planes
    if complaints:
        raise FileError(
            f"{path} cannot be read as TIFF; it is damaged or incomplete "
            f"({complaints[0][:120]})"
        )
    return array, axes, steps, unit


def _pixels(path: Path, tiff: Any, series: Any) -> tuple[Any, str | None]:
    """Return array and axes of a series, without unnamed axes of one page."""
    kept, axes = _kept_axes(series)
    shape = tuple(n for n, is_kept in zip(series.shape, kept, strict=True) if is_kept)
    if series.dataoffset is not None and series.nbytes > _MAPPED_BYTES:
        dtype = series.dtype.newbyteorder(tiff.byteorder)
        mapped = np.memmap(path, dtype, "r", series.dataoffset, series.shape)
        return mapped.reshape(shape), axes
    if series.nbytes > _LAZY_BYTES:
        return _lazy(path, series, kept), axes
    return series.asarray().reshape(shape), axes


def _lazy(path: Path, series: Any, kept: list[bool]) -> LazyArray:
    """Return pixels that stay on disk: tiles or strips are decoded as they are read."""
    import zarr

    end = max(
        offset + n
        for page in series.pages
        if page is not None
        for offset, n in zip(page.dataoffsets, page.databytecounts, strict=True)
    )
    if end > path.stat().st_size:
        raise FileError(
            f"{path} cannot be read as TIFF; it is damaged or incomplete (it ends "
            "before its pixels do)"
        )
    # a file of its own, which stays open as long as the array is there
    store = tifffile.imread(path, aszarr=True, series=0, level=0)
    array = LazyArray(path, zarr.open(store, mode="r"), kept, store.close)
    array[(slice(0, 1),) * array.ndim]  # a codec that is missing is missed now
    return array


def _check_size(path: Path, series: Any, codec: int) -> None:
    """Refuse a file that claims far more pixels than it can hold."""
    n_bytes = math.prod(series.shape) * series.dtype.itemsize
    ratio = 1 if codec == 1 else _MAX_RATIO
    if n_bytes > path.stat().st_size * ratio + 2**20:
        raise FileError(
            f"{path} cannot be read as TIFF; it is damaged or incomplete (it claims "
            f"the shape {series.shape}, but is too small for that)"
        )
    if series.dtype.kind not in "buif":
        raise ImageError(
            f"{path} holds values of type {series.dtype}; integers or real numbers can "
            "be used"
        )


def _kept_axes(series: Any) -> tuple[list[bool], str | None]:
    """Return which axes count, and their letters; None if one has no known meaning.

    An unnamed axis of one page is no axis at all.
    """
    letters = series.axes.replace("S", "C")
    kept = [
        n > 1 or letter in "TCZYX"
        for n, letter in zip(series.shape, letters, strict=True)
    ]
    named = zip(letters, kept, strict=True)
    axes = "".join(letter for letter, is_kept in named if is_kept)
    is_known = set(axes) <= set("TCZYX") and len(set(axes)) == len(axes)
    is_known &= {"Y", "X"} <= set(axes)
    return kept, axes if is_known else None


def _calibration(tiff: Any) -> tuple[dict[str, float], str | None]:
    if tiff.is_ome:
        return _ome_calibration(tiff.ome_metadata)
    if tiff.is_imagej:
        return _imagej_calibration(tiff)
    # a plain TIFF's resolution is that of a printer, as a rule
    return {}, None


def _imagej_calibration(tiff: Any) -> tuple[dict[str, float], str | None]:
    metadata = tiff.imagej_metadata or {}
    tags = tiff.pages[0].tags
    steps: dict[str, float] = {}
    for axis, tag in (("Y", "YResolution"), ("X", "XResolution")):
        if tag in tags:
            numerator, denominator = tags[tag].value
            if numerator and denominator:
                steps[axis] = denominator / numerator
    unit = unit_name(metadata.get("unit"))
    if unit is None and all(step == 1 for step in steps.values()):
        return {}, None
    for axis, key in (("Z", "spacing"), ("T", "finterval")):
        steps |= _positive(axis, metadata.get(key))
    return steps, unit


def _ome_calibration(text: str) -> tuple[dict[str, float], str | None]:
    try:
        pixels = ElementTree.fromstring(text).find(".//{*}Pixels")
    except ElementTree.ParseError:
        return {}, None
    if pixels is None:
        return {}, None
    steps: dict[str, float] = {}
    units = set()
    for axis in "ZYX":
        found = _positive(axis, pixels.get(f"PhysicalSize{axis}"))
        if found:
            units.add(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        steps |= found
    if len(units) > 1:
        return {}, None
    steps |= _positive("T", pixels.get("TimeIncrement"))
    return steps, unit_name(units.pop()) if units else None


def _positive(axis: str, value: Any) -> dict[str, float]:
    try:
        step = float(value)
    except (TypeError, ValueError):
        return {}
    return {axis: step} if math.isfinite(step) and step > 0 else {}


def _codec_name(codec: int) -> str:
    try:
        return tifffile.COMPRESSION(codec).name
    except ValueError:
        return f"codec {codec}"


@contextmanager
def _listen(complaints: list[str]) -> Iterator[None]:
    """Collect what tifffile logs as errors, instead of letting it print them."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                complaints.append(record.getMessage())

    logger, handler = logging.getLogger("tifffile"), Collector()
    propagate = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
