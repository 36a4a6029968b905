"""How large annotated objects are, and what is too small to be one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.tiled import TiledLabels

__all__ = ["FEWEST_OBJECTS", "ObjectSizes", "object_sizes", "smallest_object_px"]

FEWEST_OBJECTS = 3
"""From fewer, nothing is said of the others."""


@dataclass(frozen=True, eq=False)
class ObjectSizes:
    """Sizes (px) of the annotated objects of an image.

    Attributes
    ----------
    whole
        Shape (n,): of objects that are annotated as far as they are in the image. Those
        at its border are among them, because predicted ones will end there as well.
    cut
        Shape (m,): of those that end at the edge of a completely annotated part. They
        may be larger than what is annotated of them.
    """

    whole: NDArray[np.intp]
    cut: NDArray[np.intp]


def object_sizes(
    ids: TiledLabels | NDArray[np.integer],
    complete: TiledLabels | NDArray[np.bool_] | None = None,
    axes: str | None = None,
) -> ObjectSizes:
    """Return the sizes of annotated objects.

    Parameters
    ----------
    ids
        Shape (..., Y, X): 0 unlabelled, 1 background, 2 to 65,535 the objects. An
        object in several planes of a z stack counts with the one in which most of it
        lies: many are painted in one plane only, and those do not tell of a volume.
    complete
        bool, of the same shape: where all objects are painted. An object that ends at
        its edge is cut; one that goes on beyond is not. None: nowhere.
    axes
        One letter of TZYX per axis of ``ids``. Time points (T) have objects of their
        own. None: there are none.
    """
    painted = TiledLabels.of(ids)
    region = None if complete is None else TiledLabels.of(complete)
    whole, cut = [np.zeros(0, np.intp)], [np.zeros(0, np.intp)]
    for planes in _planes_by_time(painted, axes).values():
        n_px, is_cut = _sizes(painted, region, planes)
        is_object = n_px > 0
        whole.append(n_px[is_object & ~is_cut])
        cut.append(n_px[is_object & is_cut])
    return ObjectSizes(np.concatenate(whole), np.concatenate(cut))


def smallest_object_px(sizes: Iterable[ObjectSizes]) -> int | None:
    """Return how small an object may be (px), from those that are annotated.

    A quarter of the 5th percentile of their sizes. Taken from one half of DIC-HeLa,
    the glioblastoma, BBBC039 and DSB 2018 sets each, it leaves out 3 of the 789 objects
    of the other halves, and is 1,143 px where cells are as large as in DIC-HeLa. Those
    that are cut count only where fewer than three others are there.

    Parameters
    ----------
    sizes
        Of each image.

    Returns
    -------
    int or None
        None where fewer than three objects are annotated.
    """
    known = list(sizes)
    n_px = np.concatenate([np.zeros(0, np.intp), *(s.whole for s in known)])
    if len(n_px) < FEWEST_OBJECTS:
        n_px = np.concatenate([n_px, *(s.cut for s in known)])
    if len(n_px) < FEWEST_OBJECTS:
        return None
    return round(float(np.percentile(n_px, 5)) / 4)


def _planes_by_time(painted: TiledLabels, axes: str | None) -> dict[int, list[int]]:
    """Return the planes of each time point that hold something."""
    planes: dict[int, list[int]] = {}
    for plane in painted.planes:
        time = 0
        if axes is not None and "T" in axes:
            index = np.unravel_index(plane, painted.shape[:-2])
            time = int(index[axes.index("T")])
        planes.setdefault(time, []).append(plane)
    return planes


def _sizes(
    painted: TiledLabels, complete: TiledLabels | None, planes: Iterable[int]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the size of each number, 0 for what is no object, and which are cut."""
    n_numbers = painted.max() + 1
    n_px, is_cut = np.zeros(n_numbers, np.intp), np.zeros(n_numbers, bool)
    for plane in planes:
        rows, columns = painted.box(plane)
        # a pixel more on each side tells whether the complete part ends there
        box = _wider(rows, painted.shape[-2]), _wider(columns, painted.shape[-1])
        ids = painted.read(plane, box)
        here = np.bincount(ids.ravel(), minlength=n_numbers)
        np.maximum(n_px, here, out=n_px)
        if complete is not None:
            known = complete.read(plane, box).astype(bool)
            is_cut |= _ends_at_edge(ids, known, n_numbers)
    n_px[: BACKGROUND + 1] = 0
    return n_px, is_cut


def _wider(span: slice, n: int) -> slice:
    """Return an interval with a pixel more on each side, as far as there are any."""
    return slice(max(span.start - 1, 0), min(span.stop + 1, n))


def _ends_at_edge(
    plane: NDArray[np.integer], complete: NDArray[np.bool_], n_numbers: int
) -> NDArray[np.bool_]:
    """Return which numbers reach the edge of the complete part, and not beyond."""
    inner = complete.copy()
    for here, there in (
        (inner[1:], complete[:-1]),
        (inner[:-1], complete[1:]),
        (inner[:, 1:], complete[:, :-1]),
        (inner[:, :-1], complete[:, 1:]),
    ):
        here &= there
    ends = np.zeros(n_numbers, bool)
    ends[plane[complete & ~inner]] = True
    ends[plane[~complete]] = False
    return ends
