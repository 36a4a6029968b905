"""The simulated annotator: strokes painted at random from a complete truth.

Benchmarks and tests paint with it; a seed gives the same annotation everywhere.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from napari_unet.annotation._corrections import correct
from napari_unet.annotation._room import StrokeRoom, StrokeSize
from napari_unet.errors import AnnotationError

__all__ = ["simulate_corrections", "simulate_strokes"]


def simulate_strokes(
    truth: np.ndarray,
    n_strokes: int,
    seed: int,
    *,
    length_px: tuple[int, int] = (4, 40),
    width_px: tuple[int, int] = (1, 3),
) -> np.ndarray:
    """Paint strokes of each class at random places of its area.

    Strokes are smooth curves strictly inside their class; places far from the class's
    border are favoured, but not exclusively. Strokes of one class never touch each
    other. A class too thin or small for a stroke gets a short one or a dot, and fewer
    of them where there is no room to keep apart. In a volume, strokes lie in planes:
    the annotator picks about half as many planes as strokes and paints all classes
    there.

    Parameters
    ----------
    truth : numpy.ndarray
        (Y, X) or (Z, Y, X), integer: classes 1, 2, ... up to 65535; 0 is unknown and
        never painted.
    n_strokes : int
        Strokes of each class, at least 0.
    seed : int
        At least 0. Decides everything.
    length_px : tuple of int
        Shortest and longest stroke in px. Shorter in a small class: no stroke is longer
        than half the class's area divided by ``n_strokes``, both in px.
    width_px : tuple of int
        Narrowest and widest stroke in px; narrower where the class is.

    Returns
    -------
    numpy.ndarray
        Annotation of the truth's shape, uint8 (uint16 where a class is above 255): the
        truth's values on the strokes, 0 elsewhere.

    Raises
    ------
    AnnotationError
        If the truth has another shape or type or holds no class, or ``n_strokes``,
        ``length_px`` or ``width_px`` is out of bounds.
    """
    planes = _as_planes(truth)
    size = _checked_size(n_strokes, length_px, width_px)
    areas = _areas(planes)
    values = np.flatnonzero(areas.sum(0))
    if len(values) == 0:
        raise AnnotationError("the truth holds no class: all of it is 0 (unknown).")
    annotation = np.zeros(planes.shape, _dtype(values))
    order = _plane_order(areas[:, values], np.random.default_rng([seed, 0]))
    for value in values.tolist():
        first, later = _planes_of(areas[:, value], order, max(1, -(-n_strokes // 2)))
        longest = int(areas[:, value].sum()) // max(1, 2 * n_strokes)
        rng = np.random.default_rng([seed, value])
        rooms = _Rooms(planes, annotation, value, size.at_most(longest))
        rooms.paint(n_strokes, first, later, rng)
    return annotation.reshape(np.shape(truth))


def simulate_corrections(
    truth: np.ndarray,
    prediction: np.ndarray,
    annotation: np.ndarray,
    n_strokes: int,
    seed: int,
) -> np.ndarray:
    """Add strokes of the true class in the largest regions that are predicted wrong.

    A region is a connected area of one true class, wrongly predicted and not yet
    painted. Each stroke goes to the largest one, where a region counts as half, a
    third, ... after its first, second, ... stroke.

    Parameters
    ----------
    truth, prediction, annotation : numpy.ndarray
        (Y, X) or (Z, Y, X), integer, all of one shape. 0 in the truth is unknown, 0 in
        the annotation is unlabelled.
    n_strokes : int
        Strokes to add over all classes, at least 0; fewer are added where the errors
        leave no room.
    seed : int
        At least 0. Decides everything.

    Returns
    -------
    numpy.ndarray
        A new annotation of the same shape: the old one and the strokes, which touch
        none of their class.

    Raises
    ------
    AnnotationError
        If shapes differ, a type is not integer, or ``n_strokes`` is negative.
    """
    planes, predicted = _as_planes(truth), _as_planes(prediction, "prediction")
    result = _as_planes(annotation, "annotation").copy()
    if not planes.shape == predicted.shape == result.shape:
        raise AnnotationError(
            f"truth, prediction and annotation differ in shape: {np.shape(truth)}, "
            f"{np.shape(prediction)} and {np.shape(annotation)}."
        )
    size = _checked_size(n_strokes)
    is_wrong = (planes > 0) & (planes != predicted) & (result == 0)
    result = result.astype(
        np.promote_types(result.dtype, _dtype(planes[is_wrong])), copy=False
    )
    correct(planes, is_wrong, result, n_strokes, size, np.random.default_rng(seed))
    return result.reshape(np.shape(truth))


class _Rooms:
    """The planes of one class; strokes in neighbouring planes keep apart also."""

    def __init__(
        self, planes: np.ndarray, annotation: np.ndarray, value: int, size: StrokeSize
    ) -> None:
        self._planes, self._annotation = planes, annotation
        self._value, self._size = value, size
        self._rooms: dict[int, StrokeRoom] = {}

    def paint(
        self,
        n_strokes: int,
        first: list[int],
        later: list[int],
        rng: np.random.Generator,
    ) -> None:
        """Paint into the planes of ``first`` in turn, as they fill up of ``later``."""
        turn, waiting = deque(first), deque(later)
        n_left = n_strokes
        while n_left and (turn or waiting):
            z = turn.popleft() if turn else waiting.popleft()
            pixels = self._room(z).paint(rng)
            if pixels is None:
                continue
            self._annotation[z][pixels] = self._value
            for neighbour in {z - 1, z + 1} & self._rooms.keys():
                self._rooms[neighbour].close(pixels)
            turn.append(z)
            n_left -= 1

    def _room(self, z: int) -> StrokeRoom:
        if z not in self._rooms:
            near = self._annotation[max(0, z - 1) : z + 2] == self._value
            self._rooms[z] = StrokeRoom(
                self._planes[z] == self._value, near.any(0), self._size
            )
        return self._rooms[z]


def _as_planes(labels: np.ndarray, name: str = "truth") -> np.ndarray:
    """Return a checked array as (Z, Y, X)."""
    labels = np.asarray(labels)
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "biu":
        raise AnnotationError(
            f"the {name} must be integers of shape (Y, X) or (Z, Y, X), not "
            f"{labels.dtype} of shape {labels.shape}."
        )
    if labels.size and (labels.min() < 0 or labels.max() > 65535):
        raise AnnotationError(
            f"the {name} holds {labels.min()} to {labels.max()}; 0 to 65535 is allowed."
        )
    return labels.reshape(-1, *labels.shape[-2:])


def _checked_size(
    n_strokes: int,
    length_px: tuple[int, int] = (4, 40),
    width_px: tuple[int, int] = (1, 3),
) -> StrokeSize:
    if n_strokes < 0:
        raise AnnotationError(f"n_strokes is {n_strokes}; it must be at least 0.")
    for name, (low, high) in (("length_px", length_px), ("width_px", width_px)):
        if not 1 <= low <= high:
            raise AnnotationError(
                f"{name} is ({low}, {high}); give a range of at least 1, smaller first."
            )
    return StrokeSize(length_px, width_px)


def _dtype(values: np.ndarray) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if values.max(initial=0) < 256 else np.uint16


def _areas(planes: np.ndarray) -> np.ndarray:
    """Return (Z, n): pixels of each class value in each plane, none for value 0."""
    n = int(planes.max(initial=0)) + 1
    areas = np.array([np.bincount(plane.ravel(), minlength=n) for plane in planes])
    areas[:, 0] = 0
    return areas


def _plane_order(areas: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Return planes with a class, in random order, those with much to paint first.

    A plane beside one already taken waits until the others are used up.
    """
    worth = (areas / areas.sum(0)).sum(1)
    with_class = np.flatnonzero(worth)
    waits = rng.exponential(size=len(worth))
    drawn = with_class[np.argsort(waits[with_class] / worth[with_class], kind="stable")]
    apart: list[int] = []
    beside: list[int] = []
    is_taken = np.zeros(len(worth) + 2, bool)
    for z in drawn.tolist():
        near = is_taken[z] or is_taken[z + 2]  # planes z - 1 and z + 1
        (beside if near else apart).append(z)
        is_taken[z + 1] |= not near
    return apart + beside


def _planes_of(
    areas: np.ndarray, order: list[int], n_picked: int
) -> tuple[list[int], list[int]]:
    """Return the planes of a class to paint at first, and those for when they are full.

    ``areas`` has the class's pixels in each plane, shape (Z,). The first ones are among
    the ``n_picked`` that all classes share, where the class is in any of these.
    """
    with_class = [z for z in order if areas[z]]
    first = [z for z in order[:n_picked] if areas[z]] or with_class[:n_picked]
    return first, [z for z in with_class if z not in first]
