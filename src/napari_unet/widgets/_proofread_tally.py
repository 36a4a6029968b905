"""What was accepted and is still there, also after undo and the eraser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

__all__ = ["Tally"]


@dataclass(frozen=True, eq=False)
class _Step:
    """One accepted step: of each object one pixel, its number, and how many it has."""

    layer: ref[Labels]
    samples: tuple[NDArray[np.int32], ...]
    values: NDArray[Any]
    n_px: NDArray[np.intp]
    is_object: NDArray[np.bool_]

    def is_there(self) -> NDArray[np.bool_]:
        """Return which of them still have their number."""
        layer = self.layer()
        if layer is None or layer.ndim != len(self.samples):
            return np.zeros(len(self.values), bool)
        pairs = zip(self.samples, layer.data.shape, strict=True)
        if any(axis.max() >= n for axis, n in pairs):  # its data was exchanged
            return np.zeros(len(self.values), bool)
        is_it: NDArray[np.bool_] = np.asarray(layer.data[self.samples]) == self.values
        return is_it

    def rest(self) -> _Step | None:
        """Return what is left of the step; None: nothing."""
        is_there = self.is_there()
        if is_there.all():
            return self
        if not is_there.any():
            return None
        samples = tuple(axis[is_there] for axis in self.samples)
        return _Step(
            self.layer,
            samples,
            self.values[is_there],
            self.n_px[is_there],
            self.is_object[is_there],
        )


class Tally:
    """Counts accepted pixels and objects since the viewer opened.

    Of each object, or class in a step, one pixel is remembered: where it has another
    value now, all of it is taken for gone.
    """

    def __init__(self) -> None:
        self._steps: list[_Step] = []

    def settle(self) -> None:
        """Forget what is gone, before a new step: redo cannot bring it back then."""
        self._steps = [
            left for step in self._steps if (left := step.rest()) is not None
        ]

    def add(
        self,
        layer: Labels,
        places: tuple[NDArray[np.int32], ...],
        values: NDArray[Any],
        of_objects: bool,
    ) -> None:
        """Note what was painted: indices, one array for each axis, and values."""
        kept, first, n_px = np.unique(values, return_index=True, return_counts=True)
        samples = tuple(axis[first] for axis in places)
        is_object = (kept > 1) & of_objects
        self._steps.append(_Step(ref(layer), samples, kept, n_px, is_object))

    @property
    def counts(self) -> tuple[int, int]:
        """Pixels and objects that were accepted and are still there."""
        n_px = n_objects = 0
        for step in self._steps:
            is_there = step.is_there()
            n_px += int(step.n_px[is_there].sum())
            n_objects += int(np.count_nonzero(is_there & step.is_object))
        return n_px, n_objects
