"""Bars of a histogram, ranges of axes, and the point that is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bins", "limits_of", "make_bins", "nearest"]

_FEWEST, _MOST = 5, 40
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bins:
    """Bars of equal width.

    Attributes
    ----------
    edges
        Ascending, (n_bins + 1,).
    counts
        Rows of each class in each bin, (n_classes, n_bins).
    of_rows
        Bin of each row, -1 where its value is not known.
    """

    edges: Floats
    counts: NDArray[np.int64]
    of_rows: NDArray[np.int64]

    @property
    def highest(self) -> float:
        """Rows in the fullest bin."""
        return float(self.counts.sum(axis=0).max(initial=0))

    def rows_at(self, value: float) -> list[int]:
        """Return the rows in the bin of a value."""
        return [int(row) for row in np.flatnonzero(self.of_rows == self._bin(value))]

    def range_of(self, value: float) -> tuple[float, float]:
        """Return the ends of the bin of a value."""
        place = self._bin(value)
        return float(self.edges[place]), float(self.edges[place + 1])

    def _bin(self, value: float) -> int:
        return int(_bins_of(self.edges, np.array([value]))[0])


def make_bins(
    values: Floats, groups: NDArray[np.int64], classes: Sequence[int]
) -> Bins:
    """Sort values into 5 to 40 bins; how many is Freedman's and Diaconis' rule."""
    is_known = np.isfinite(values)
    known = values[is_known]
    low, high = limits_of(known, border=0.0)
    n_bins = _FEWEST
    if len(known) > 1:
        spread = float(np.subtract(*np.percentile(known, [75, 25])))
        width = 2 * spread / len(known) ** (1 / 3)
        n_bins = int(np.clip((high - low) / width, _FEWEST, _MOST)) if width else _MOST
    edges = np.linspace(low, high, n_bins + 1)
    of_rows = np.full(len(values), -1)
    of_rows[is_known] = _bins_of(edges, known)
    counts = [
        np.bincount(of_rows[is_known & (groups == value)], minlength=n_bins)
        for value in classes
    ]
    return Bins(edges, np.array(counts, np.int64).reshape(-1, n_bins), of_rows)


def _bins_of(edges: Floats, values: Floats) -> NDArray[np.int64]:
    places = np.searchsorted(edges, values, side="right") - 1
    return np.clip(places, 0, len(edges) - 2)  # the last bin has both its ends


def limits_of(values: Floats, border: float = 0.04) -> tuple[float, float]:
    """Return a range that holds all values, with a border of that share around."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    if high <= low:
        around = abs(low) * 0.1 or 1.0
        return low - around, high + around
    return low - border * (high - low), high + border * (high - low)


def nearest(places: Floats, point: tuple[float, float], reach: float) -> list[int]:
    """Return the row whose place (n, 2) is nearest to a point; none beyond a reach."""
    distances = np.hypot(*(places - point).T)
    distances[np.isnan(distances)] = np.inf
    if not len(distances) or distances.min() > reach:
        return []
    return [int(np.argmin(distances))]
