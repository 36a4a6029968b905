"""Holes in a mask: which do not count as border, and which one object surrounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["Holes", "find_holes"]


@dataclass(frozen=True)
class Holes:
    """The holes of a mask: what it surrounds completely.

    ``ids`` has the mask's shape, int32: 1 to ``n`` in the holes, which share no face,
    and 0 elsewhere.
    """

    ids: NDArray[np.int32]
    n: int

    def small(
        self, mask: NDArray[np.bool_], sampling: Sequence[float]
    ) -> NDArray[np.bool_]:
        """Return the pixels of holes that are slimmer than the mask around them.

        A nucleolus is; the lumen of a gland, whose wall is a ring of cells, is not.
        Slimmer: a disc (ball) of the hole's area (volume) has a smaller radius than the
        largest one inside the mask's component.
        """
        is_hole = self.ids > 0
        own = self.ids[is_hole]
        # a hole and what surrounds it are one component of what is not outside
        whole, n_whole = ndimage.label(mask | is_hole, np.ones((3,) * mask.ndim, bool))
        around = np.zeros(self.n + 1, np.int32)
        around[own] = whole[is_hole]
        thickness = ndimage.distance_transform_edt(mask, sampling)
        thickest = np.zeros(n_whole + 1)
        np.maximum.at(thickest, whole[mask], thickness[mask])
        volume = np.bincount(own, minlength=self.n + 1) * math.prod(sampling)
        if mask.ndim == 2:
            radius = np.sqrt(volume / math.pi)
        else:
            radius = np.cbrt(volume * 3 / (4 * math.pi))
        is_small = radius < thickest[around]
        is_small[0] = False
        return np.asarray(is_small[self.ids])

    def owners(self, objects: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return, for each pixel of a hole, the one object around it; else 0.

        Parameters
        ----------
        objects
            Ids of the mask's shape; what they say inside holes does not count.
        """
        is_hole = self.ids > 0
        own = self.ids[is_hole]
        outside = np.where(is_hole, 0, objects)
        highest = np.zeros(self.n + 1, np.int32)
        lowest = np.full(self.n + 1, np.iinfo(np.int32).max, np.int32)
        # holes are told apart by faces only, and an object reaches them by a face too
        for axis in range(objects.ndim):
            for step in (-1, 1):
                # no hole lies at the border: nothing comes round from the other side
                beside = np.roll(outside, step, axis)[is_hole]
                is_object = beside > 0
                np.maximum.at(highest, own[is_object], beside[is_object])
                np.minimum.at(lowest, own[is_object], beside[is_object])
        owner = np.where(highest == lowest, highest, 0).astype(np.int32)
        return np.asarray(owner[self.ids])


def find_holes(mask: NDArray[np.bool_]) -> Holes:
    """Return the holes of a mask, bool, 2D or 3D.

    In what the mask leaves, pixels are neighbours by their faces: a wall that is closed
    by corners is closed.
    """
    rest, n_rest = ndimage.label(~mask)
    is_hole = np.ones(n_rest + 1, bool)
    is_hole[0] = False
    for axis in range(mask.ndim):
        for end in (0, -1):
            is_hole[np.take(rest, end, axis=axis)] = False
    new_ids = np.cumsum(is_hole) * is_hole
    return Holes(new_ids.astype(np.int32)[rest], int(is_hole.sum()))
