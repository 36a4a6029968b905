"""How large annotated objects are, and what is too small to be one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import BACKGROUND

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
    ids: NDArray[np.integer],
    complete: NDArray[np.bool_] | None = None,
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
    whole, cut = [], []
    everywhere = np.broadcast_to(True, ids.shape) if complete is None else complete
    for volume, part in zip(_times(ids, axes), _times(everywhere, axes), strict=True):
        n_px, is_cut = _sizes(volume, part)
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


def _times(array: NDArray[Any], axes: str | None) -> list[NDArray[Any]]:
    """Return each time point."""
    if axes is None or "T" not in axes:
        return [array]
    return list(np.moveaxis(array, axes.index("T"), 0))


def _sizes(
    ids: NDArray[np.integer], complete: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the size of each number, 0 for what is no object, and which are cut."""
    n_numbers = int(ids.max(initial=0)) + 1
    n_px, is_cut = np.zeros(n_numbers, np.intp), np.zeros(n_numbers, bool)
    for index in np.ndindex(ids.shape[:-2]):
        plane = ids[index]
        if not plane.any():  # of large stacks little is annotated
            continue
        here = np.bincount(plane.ravel(), minlength=n_numbers)
        np.maximum(n_px, here, out=n_px)
        if not complete[index].all():
            is_cut |= _ends_at_edge(plane, complete[index], n_numbers)
    n_px[: BACKGROUND + 1] = 0
    return n_px, is_cut


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
