"""What a person points at: parts of label arrays, read only as far as they reach.

Boxes have a slice for every axis of the array, masks the shape of their box. Planes are
single slices of a stack, so that the same code serves planes and volumes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "MAX_PART_PX",
    "Part",
    "Slices",
    "confident_objects",
    "known_objects",
    "objects_at_rim",
    "objects_inside",
    "part_at",
    "polygon_mask",
]

Slices = tuple[slice, ...]
"""A box of an array: a slice with start and stop (px) for each axis."""
Read = Callable[[Slices], NDArray[Any]]

MAX_PART_PX = 4 * 2**20
"""As many pixels (2048 x 2048) are looked at for one part, and changed in one step."""

_HALF_PX = 256  # of the first box that is looked at: one or two chunks of a store


@dataclass(frozen=True, eq=False)
class Part:
    """Pixels of one value: where ``mask`` is, in ``box`` of the array.

    ``is_cut``: it goes on beyond what was looked at.
    """

    box: Slices
    mask: NDArray[np.bool_]
    value: int
    is_cut: bool = False

    @property
    def n_px(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))


def part_at(
    read: Read,
    shape: Sequence[int],
    point: Sequence[int],
    *,
    is_connected: bool,
    through: Sequence[int] = (),
    max_px: int = MAX_PART_PX,
) -> Part | None:
    """Return the part of a label array that a pixel belongs to.

    Parameters
    ----------
    read
        Returns the values in a box, an array of integers of its shape.
    shape
        Of the whole array, (..., Y, X).
    point
        Index of the pixel.
    is_connected
        Whether the part is what hangs together with the pixel, by the sides of pixels;
        else all of its value around.
    through
        Axes along which it may go on, beside Y and X.
    max_px
        No larger box is read.

    Returns
    -------
    Part or None
        None where the value is 0, or the pixel outside of the array.
    """
    if not all(0 <= i < n for i, n in zip(point, shape, strict=True)):
        return None
    last = len(shape) - 1
    axes = {*through, last - 1, last}
    box = [slice(i, i + 1) for i in point]
    for axis in (last - 1, last):
        start, stop = point[axis] - _HALF_PX, point[axis] + _HALF_PX
        box[axis] = slice(max(0, start), min(shape[axis], stop))
    while True:
        values = read(tuple(box))
        here = tuple(i - s.start for i, s in zip(point, box, strict=True))
        value = int(values[here])
        if not value:
            return None
        mask = values == value
        if is_connected:
            marks, _ = ndimage.label(mask)
            mask = marks == marks[here]
        wider = _widened(box, mask, shape, axes)
        is_cut = wider != box
        if not is_cut or _size(wider) > max_px:
            return _cropped(Part(tuple(box), mask, value, is_cut))
        box = wider


def polygon_mask(
    corners: NDArray[np.floating], shape: Sequence[int]
) -> tuple[Slices, NDArray[np.bool_]]:
    """Return the pixels of a plane that lie in a polygon.

    Parameters
    ----------
    corners
        Shape (n, 2): rows and columns, px; the last is joined with the first.
    shape
        Of the plane, (Y, X).

    Returns
    -------
    box, mask
        The rectangle around it in the plane, and a mask of its shape. Both are empty
        where the polygon lies outside.
    """
    from skimage.draw import polygon

    low = np.floor(corners.min(axis=0)).astype(int).clip(0, shape)
    high = (np.ceil(corners.max(axis=0)).astype(int) + 1).clip(low, shape)
    mask = np.zeros(high - low, bool)
    if mask.size:
        y, x = (corners - low).T
        mask[polygon(y, x, mask.shape)] = True  # type: ignore[no-untyped-call]
    return (slice(*map(int, (low[0], high[0]))), slice(int(low[1]), int(high[1]))), mask


def objects_inside(ids: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return which ids (n,) have more than half of their pixels in a mask.

    Parameters
    ----------
    ids
        One number for each object, 0 elsewhere.
    mask
        bool, of the same shape.
    """
    numbers, owner = np.unique(ids, return_inverse=True)
    share = np.bincount(owner.ravel(), mask.ravel()) / np.bincount(owner.ravel())
    inside: NDArray[np.intp] = numbers[(share > 0.5) & (numbers > 0)].astype(np.intp)
    return inside


