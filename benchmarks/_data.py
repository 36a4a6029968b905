"""A folder of images with complete truth, as the benchmarks read it.

``manifest.csv`` names each image by ``set`` and ``name`` with ``axes`` and ``kind``;
pixels are in ``<set>/images/<name>.tif``, the truth in ``<set>/labels/<name>.tif``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

__all__ = ["Picture", "Row", "read_manifest", "read_picture"]

_PLANAR = {"YX", "YXC", "CYX"}


@dataclass(frozen=True)
class Row:
    """One image of the manifest; ``kind`` is 'instance' or 'semantic'.

    ``group``: what the manifest notes as a mosaic that several images were cut from;
    else the image's name.
    """

    set: str
    name: str
    axes: str
    kind: str
    group: str


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, and a truth (Y, X): 1 for the background and 2, ... for the classes."""

    name: str
    axes: str
    image: NDArray[Any]
    truth: NDArray[np.uint8]


def read_manifest(folder: Path) -> dict[str, list[Row]]:
    """Return the 2D images with complete truth, by set, in the manifest's order."""
    sets: dict[str, list[Row]] = {}
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            is_complete = line["kind"] in ("instance", "semantic")
            if line["axes"] in _PLANAR and is_complete:
                name, note = line["name"], line.get("note") or ""
                group = note if note.startswith("mosaic-group") else name
                row = Row(line["set"], name, line["axes"], line["kind"], group)
                sets.setdefault(row.set, []).append(row)
    return sets


def read_picture(folder: Path, row: Row, window_px: int) -> Picture:
    """Read an image and its truth, cut to a central window where a side is longer.

    Objects become one class beside the background; the values of class labels move up
    by one, because 0 means unlabelled to the learner.
    """
    image = tifffile.imread(folder / row.set / "images" / f"{row.name}.tif")
    labels = tifffile.imread(folder / row.set / "labels" / f"{row.name}.tif")
    is_channel = [axis == "C" for axis in row.axes]
    spatial = tuple(
        n for n, channel in zip(image.shape, is_channel, strict=True) if not channel
    )
    if spatial != labels.shape:
        raise ValueError(
            f"{row.set}/{row.name}: the image is {image.shape}, its labels are "
            f"{labels.shape}"
        )
    if row.kind == "instance":
        labels = labels > 0
    window = [_centre(n, window_px) for n in spatial]
    cut = iter(window)
    image = image[tuple(slice(None) if c else next(cut) for c in is_channel)]
    truth = labels[tuple(window)].astype(np.uint8) + np.uint8(1)
    return Picture(row.name, row.axes, np.ascontiguousarray(image), truth)


def _centre(n: int, window_px: int) -> slice:
    """Return the central part of an axis of ``n`` pixels."""
    start = max(0, (n - window_px) // 2)
    return slice(start, min(n, start + window_px))
