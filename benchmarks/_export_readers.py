"""What other libraries find in exported files: pixels, names, colours, pixel size."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]


@dataclass
class Back:
    """What came back; empty where the format says nothing of it.

    ``names`` and ``colours`` are those of the label values: of objects, of their class.
    """

    labels: NDArray[Any]
    names: dict[int, str] = field(default_factory=dict)
    colours: dict[int, Colour] = field(default_factory=dict)
    scale: tuple[float, ...] = ()


Read = Callable[[Path, tuple[int, ...], dict[str, int]], Back]
"""Reads a file of labels of a shape; the names tell values that the file does not."""


@dataclass(frozen=True)
class Reader:
    """A library, and how it reads a file."""

    library: str
    read: Read
    is_outline: bool = False
    """Whether the format leaves the background out."""


def _tiff(path: Path, *_: Any) -> Back:
    import tifffile

    with tifffile.TiffFile(path) as file:
        text = file.imagej_metadata.get("Info", "")
        tags = file.pages[0].tags
        scale = tuple(
            tags[f"{axis}Resolution"].value[1] / tags[f"{axis}Resolution"].value[0]
            for axis in "YX"
        )
        return Back(file.asarray(), _names(text), scale=scale)


def _ome_tiff(path: Path, *_: Any) -> Back:
    import tifffile

    with tifffile.TiffFile(path) as file:
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        pixels = image["Pixels"]
        scale = (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"])
        return Back(file.asarray(), _names(image.get("Description", "")), scale=scale)


def _names(text: str) -> dict[int, str]:
    pairs = (line.partition(": ") for line in text.splitlines() if ": " in line)
    return {int(value): name for value, _, name in pairs}


def _ome_zarr(path: Path, *_: Any) -> Back:
    import contextlib
    import io

    from napari_ome_zarr import napari_get_reader

    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it reads
        ((data, facts, _kind),) = napari_get_reader(str(path))(str(path))
    level = data[0] if isinstance(data, list) else data
    properties, names = facts.get("properties") or {}, {}
    if "class" in properties:
        names = dict(zip(properties["index"], properties["class"], strict=True))
    colours = {}
    for value, rgba in (facts.get("colormap") or {}).items():
        if value:
            colours[int(value)] = _rgb(rgba)
    return Back(np.asarray(level), names, colours, tuple(facts["scale"]))


def _rgb(rgba: Any) -> Colour:
    red, green, blue = (round(float(part) * 255) for part in rgba[:3])
    return red, green, blue


def _png(path: Path, *_: Any) -> Back:
    import imageio.v3 as iio

    return Back(iio.imread(path))


def _npy(path: Path, *_: Any) -> Back:
    return Back(np.load(path, allow_pickle=False))


def _geojson(path: Path, shape: tuple[int, ...], values: dict[str, int]) -> Back:
    import shapely

    back = Back(np.zeros(shape, np.int64))
    for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
        outline = shapely.from_geojson(json.dumps(feature))
        if not outline.is_valid:
            raise ValueError(shapely.is_valid_reason(outline))
        properties = feature["properties"]
        kind = properties["classification"]
        value = properties.get("measurements", {}).get("Label")
        if value is None:  # a class is known by its name
            value = values[kind["name"]]
        _fill(back.labels, outline, value)
        back.names[value] = kind["name"]
        back.colours[value] = tuple(kind["color"])
    return back


def _fill(labels: NDArray[Any], outline: Any, value: int) -> None:
    """Give a value to the pixels whose centres lie inside."""
    import shapely

    x0, y0, x1, y1 = map(int, outline.bounds)
    y, x = np.mgrid[y0:y1, x0:x1] + 0.5
    shapely.prepare(outline)
    labels[y0:y1, x0:x1][shapely.contains_xy(outline, x, y)] = value


def _rois(path: Path, shape: tuple[int, ...], values: dict[str, int]) -> Back:
    import roifile
    import shapely

    back = Back(np.zeros(shape, np.int64))
    for roi in roifile.roiread(path):
        outline = shapely.Polygon()
        for ring in roi.coordinates(multi=True):
            outline = outline.symmetric_difference(shapely.Polygon(ring))
        _number, name = roi.name.split(" ", 1)
        first, _, last = name.rpartition(" ")
        if last.isdecimal():
            value, name = int(last), first
        else:
            value = values[name]
        _fill(back.labels, outline, value)
        back.names[value] = name
        red, green, blue = roi.stroke_color[1:]
        back.colours[value] = (red, green, blue)
    return back


def _coco(path: Path, shape: tuple[int, ...], _: dict[str, int]) -> Back:
    import contextlib
    import io
    import warnings

    from pycocotools.coco import COCO

    back = Back(np.zeros(shape, np.int64))
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = COCO(str(path))
        for annotation in found.loadAnns(found.getAnnIds()):
            category = found.loadCats(annotation["category_id"])[0]
            value = annotation.get("label", category["id"])
            back.labels[found.annToMask(annotation).astype(bool)] = value
            back.names[value] = category["name"]
    return back


READERS = {
    "tiff": Reader("tifffile", _tiff),
    "ome-tiff": Reader("tifffile", _ome_tiff),
    "ome-zarr": Reader("napari-ome-zarr", _ome_zarr),
    "png": Reader("imageio", _png),
    "npy": Reader("NumPy", _npy),
    "geojson": Reader("shapely", _geojson, is_outline=True),
    "imagej-roi": Reader("roifile", _rois, is_outline=True),
    "coco": Reader("pycocotools", _coco, is_outline=True),
}
"""By the format's name."""
