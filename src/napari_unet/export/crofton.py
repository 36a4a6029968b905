"""How long the border of an area is, and how large the surface of a volume."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["border_size"]

Step = tuple[int, ...]


def border_size(mask: NDArray[np.bool_], scale: Sequence[float]) -> float:
    """Estimate an object's perimeter, or its surface area, by Crofton's formula.

    It counts how often lines in 4 directions (13 in a volume) go in or out. That is
    right on average for every shape and for pixels of any proportions, where counting
    sides of pixels is a quarter too much for a disc and half too much for a ball. What
    runs along the axes, as the sides of an upright box, comes out 6 to 9 % too small
    in a plane and 10 % in a volume. Along the edge of the image there is a border too.

    Parameters
    ----------
    mask
        Which pixels belong to the object, shape (Y, X) or (Z, Y, X). What is beyond
        the array does not.
    scale
        World units per pixel along each axis.

    Returns
    -------
    float
        Length in world units, or area in their square.

    References
    ----------
    Legland, Kiêu and Devaux, Computation of Minkowski measures on 2D and 3D binary
    images, Image Anal Stereol 26:83-92 (2007), doi:10.5566/ias.v26.p83-92.
    """
    padded = np.pad(mask, 1)
    size = 0.0
    for step, weight in _weights(tuple(float(abs(s)) for s in scale)):
        here = tuple(slice(max(0, -d), n - max(0, d)) for d, n in _sizes(step, padded))
        there = tuple(slice(max(0, d), n + min(0, d)) for d, n in _sizes(step, padded))
        size += weight * np.count_nonzero(padded[here] != padded[there])
    return size


def _sizes(step: Step, array: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return list(zip(step, array.shape, strict=True))


@lru_cache(maxsize=32)
def _weights(scale: tuple[float, ...]) -> list[tuple[Step, float]]:
    """Return steps along the lines, and what one crossing of the border counts."""
    middle = (0,) * len(scale)
    around = itertools.product((-1, 0, 1), repeat=len(scale))
    steps = [step for step in around if step > middle]  # one of each two opposite ones
    offsets = np.asarray(steps) * scale
    lengths = np.linalg.norm(offsets, axis=1)
    # the denser the lines of a direction lie, the less each of them counts
    spacings = np.prod(scale) / lengths
    shares = _shares(offsets / lengths[:, None])
    # of a disc, lines cross 2 * diameter; of a sphere 2 * its section
    factor = np.pi / 2 if len(scale) == 2 else 2.0
    weights = factor * shares * spacings
    return list(zip(steps, weights.tolist(), strict=True))


def _shares(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of all directions that each one stands for; they sum to 1."""
    if directions.shape[1] == 2:
        angles = np.arctan2(directions[:, 0], directions[:, 1]) % np.pi
        order = np.argsort(angles)
        gaps = np.diff(angles[order], append=angles[order[0]] + np.pi)
        shares = np.empty(len(angles))
        shares[order] = (gaps + np.roll(gaps, 1)) / (2 * np.pi)
        return shares
    from scipy.spatial import SphericalVoronoi

    both = np.concatenate([directions, -directions])
    areas = SphericalVoronoi(both).calculate_areas()
    return np.asarray(areas[: len(directions)]) * 2 / (4 * np.pi)
