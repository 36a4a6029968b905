"""The formats that labels leave in: one table for the command line and the viewer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.errors import FileError

if TYPE_CHECKING:
    from napari_unet.export.label_image import LabelImage
    from napari_unet.jobs import JobEvent

__all__ = ["FORMATS", "Format", "Writer", "format_of"]

Writer = Callable[[Path, "LabelImage"], Iterator["JobEvent"]]
"""Writes labels to a path, whole or not at all; yields how far it is."""


@dataclass(frozen=True)
class Format:
    """A format, and what people should know before they choose it.

    Attributes
    ----------
    name
        On the command line.
    title
        In menus.
    suffixes
        Of its files, in lower case; the first is that of new ones.
    keeps, loses
        One line each.
    writer
        ``"module:function"`` of a `Writer`, imported when it is needed.
    is_table
        Whether it holds numbers about labels instead of labels.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    keeps: str
    loses: str
    writer: str
    is_table: bool = False

    def load(self) -> Writer:
        """Import the writer."""
        module, _, name = self.writer.partition(":")
        writer: Writer = getattr(import_module(module), name)
        return writer

    def fits(self, path: str | os.PathLike[str]) -> bool:
        """Whether a file of that name may be of this format."""
        return Path(path).name.lower().endswith(self.suffixes)


_HERE = "napari_unet.export"

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format(
            "tiff",
            "TIFF (Fiji, napari)",
            (".tif", ".tiff"),
            "every plane, pixel size and unit, class names as text",
            "colours; values above 65535 turn it into OME-TIFF",
            f"{_HERE}.labels:write_tiff_labels",
        ),
        Format(
            "ome-tiff",
            "OME-TIFF (QuPath, OMERO)",
            (".ome.tif", ".ome.tiff"),
            "every plane, pixel size and unit, class names as text",
            "colours",
            f"{_HERE}.labels:write_ome_tiff_labels",
        ),
        Format(
            "ome-zarr",
            "OME-Zarr",
            (".zarr",),
            "any size, pixel size and unit, class names and colours",
            "the class of each object",
            f"{_HERE}.labels:write_zarr_labels",
        ),
        Format(
            "png",
            "PNG",
            (".png",),
            "values up to 65535 of one plane",
            "pixel size, names, colours",
            f"{_HERE}.labels:write_png_labels",
        ),
        Format(
            "npy",
            "NumPy array",
            (".npy",),
            "values and shape, nothing else",
            "pixel size, names, colours",
            f"{_HERE}.labels:write_npy_labels",
        ),
        Format(
            "geojson",
            "GeoJSON (QuPath)",
            (".geojson",),
            "exact outlines with holes, classes, colours, planes",
            "pixel size (QuPath has the image's), 3D",
            f"{_HERE}.geojson:write_geojson",
        ),
        Format(
            "imagej-roi",
            "ImageJ ROIs",
            (".zip",),
            "exact outlines with holes, class names, colours, planes",
            "pixel size (ImageJ has the image's), 3D",
            f"{_HERE}.imagej_roi:write_imagej_rois",
        ),
        Format(
            "coco",
            "COCO JSON",
            (".json",),
            "exact masks, classes, boxes, areas",
            "pixel size, colours, 3D",
            f"{_HERE}.coco:write_coco",
        ),
        Format(
            "csv",
            "CSV table (R, Excel, pandas)",
            (".csv",),
            "sizes and shapes in physical units, class names",
            "the pixels; for intensities and columns use Measurements",
            f"{_HERE}.table_format:write_label_table",
            is_table=True,
        ),
        Format(
            "parquet",
            "Parquet table (pandas, R)",
            (".parquet",),
            "sizes and shapes with units and types, class names",
            "the pixels; for intensities and columns use Measurements",
            f"{_HERE}.table_format:write_label_table",
            is_table=True,
        ),
    )
}
"""Formats by name, in the order in which they are offered."""


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """Return the format of a file: the one that is named, else that of its suffix.

    Raises
    ------
    FileError
        If no format of that name is known, no format has that suffix, or the suffix
        promises another one.
    """
    if name is not None and name not in FORMATS:
        raise FileError(f"there is no format '{name}'; choose {', '.join(FORMATS)}")
    candidates = [each for each in FORMATS.values() if each.fits(path)]
    # of .ome.tif and .tif, the longer one tells more
    candidates.sort(key=lambda each: -max(map(len, each.suffixes)))
    if name is None:
        if candidates:
            return candidates[0]
        suffixes = ", ".join(each.suffixes[0] for each in FORMATS.values())
        raise FileError(
            f"{path} has the suffix '{Path(path).suffix}'; labels can be written to "
            f"{suffixes}"
        )
    chosen = FORMATS[name]
    if chosen not in candidates:
        raise FileError(
            f"{path} does not end in {' or '.join(chosen.suffixes)}, as files of the "
            f"format {name} do; rename it"
        )
    return chosen
