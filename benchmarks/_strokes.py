"""Strokes at random places, as many as are asked for, to compare corrections with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.measure import label

from napari_unet.annotation.simulate import simulate_strokes

__all__ = ["add_random_strokes", "count_strokes"]

Labels = NDArray[np.integer]


def add_random_strokes(
    truth: Labels, annotation: Labels, n_strokes: int, seed: int
) -> Labels:
    """Add strokes at random places, each of a class drawn at random.

    All classes are as likely. The strokes are those of `simulate_strokes`, apart from
    what is painted.
    """
    rng = np.random.default_rng([seed, 1])
    values = np.unique(truth[truth > 0])
    result = annotation.copy()
    for _ in range(n_strokes):
        for value in rng.permutation(values):
            is_near = binary_dilation(result == value, np.ones((3, 3)))
            room = np.where((truth == value) & ~is_near & (result == 0), value, 0)
            if room.any():
                stroke = simulate_strokes(room, 1, int(rng.integers(2**31)))
                result[stroke > 0] = value
                break
    return result


def count_strokes(annotation: Labels) -> int:
    """Count connected strokes of one value."""
    values = np.unique(annotation[annotation > 0])
    return sum(int(label(annotation == value).max()) for value in values)
