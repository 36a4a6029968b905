"""What was accepted and is still there, also after undo and the eraser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

__all__ = ["Step", "Tally", "step_of"]

_N_SAMPLES = 32
_N_SEEN = 2**16
_MOST = 0.5
"""An object of which less is left is no longer counted."""


@dataclass(frozen=True, eq=False)
class Step:
    """One step as it was painted: of each object some pixels, number and size.

    ``samples`` has for each axis of the layer indices (n objects, `_N_SAMPLES`).
    """

    layer: ref[Labels]
    samples: tuple[NDArray[np.int32], ...]
    values: NDArray[Any]
    n_px: NDArray[np.intp]
    is_object: NDArray[np.bool_]

    def shares(self) -> NDArray[np.float64]:
        """Return how much of each still has its number, 0..1."""
        layer = self.layer()
        if layer is None or layer.ndim != len(self.samples):
            return np.zeros(len(self.values))
        pairs = zip(self.samples, layer.data.shape, strict=True)
        if any(axis.max() >= n for axis, n in pairs):  # its data was exchanged
            return np.zeros(len(self.values))
        is_there = np.asarray(layer.data[self.samples]) == self.values[:, np.newaxis]
        return np.asarray(is_there.mean(axis=1))

    def rest(self) -> Step | None:
        """Return what is left of the step; None: nothing."""
        is_there = self.shares() > 0
        if is_there.all():
            return self
        if not is_there.any():
            return None
        return Step(
            self.layer,
            tuple(axis[is_there] for axis in self.samples),
            self.values[is_there],
            self.n_px[is_there],
            self.is_object[is_there],
        )


def step_of(
    layer: Labels,
    places: tuple[NDArray[np.int32], ...],
    values: NDArray[Any],
    of_objects: bool,
) -> Step:
    """Return what to remember of pixels: indices, one array for each axis; values."""
    kept, first, n_px = np.unique(values, return_index=True, return_counts=True)
    # of millions of pixels some are enough, and of each value the first
    some = np.concatenate(
        [first, np.arange(0, len(values), 1 + len(values) // _N_SEEN)]
    )
    order = some[np.argsort(values[some], kind="stable")]
    _, begin, n = np.unique(values[order], return_index=True, return_counts=True)
    spread = np.rint((n - 1)[:, np.newaxis] * np.linspace(0, 1, _N_SAMPLES))
    chosen = order[begin[:, np.newaxis] + spread.astype(np.intp)]
    samples = tuple(axis[chosen] for axis in places)
    return Step(ref(layer), samples, kept, n_px, (kept > 1) & of_objects)


class Tally:
    """Counts accepted pixels and objects since the viewer opened.

    Of each object, or class in a step, some pixels are looked at, and what they say is
    taken for all of it: exact where nothing or everything was changed.
    """

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def settle(self) -> None:
        """Forget what is gone, before a new step: redo cannot bring it back then."""
        self._steps = [
            left for step in self._steps if (left := step.rest()) is not None
        ]

    def add(self, step: Step) -> None:
        """Count what was accepted."""
        self._steps.append(step)

    @property
    def counts(self) -> tuple[int, int]:
        """Pixels and objects that were accepted and are still there."""
        n_px = n_objects = 0
        for step in self._steps:
            shares = step.shares()
            n_px += int(np.rint(step.n_px * shares).sum())
            n_objects += int(np.count_nonzero((shares >= _MOST) & step.is_object))
        return n_px, n_objects

    @property
    def is_exact(self) -> bool:
        """Whether each step is there as it was accepted, or not at all."""
        return all(np.isin(step.shares(), (0, 1)).all() for step in self._steps)
