"""Topology-preserving warping of one binary image into another (Jain et al. 2010)."""

from __future__ import annotations

import numpy as np

from napari_unet.core.metrics._checks import check_same_shape
from napari_unet.errors import ImageError

__all__ = ["warp"]


def warp(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move the borders of a binary image towards another one, keeping its topology.

    Parameters
    ----------
    source, target : numpy.ndarray
        (Y, X), bool: True in the cells (4-connected), False in the membrane
        (8-connected). Beyond the image all counts as membrane.

    Returns
    -------
    numpy.ndarray
        (Y, X), bool: ``source`` after flips of pixels where the two differ, each of
        which keeps the number of cells and of holes and how they lie in each other (a
        simple point). No such flip is left. Nobody knows the best order of flips: the
        pixels that still differ are an upper bound of the least number. A thin membrane
        that lies beside its own width cannot cross what is cell in both images.

    Raises
    ------
    ImageError
        If the shapes differ or are not two-dimensional.

    References
    ----------
    Jain et al. 2010, Boundary learning by optimization with topological constraints,
    doi:10.1109/CVPR.2010.5539950. Simple points by the crossing number of Yokoi,
    Toriwaki and Fukumura 1975 (Computer Graphics and Image Processing 4, 63-73).
    """
    source, target = np.asarray(source, dtype=bool), np.asarray(target, dtype=bool)
    check_same_shape(source, target, "the two images")
    if source.ndim != 2:
        raise ImageError(f"only planes are warped, not an array of {source.ndim} axes.")
    warped = np.pad(source, 1)
    flat, wanted = warped.ravel(), np.pad(target, 1).ravel()
    width = warped.shape[1]
    # the eight neighbours in a circle, beginning with one that shares an edge
    ring = np.array((1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1))
    candidates = np.flatnonzero(flat != wanted)
    while candidates.size:
        field = candidates // width % 2 * 2 + candidates % width % 2
        flipped = []
        # pixels of one field do not touch: flipped at once or one by one is the same
        for k in range(4):
            some = candidates[field == k]
            some = some[_is_simple(flat[some[:, None] + ring])]
            flat[some] = wanted[some]
            flipped.append(some)
        # only beside a flip can a pixel have become simple
        near = np.unique(np.concatenate(flipped)[:, None] + ring)
        candidates = near[flat[near] != wanted[near]]
    return warped[1:-1, 1:-1]


def _is_simple(ring: np.ndarray) -> np.ndarray:
    """Whether pixels may flip, from their (n, 8) neighbours: crossing number 1."""
    edge, corner = ring[:, 0::2], ring[:, 1::2]
    following = np.roll(edge, -1, axis=1)
    n_crossings = np.count_nonzero(edge & ~(corner & following), axis=1)
    is_simple: np.ndarray = n_crossings == 1
    return is_simple
