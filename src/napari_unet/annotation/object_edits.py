"""Edits of one object: cut in two, joined with a neighbour, holes filled.

Masks have shape (..., Y, X): a plane, or a volume in which a line in one plane stands
for a wall through all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "bridge",
    "cut_line",
    "holes_of",
    "seam_between",
    "seams_of",
    "split_object",
]

_SLIVER = 0.01
"""Smaller shares of the object are crumbs of a line that grazed its rim."""

Mask = NDArray[np.bool_]
Pixel = tuple[int, ...]


def split_object(
    mask: Mask, first: Pixel, last: Pixel, scale: Sequence[float] | None = None
) -> NDArray[np.uint16] | None:
    """Cut an object apart by a line.

    A line that begins and ends outside cuts along itself. One whose ends both lie in
    the object marks its two halves, which are flooded from there on the distance to the
    rim (watershed), so that they part at the neck between them.

    Parameters
    ----------
    mask
        Shape (..., Y, X): the object.
    first, last
        Ends of the line, as indices of the mask's array; they may lie outside of it.
    scale
        World units per pixel along each axis of the mask; None: all the same.

    Returns
    -------
    ndarray of uint16 or None
        0 outside, 1 the largest piece, 2 and up the others. None where the line does
        not cut the object: it ends in its middle, or passes it by.

    References
    ----------
    Beucher and Meyer, The morphological approach to segmentation, 1993.
    """
    if first != last and _has(mask, first) and _has(mask, last):
        return _by_size(_flooded(mask, first, last, scale))
    pieces = _cut(mask, first, last)
    return None if pieces is None else _by_size(pieces)


def cut_line(pieces: NDArray[Any]) -> Mask:
    """Return where two pieces (0 elsewhere) meet: the last pixel of either side."""
    meets = np.zeros(pieces.shape, bool)
    for axis in range(pieces.ndim):
        before = (slice(None),) * axis
        low, high = (*before, slice(None, -1)), (*before, slice(1, None))
        a, b = pieces[low], pieces[high]
        differs = (a != b) & (a > 0) & (b > 0)
        meets[low] |= differs
        meets[high] |= differs
    return meets


def seams_of(mask: Mask) -> NDArray[np.int32]:
    """Return a number for each part that is as thin as `cut_line`, 0 elsewhere."""
    parts, n_parts = ndimage.label(mask, np.ones((3,) * mask.ndim))
    square = np.ones((*(1,) * (mask.ndim - 2), 3, 3))
    is_thick = np.zeros(n_parts + 1, bool)
    is_thick[np.unique(parts[ndimage.binary_erosion(mask, square)])] = True
    seams: NDArray[np.int32] = np.where(is_thick[parts], 0, parts).astype(np.int32)
    return seams


def seam_between(masks: Sequence[Mask]) -> Mask:
    """Return what is so near to two or more objects as `cut_line` is wide: 2 px."""
    n_near = np.zeros(masks[0].shape, np.uint8)
    square = np.ones((3,) * n_near.ndim, bool)
    for mask in masks:
        n_near += ndimage.binary_dilation(mask, square, iterations=2)
    seam: Mask = n_near > 1
    return seam


def bridge(shape: Sequence[int], first: Pixel, last: Pixel) -> Mask:
    """Return a line, 3 px wide, in the plane of two points of an array (..., Y, X)."""
    result = np.zeros(shape, bool)
    plane = result[first[:-2]]
    plane[_line(first, last, plane.shape)] = True
    result[first[:-2]] = ndimage.binary_dilation(plane, np.ones((3, 3), bool))
    return result


def holes_of(mask: Mask) -> Mask:
    """Return the holes of an object: what it encloses in its plane, or its volume."""
    flat = mask.reshape(mask.shape[-2:]) if _is_plane(mask) else mask
    holes: Mask = ndimage.binary_fill_holes(flat) & ~flat
    return holes.reshape(mask.shape)


def _flooded(
    mask: Mask, first: Pixel, last: Pixel, scale: Sequence[float] | None
) -> NDArray[Any]:
    from skimage.segmentation import watershed

    seeds = np.zeros(mask.shape, np.uint8)
    seeds[first], seeds[last] = 1, 2
    # beyond the array there is no object either
    padded = np.pad(mask, [(1 if n > 1 else 0,) * 2 for n in mask.shape])
    depth = ndimage.distance_transform_edt(padded, sampling=scale)
    inner = tuple(slice(1, -1) if n > 1 else slice(None) for n in mask.shape)
    pieces: NDArray[Any] = watershed(  # type: ignore[no-untyped-call]
        -depth[inner], seeds, mask=mask
    )
    # what hangs together with neither goes with the nearer one
    return _to_nearest(pieces, mask)


def _cut(mask: Mask, first: Pixel, last: Pixel) -> NDArray[Any] | None:
    """Return the pieces on both sides of a line; None where there is one alone."""
    wall = np.zeros(mask.shape, bool)
    rows, columns = _line(first, last, mask.shape[-2:])
    wall[..., rows, columns] = True
    pieces, n_pieces = ndimage.label(mask & ~wall)
    around = np.ones((1,) * (mask.ndim - 2) + (3, 3), bool)
    n_px = np.bincount(pieces.ravel(), minlength=n_pieces + 1)
    n_px_there = np.bincount(
        pieces[ndimage.binary_dilation(wall, around)], minlength=n_pieces + 1
    )
    is_side = (n_px_there > 0) & (n_px >= max(1, _SLIVER * np.count_nonzero(mask)))
    is_side[0] = False
    if np.count_nonzero(is_side) < 2:
        return None
    return _to_nearest(np.where(is_side[pieces], pieces, 0), mask)


def _to_nearest(pieces: NDArray[Any], mask: Mask) -> NDArray[Any]:
    """Give what is left of an object to the piece next to it."""
    nearest = ndimage.distance_transform_edt(
        pieces == 0, return_distances=False, return_indices=True
    )
    return np.where(mask, pieces[tuple(nearest)], 0)


def _by_size(pieces: NDArray[Any]) -> NDArray[np.uint16]:
    """Give pieces numbers from 1, the largest first."""
    numbers, n_px = np.unique(pieces[pieces > 0], return_counts=True)
    rank = np.zeros(int(pieces.max(initial=0)) + 1, np.uint16)
    rank[numbers[np.argsort(-n_px, kind="stable")]] = np.arange(1, len(numbers) + 1)
    numbered: NDArray[np.uint16] = rank[pieces]
    return numbered


def _line(
    first: Pixel, last: Pixel, shape: tuple[int, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pixels of a line, as far as they lie in a plane."""
    from skimage.draw import line

    rows, columns = line(*first[-2:], *last[-2:])  # type: ignore[no-untyped-call]
    is_in = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows[is_in], columns[is_in]


def _has(mask: Mask, pixel: Pixel) -> bool:
    is_in = all(0 <= i < n for i, n in zip(pixel, mask.shape, strict=True))
    return is_in and bool(mask[pixel])


def _is_plane(mask: Mask) -> bool:
    return all(n == 1 for n in mask.shape[:-2])
