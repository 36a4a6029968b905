"""Names of classes that a label file tells, as `write_labels` wrote them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_unet.cli._zarr import is_zarr

__all__ = ["read_label_names"]

_LINE = re.compile(r"(\d+): (.+)")


def read_label_names(path: Path) -> dict[int, str]:
    """Return label value -> name; empty where the file tells none.

    For a file that was read already: what is wrong with it is told there.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        return _of_text(_tiff_text(path))
    if is_zarr(path):
        return _of_properties(_zarr_properties(path))
    return {}


def _tiff_text(path: Path) -> str:
    """Return ImageJ's info, or OME's description."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        if tiff.is_imagej:
            return str((tiff.imagej_metadata or {}).get("Info", ""))
        if not tiff.is_ome:
            return ""
        texts = ElementTree.fromstring(tiff.ome_metadata or "<OME/>").iter()
        ours = (e.text for e in texts if e.tag.endswith("}Description"))
        return next(ours, "") or ""


def _of_text(text: str) -> dict[int, str]:
    first, *lines = text.splitlines() or [""]
    if first != "labels":  # what others write there may be anything
        return {}
    matches = [_LINE.fullmatch(line) for line in lines]
    return {int(match[1]): match[2] for match in matches if match is not None}


def _zarr_properties(path: Path) -> Any:
    import zarr

    attributes = zarr.open(path, mode="r").attrs.asdict()
    ome = attributes.get("ome", attributes)
    label = ome.get("image-label") if isinstance(ome, dict) else None
    return label.get("properties") if isinstance(label, dict) else None


def _of_properties(properties: Any) -> dict[int, str]:
    entries = properties if isinstance(properties, list) else []
    return {
        entry["label-value"]: str(entry["class"])
        for entry in entries
        if isinstance(entry, dict)
        and isinstance(entry.get("label-value"), int)
        and "class" in entry
    }
