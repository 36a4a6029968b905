"""Annotated objects, one id each, as what a network learns: inside, border, background.

Two objects that touch are one patch of one class, and no class tells where one ends. So
the rim along which they meet is a class of its own, and cuts them apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.tiled import Box
from napari_unet.errors import AnnotationError

__all__ = [
    "BACKGROUND",
    "BORDER",
    "INSIDE",
    "near_pairs",
    "number_instances",
    "object_targets",
    "shown_value",
    "shown_values",
]

BACKGROUND, INSIDE, BORDER = 1, 2, 3
"""Values of the targets, beside 0 for unlabelled."""
BORDER_PX = 3.0


def object_targets(
    ids: NDArray[np.integer],
    complete: NDArray[np.bool_] | None = None,
    border_px: float = BORDER_PX,
) -> NDArray[np.uint8]:
    """Return what is to be learned from objects that have an id each.

    Parameters
    ----------
    ids
        Shape (..., Y, X), each plane by itself: 0 unlabelled, 1 background, 2 and up
        the objects. An object may be in several pieces.
    complete
        bool, of the same shape: where all objects are painted, so that what is none is
        background. None: nowhere.
    border_px
        A pixel of an object is border where another object is at most so far from it
        (px); the band where two meet is twice as wide. 3 px cut best on the training
        images, of 1.5, 2, 3 and 4 (docs/adr/008-objects-mode.md).

    Returns
    -------
    ndarray of uint8
        Of the same shape: 0 unlabelled, 1 background, 2 inside an object, 3 border.
        An object next to which nothing else is painted has no border there: what is not
        painted may be a neighbour or background, and neither is claimed. Background
        stays background, however narrow it is between two objects: as border, it
        joined objects that it should have parted.

    Raises
    ------
    AnnotationError
        If ids are not whole numbers of 0 or more in at least 2D, ``complete`` has
        another shape, or ``border_px`` is below 1.

    References
    ----------
    A class for the border between touching objects: Chen et al., DCAN, 2016,
    arXiv:1604.02677; Caicedo et al. 2019, https://doi.org/10.1002/cyto.a.23863.
    """
    _check(ids, border_px)
    targets: NDArray[np.uint8] = np.minimum(ids, INSIDE).astype(np.uint8)
    if complete is not None:
        if np.shape(complete) != ids.shape:
            raise AnnotationError(
                f"the completely annotated part has the shape {np.shape(complete)}, "
                f"but the annotation {ids.shape}"
            )
        targets[(ids == 0) & np.asarray(complete, bool)] = BACKGROUND
    for plane in np.ndindex(ids.shape[:-2]):
        box = _box(ids[plane] > BACKGROUND)  # of large stacks little is annotated
        part = targets[plane][box]
        for here, there, is_pair in near_pairs(ids[plane][box], border_px):
            part[here][is_pair] = BORDER
            part[there][is_pair] = BORDER
    return targets


def _box(mask: NDArray[np.bool_]) -> Box:
    """Return the rectangle around a mask, (Y, X)."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return (slice(0), slice(0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))


def number_instances(instances: NDArray[np.integer]) -> NDArray[Any]:
    """Return ids as `object_targets` has them, of instances as most programs have them.

    Parameters
    ----------
    instances
        0 background, one number of 1 and up per object.

    Returns
    -------
    ndarray of unsigned integers
        1 background, each object's number plus one.

    Raises
    ------
    AnnotationError
        If a number is negative.
    """
    array: NDArray[Any] = np.asarray(instances)
    lowest = int(array.min(initial=0))
    if lowest < 0:
        raise AnnotationError(
            f"objects hold the number {lowest}: give 0 for background, 1 and up one "
            "for each object"
        )
    highest = int(array.max(initial=0)) + 1
    return array.astype(np.min_scalar_type(highest)) + np.uint8(1)


def shown_value(values: Any) -> Any:
    """Return what users see of targets, one or an array: border is part of objects."""
    return np.minimum(values, INSIDE)


def shown_values(values: Sequence[int]) -> tuple[int, ...]:
    """Return what users see of some targets, each value once, ascending."""
    return tuple(np.unique(shown_value(values)).tolist())


def near_pairs(
    ids: NDArray[np.integer], border_px: float = BORDER_PX
) -> Iterator[tuple[Box, Box, NDArray[np.bool_]]]:
    """Yield where two objects are near each other.

    Parameters
    ----------
    ids
        Shape (Y, X), as in `object_targets`.
    border_px
        As in `object_targets`.

    Yields
    ------
    here, there, is_pair
        Two rectangles of ``ids``, shifted against each other by at most ``border_px``,
        and the pixels (bool, of their shape) at which they hold two different objects.
    """
    height, width = ids.shape
    reach = int(border_px)
    # half of the directions: the others see the same pairs from the other side
    for dy in range(reach + 1):
        for dx in range(-reach if dy else 1, reach + 1):
            if dy * dy + dx * dx > border_px**2 or dy >= height or abs(dx) >= width:
                continue
            left, right = max(-dx, 0), max(dx, 0)
            here = (slice(0, height - dy), slice(left, width - right))
            there = (slice(dy, height), slice(right, width - left))
            a, b = ids[here], ids[there]
            yield here, there, (a != b) & (a > BACKGROUND) & (b > BACKGROUND)


def _check(ids: NDArray[np.integer], border_px: float) -> None:
    if ids.ndim < 2 or ids.dtype.kind not in "iu":
        raise AnnotationError(
            f"objects of shape {ids.shape} and dtype {ids.dtype}: give whole numbers "
            "in 2D or more, 0 unlabelled, 1 background, 2 and up one for each object"
        )
    if ids.dtype.kind == "i" and ids.min(initial=0) < 0:
        raise AnnotationError(
            f"objects hold the number {ids.min()}: give 0 for unlabelled, 1 for "
            "background, 2 and up one for each object"
        )
    if not border_px >= 1:  # NaN too
        raise AnnotationError(f"the border is {border_px} px wide: give 1 or more")
