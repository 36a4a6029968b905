"""Cuts a mask at its necks: watershed basins, merged where nothing narrows between.

A mask's distance transform has a hill for each object, and a pass between two that
touch. Basins of a watershed are joined while their pass is high, which leaves what a
watershed from the h-maxima of the hills would, with an h in proportion to each hill:
one setting serves objects of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima
from skimage.segmentation import watershed

__all__ = ["cut_at_necks"]

Mask = NDArray[np.bool_]
Ids = NDArray[np.int32]

_SMOOTHING_PX = 0.5
# how far a pass is off on a pixel grid; narrower differences are no necks
_TOLERANCE_PX = 0.25
# a component that nothing speaks for still is one
_LEAST_EVIDENCE = 0.01


def cut_at_necks(
    mask: Mask,
    closed: Mask,
    evidence: NDArray[np.float32] | None,
    sampling: Sequence[float],
    strength: float,
    min_size_px: int,
) -> Ids:
    """Cut the components of a mask where they are narrow.

    Parameters
    ----------
    mask
        bool, 2D or 3D.
    closed
        Same shape: the mask, with the holes closed that are not to count as border.
    evidence
        Same shape, 0..1: probability of belonging to the mask. Its root scales the
        distance, so that a valley in it separates like a neck. None: 1 all over.
    sampling
        Size of a pixel along each axis; the smallest is 1.
    strength
        0..1. Parts come apart where the neck's width is less than this share of the
        width of the slimmer part.
    min_size_px
        No part smaller than this (px) is cut off.

    Returns
    -------
    ndarray of int32
        Ids from 1, consecutive; 0 outside the mask. Together the parts are the mask.

    References
    ----------
    Beucher and Lantuejoul, Use of watersheds in contour detection, 1979. Beucher and
    Meyer, The morphological approach to segmentation, in Mathematical Morphology in
    Image Processing, 1993. Merging by the height of the pass is the dynamics of Grimaud
    (doi:10.1117/12.60650), here in relation to the hill's height.
    """
    neighbours = np.ones((3,) * mask.ndim, bool)
    # without a border and any doubt there is nothing to measure
    if strength == 0 or (evidence is None and closed.all()):
        ids, _ = ndimage.label(mask, neighbours)
        return np.asarray(ids, np.int32)
    height = _heights(closed, evidence, sampling)
    height[~mask] = -1  # lower than any hill
    if height.min() == height.max():  # a plain, in which no peak would be found
        return mask.astype(np.int32)
    is_peak = local_maxima(  # type: ignore[no-untyped-call]
        height, connectivity=mask.ndim
    )
    seeds, n = ndimage.label(is_peak & mask, neighbours)
    basins: Ids = watershed(  # type: ignore[no-untyped-call]
        -height, seeds, connectivity=neighbours, mask=mask
    )
    peaks = np.zeros(n + 1, np.float32)
    np.maximum.at(peaks, basins[mask], height[mask])
    n_px = np.bincount(basins.ravel(), minlength=n + 1)
    root = _merge(_passes(basins, height, n), peaks, n_px, strength, min_size_px)
    new_ids = np.unique(root, return_inverse=True)[1].astype(np.int32)
    return new_ids[basins]


def _heights(
    mask: Mask, evidence: NDArray[np.float32] | None, sampling: Sequence[float]
) -> NDArray[np.float32]:
    """Return the hills: distance to the background, smoothed, times the evidence."""
    sigma = [_SMOOTHING_PX / step for step in sampling]
    if mask.all():  # what lies beyond is unknown: as far as can be
        distance = np.full(mask.shape, max(mask.shape), np.float32)
    else:
        distance = ndimage.distance_transform_edt(mask, sampling).astype(np.float32)
    height = ndimage.gaussian_filter(distance, sigma)
    if evidence is not None:
        # the root: a model in doubt is less to be trusted than a neck that one sees
        height *= np.sqrt(np.maximum(evidence, _LEAST_EVIDENCE))
    return np.asarray(height, np.float32)


def _passes(
    basins: Ids, height: NDArray[np.float32], n: int
) -> Iterator[tuple[int, int, float]]:
    """Yield neighbouring basins and the height of the pass between, highest first."""
    pairs, heights = [], []
    for offset in product((-1, 0, 1), repeat=basins.ndim):
        if offset <= (0,) * basins.ndim:
            continue  # the same neighbours, seen from the other side
        here = tuple(slice(max(-o, 0), -o if o > 0 else None) for o in offset)
        there = tuple(slice(max(o, 0), o if o < 0 else None) for o in offset)
        a, b = basins[here], basins[there]
        where = np.nonzero((a != b) & (a > 0) & (b > 0))
        first, second = a[where].astype(np.int64), b[where].astype(np.int64)
        pairs.append(np.minimum(first, second) * (n + 1) + np.maximum(first, second))
        heights.append(np.minimum(height[here][where], height[there][where]))
    pair, level = np.concatenate(pairs), np.concatenate(heights)
    order = np.argsort(-level, kind="stable")
    pair, level = pair[order], level[order]
    first_seen = np.sort(np.unique(pair, return_index=True)[1])
    for code, top in zip(
        pair[first_seen].tolist(), level[first_seen].tolist(), strict=True
    ):
        yield code // (n + 1), code % (n + 1), top


def _merge(
    passes: Iterator[tuple[int, int, float]],
    peaks: NDArray[np.float32],
    n_px: NDArray[np.int64],
    strength: float,
    min_size_px: int,
) -> list[int]:
    """Return the basin that each one becomes part of, highest pass first."""
    parent = list(range(len(n_px)))
    top, size = peaks.tolist(), n_px.tolist()

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b, level in passes:
        high, low = find(a), find(b)
        if high == low:
            continue
        if top[high] < top[low]:
            high, low = low, high
        is_neck = level <= strength * top[low] - _TOLERANCE_PX
        if not is_neck or min(size[high], size[low]) < min_size_px:
            parent[low] = high
            size[high] += size[low]
    return [find(i) for i in range(len(parent))]
