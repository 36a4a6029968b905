"""Real tasks: patches of annotated images, with classes made from their labels."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries
from torch.nn import functional as F

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import Normaliser
from tools.pretrain.fields import log_uniform
from tools.pretrain.procedural import Pair, View

__all__ = ["RealImages", "set_names", "validation_rows"]

# shown as samples with the program: scores on them must stay honest
SAMPLES = {
    ("dsb2018_fluo", "ad9d305cbf193d42"),
    ("dsb2018_histo_rgb", "ea94ba4b01d1bd5f"),
}
_VALIDATION_EVERY = 8  # one group of images in so many is for validation
_LEAST_BACKGROUND = 0.01  # share of the pixels


@dataclass(frozen=True, eq=False)
class _Picture:
    """A normalised plane (C, H, W), float16, and its labels (H, W)."""

    image: NDArray[np.float16]
    labels: NDArray[np.uint16]
    kind: str


class RealImages:
    """The images of a folder with ``manifest.csv``, by set.

    Parameters
    ----------
    folder
        Holds ``<set>/images/*.tif``, ``<set>/labels/*.tif`` and the manifest.
    validation
        Whether to take the images that training leaves out, instead of the others.
    """

    def __init__(self, folder: Path, *, validation: bool = False) -> None:
        self.sets: dict[str, list[_Picture]] = {}
        for row in _rows(folder, validation):
            pictures = self.sets.setdefault(row["set"], [])
            pictures += _read(folder, row, validation)

    def draw(self, rng: np.random.Generator, size: int) -> Pair:
        """Return two patches of one set, (size, size) px each, with one task's classes.

        The second is from the same image 4 times of 10, else from any of the set; zoom,
        polarity, colours and exposure are random, the same for both but for exposure.
        """
        while True:
            names = list(self.sets)
            pictures = self.sets[names[rng.integers(len(names))]]
            first = pictures[rng.integers(len(pictures))]
            same_kind = [p for p in pictures if len(p.image) == len(first.image)]
            second = first
            if rng.random() < 0.6:
                second = same_kind[rng.integers(len(same_kind))]
            task = _draw_task(rng, first)
            zoom = log_uniform(rng, 0.35, 2.5)
            colours = _draw_colours(rng, len(first.image))
            views = [
                _crop(rng, picture, size, zoom, task, colours)
                for picture in (first, second)
            ]
            counts = np.bincount(views[0].truth.ravel(), minlength=5)[1:]
            if (counts > 0.004 * size**2).sum() >= 2:
                return _compact(views, counts > 0.004 * size**2)


def validation_rows(folder: Path) -> list[dict[str, str]]:
    """Return the manifest's rows of the images that training leaves out.

    A volume is there also: its last planes are left out.
    """
    return _rows(folder, True)


def _rows(folder: Path, validation: bool) -> list[dict[str, str]]:
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in _read_manifest(folder):
        groups.setdefault((row["set"], _group(row)), []).append(row)
    chosen: list[dict[str, str]] = []
    n_groups: dict[str, int] = {}
    for name, group in sorted(groups):
        number = n_groups[name] = n_groups.get(name, -1) + 1
        rows = groups[name, group]
        if any((name, row["name"]) in SAMPLES for row in rows):
            continue
        is_held_out = number % _VALIDATION_EVERY == 0
        chosen += [r for r in rows if r["axes"] == "ZYX" or is_held_out == validation]
    return chosen


def _group(row: dict[str, str]) -> str:
    """Return what tiles of one field have in common: they are held out together."""
    note = row.get("note", "")
    return note if note.startswith("mosaic-group") else row["name"]


def set_names(folder: Path) -> list[str]:
    """Return the names of the sets in a folder."""
    return sorted({row["set"] for row in _read_manifest(folder)})


def _read_manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read(folder: Path, row: dict[str, str], validation: bool) -> list[_Picture]:
    image = tifffile.imread(folder / row["set"] / "images" / f"{row['name']}.tif")
    labels = tifffile.imread(folder / row["set"] / "labels" / f"{row['name']}.tif")
    if row["axes"] == "ZYX":  # one volume: the last planes are for validation
        n = len(image)
        chosen = range(n - 16, n, 5) if validation else range(0, n - 24, 3)
        planes = [(image[z], labels[z], "YX") for z in chosen]
    else:
        planes = [(image, labels, row["axes"])]
    pictures = []
    for plane, truth, axes in planes:
        channels = np.moveaxis(plane, -1, 0) if axes == "YXC" else plane[None]
        normalised = Normaliser.fit(PlaneStack(plane, axes)).apply(channels)
        # a few unlabelled pixels between neighbours are no background
        kind = row["kind"] if (truth == 0).mean() > _LEAST_BACKGROUND else "dense"
        pictures.append(
            _Picture(
                normalised.astype(np.float16),
                truth.astype(np.uint16),
                kind,
            )
        )
    return pictures


def _draw_task(rng: np.random.Generator, picture: _Picture) -> tuple[str, int, int]:
    """Return what to make of labels: name, border width (px), chosen class."""
    width = int(rng.integers(1, 4))
    chosen = int(rng.integers(0, max(int(picture.labels.max()), 1) + 1))
    if picture.kind == "semantic":
        return str(rng.choice(["classes", "classes", "one"])), width, chosen
    if picture.kind == "dense":
        return "border", width, 0
    task = rng.choice(["objects", "inside", "border"], p=[0.6, 0.25, 0.15])
    return str(task), width, 0


def _classes(
    labels: NDArray[np.uint16], task: tuple[str, int, int]
) -> NDArray[np.uint8]:
    """Return classes 1, 2, ... for labels."""
    name, width, chosen = task
    if name == "classes":
        return (labels + 1).astype(np.uint8)
    if name == "one":
        return (labels == chosen).astype(np.uint8) + np.uint8(1)
    truth = (labels > 0).astype(np.uint8) + np.uint8(1)
    if name == "objects":
        return truth
    border = np.asarray(find_boundaries(labels, mode="inner"))
    for _ in range(width - 1):
        border = border | _grown(border)
    if name == "border":
        return border.astype(np.uint8) + np.uint8(1)
    truth[border & (labels > 0)] = 3
    return truth


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _draw_colours(rng: np.random.Generator, n_channels: int) -> NDArray[np.float32]:
    """Return a matrix (new channels, channels): permuted colours, or grey."""
    if n_channels == 1:
        return np.ones((1, 1), np.float32)
    if rng.random() < 0.3:
        mix = rng.uniform(0, 1, (1, n_channels)).astype(np.float32)
        return mix / mix.sum()
    eye = np.eye(n_channels, dtype=np.float32)
    return eye[rng.permutation(n_channels)] if rng.random() < 0.5 else eye


def _crop(
    rng: np.random.Generator,
    picture: _Picture,
    size: int,
    zoom: float,
    task: tuple[str, int, int],
    colours: NDArray[np.float32],
) -> View:
    height, width = picture.labels.shape
    side = min(round(size / zoom), height, width)
    y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    window = (slice(y, y + side), slice(x, x + side))
    image = picture.image[:, *window].astype(np.float32)
    image = np.einsum("dc,chw->dhw", colours, image)
    resized = F.interpolate(
        torch.from_numpy(image)[None], (size, size), mode="bilinear", antialias=True
    )[0].numpy()
    index = (np.arange(size) + 0.5) * side / size
    rows = index.astype(int).clip(max=side - 1)
    labels = picture.labels[window][np.ix_(rows, rows)]
    return View(resized, _classes(labels, task))


def _compact(views: list[View], is_present: NDArray[np.bool_]) -> Pair:
    """Return the views, classes of the first one numbered 1, 2, ...; others unknown."""
    table = np.zeros(256, np.uint8)
    table[1 : len(is_present) + 1][is_present] = np.arange(1, is_present.sum() + 1)
    known = [View(v.image, table[v.truth]) for v in views]
    return Pair(*known)