def objects_at_rim(ids: NDArray[Any], is_open: Sequence[bool]) -> NDArray[np.intp]:
    """Return which ids of a plane (Y, X) touch a rim beyond which more may follow.

    ``is_open`` tells it of the first and last row, the first and last column.
    """
    rims = (ids[:1], ids[-1:], ids[:, :1], ids[:, -1:])
    touching = [
        np.unique(rim) for rim, is_it in zip(rims, is_open, strict=True) if is_it
    ]
    found = np.unique(np.concatenate([np.zeros(1, np.intp), *touching]))
    return found[found > 0].astype(np.intp)


def known_objects(found: NDArray[Any], painted: NDArray[Any]) -> dict[int, int]:
    """Return which found objects are annotated: its id -> that of the annotated one.

    They are the same where they share half of the pixels of either: what one of them
    has beyond, somebody left out on purpose.

    Parameters
    ----------
    found
        Ids of objects, 0 elsewhere.
    painted
        Annotated objects, of the same shape: 0 unlabelled, 1 background, 2 and up ids.
    """
    is_both = (found > 0) & (painted > 1)
    if not is_both.any():
        return {}
    n_of_found = dict(
        zip(*np.unique(found[found > 0], return_counts=True), strict=True)
    )
    n_of_painted = dict(
        zip(*np.unique(painted[painted > 1], return_counts=True), strict=True)
    )
    base = int(painted.max()) + 1  # one number for a pair: rows take 40 times as long
    codes = found[is_both].astype(np.int64) * base + painted[is_both]
    codes, n_px = np.unique(codes, return_counts=True)
    known: dict[int, int] = {}
    for number in np.argsort(-n_px, kind="stable"):
        mine, its = divmod(int(codes[number]), base)
        least = min(n_of_found[mine], n_of_painted[its]) / 2
        if n_px[number] >= least:
            known.setdefault(mine, its)
    return known


def confident_objects(
    ids: NDArray[Any], probability: NDArray[np.floating], threshold: float
) -> NDArray[np.intp]:
    """Return which ids (n,) have a mean probability of at least ``threshold``.

    Parameters
    ----------
    ids
        One number for each object, 0 elsewhere.
    probability
        Of the same shape, 0..1: of being an object.
    threshold
        0..1.
    """
    numbers, owner = np.unique(ids, return_inverse=True)
    total = np.bincount(owner.ravel(), probability.ravel().astype(np.float64))
    mean = total / np.bincount(owner.ravel())
    sure: NDArray[np.intp] = numbers[(mean >= threshold) & (numbers > 0)]
    return sure.astype(np.intp)


def _widened(
    box: list[slice], mask: NDArray[np.bool_], shape: Sequence[int], axes: set[int]
) -> list[slice]:
    """Return a box that is larger where the mask touches a side of it."""
    result = list(box)
    for axis in sorted(axes):
        start, stop = box[axis].start, box[axis].stop
        rest = tuple(i for i in range(mask.ndim) if i != axis)
        used = np.atleast_1d(mask.any(axis=rest))
        more = max(1, stop - start)
        first = max(0, start - more) if used[0] else start
        last = min(shape[axis], stop + more) if used[-1] else stop
        result[axis] = slice(first, last)
    return result


def _size(box: Sequence[slice]) -> int:
    return int(np.prod([s.stop - s.start for s in box]))


def _cropped(part: Part) -> Part:
    """Return the same part in the smallest box."""
    inner = ndimage.find_objects(part.mask.view(np.uint8))[0]
    box = tuple(
        slice(outer.start + s.start, outer.start + s.stop)
        for outer, s in zip(part.box, inner, strict=True)
    )
    return Part(box, part.mask[inner], part.value, part.is_cut)
