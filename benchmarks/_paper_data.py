"""What the paper benchmark trains and tests on: halves of sets, and parts of them.

Nothing here is chosen by results: the halves follow from the manifest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from _data import Row
from numpy.typing import NDArray

from napari_unet.annotation.objects import number_instances, object_targets

REGION_PX = 64
"""Side of the squares that are annotated where only a part is."""


@dataclass(frozen=True)
class PaperSet:
    """A set, and its one measure that decides who is ahead, chosen before any run.

    ``is_series``: its images are sections of one stack or frames of one sequence.
    """

    title: str
    measure: str
    is_series: bool


SETS = {
    "isbi2012_em": PaperSet("ISBI 2012 EM", "v_rand", True),
    "ctc_dic_hela": PaperSet("DIC-HeLa", "seg", True),
    "usiigaci_phc": PaperSet("glioblastoma, phase contrast", "seg", False),
    "bbbc039_nuclei": PaperSet("BBBC039", "f1_50", False),
    "dsb2018_fluo": PaperSet("DSB 2018, fluorescence", "map", False),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """One image (Y, X), its truth as the file has it, and its complete annotation.

    ``truth``: ids of objects, 0 the background; of membranes 0, of cells 1.
    ``annotation``: 0 unlabelled, 1 background, 2 and up one for each object; of
    membranes 1, of cells 2.
    """

    name: str
    image: NDArray[Any]
    truth: NDArray[Any]
    annotation: NDArray[Any]


def smallest_px(annotations: Sequence[NDArray[Any]]) -> int:
    """Return what is too small to be an object, from those that are annotated (px).

    A quarter of the size that all but 5 % of them exceed, as the program itself has it
    (`napari_unet.annotation.object_sizes`), which also leaves out objects that are cut
    where only a part of an image is annotated.
    """
    sizes: list[int] = []
    for part in annotations:
        values, n_px = np.unique(part, return_counts=True)
        sizes += n_px[values > 1].tolist()
    return round(float(np.percentile(sizes, 5)) / 4) if sizes else 0


def split(name: str, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the training half and the rest, of a set's images in manifest order.

    Of a series the first half is trained on: what is beside a tested section or frame
    was not. Of others every other image is, and images of one group (tiles of one
    mosaic) stay together.
    """
    if SETS[name].is_series:
        n_train = (len(rows) + 1) // 2
        return list(rows[:n_train]), list(rows[n_train:])
    groups = list(dict.fromkeys(row.group for row in rows))
    first = set(groups[::2])
    return (
        [row for row in rows if row.group in first],
        [row for row in rows if row.group not in first],
    )


def read_half(folder: Path, rows: Sequence[Row]) -> list[Sample]:
    """Read images with truth and annotation."""
    return [_read(folder, row) for row in rows]


def keep_part(
    samples: Sequence[Sample], fraction: float, seed: int
) -> list[NDArray[Any]]:
    """Return annotations of which only about ``fraction`` of all pixels is left.

    Squares of `REGION_PX` stay completely annotated, in an order drawn by ``seed``,
    until the fraction is reached; smaller fractions are parts of larger ones. The first
    is one with as many objects as any, so that every method knows of all classes.
    """
    whole = [sample.annotation for sample in samples]
    if fraction >= 1:
        return [part.copy() for part in whole]
    squares = [
        (number, slice(y, y + REGION_PX), slice(x, x + REGION_PX))
        for number, part in enumerate(whole)
        for y in range(0, part.shape[0], REGION_PX)
        for x in range(0, part.shape[1], REGION_PX)
    ]
    order = np.random.default_rng(seed).permutation(len(squares))
    squares = [squares[place] for place in order]
    n_values = [len(np.unique(whole[n][y, x])) for n, y, x in squares]
    squares.insert(0, squares.pop(int(np.argmax(n_values))))
    wanted_px = fraction * sum(part.size for part in whole)
    kept = [np.zeros_like(part) for part in whole]
    n_px = 0
    for number, *place in squares:
        if n_px >= wanted_px:
            break
        square = whole[number][tuple(place)]
        kept[number][tuple(place)] = square
        n_px += square.size
    return kept


def targets_of(kind: str, annotation: NDArray[Any]) -> NDArray[np.uint8]:
    """Return what a network learns: 0 unlabelled, 1 background, 2 inside, 3 border.

    The learner makes the same of its annotation by itself. Of membranes: 1 and 2.
    """
    if kind == "instance":
        return object_targets(annotation)
    return annotation.astype(np.uint8)


def _read(folder: Path, row: Row) -> Sample:
    image = tifffile.imread(folder / row.set / "images" / f"{row.name}.tif")
    truth = tifffile.imread(folder / row.set / "labels" / f"{row.name}.tif")
    if row.axes != "YX" or image.shape != truth.shape:
        raise ValueError(
            f"{row.set}/{row.name}: axes {row.axes}, image {image.shape}, labels "
            f"{truth.shape}: this benchmark is for grey images with labels of that size"
        )
    return Sample(row.name, image, truth, number_instances(truth))
