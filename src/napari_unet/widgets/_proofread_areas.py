"""Accepting what lies in an area of a plane: a lasso, all of it, what is sure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.proofreading import (
    MAX_PART_PX,
    Slices,
    confident_objects,
    known_objects,
    objects_at_rim,
    objects_inside,
    polygon_mask,
)
from napari_unet.jobs import ConfidenceFound
from napari_unet.widgets._proofread_changes import Change
from napari_unet.widgets._proofread_sight import Sight
from napari_unet.widgets._view import VisibleField

__all__ = ["in_lasso", "in_plane", "lasso_area", "plane_area", "which_are_sure"]

_STAYS = -1
_ROOM_PX = 256
Numbers = NDArray[np.intp]


def plane_area(sight: Sight, field: VisibleField) -> Slices:
    """Return the plane that is looked at; where it is large, what is in sight of it.

    So too where not all is predicted: nobody has looked at what lies outside.
    """
    height, width = sight.shape[-2:]
    plane = _box(VisibleField(field.index, 0, height, 0, width))
    if height * width <= MAX_PART_PX:
        if sight.of_objects:
            is_all = sight.entry.has_all_objects
        else:
            is_all = bool(sight.classes(plane).all())
        if is_all:
            return plane
    return _box(field.middle(MAX_PART_PX))


def lasso_area(
    sight: Sight, index: tuple[int, ...], corners: NDArray[np.floating]
) -> tuple[Slices, NDArray[np.bool_]]:
    """Return the box that `in_lasso` needs of a plane, and the lasso's mask in it.

    ``corners`` has shape (n, 2), px. Both are empty where it lies outside.
    """
    sides, mask = polygon_mask(corners, sight.shape[-2:])
    room = [0, 0]
    if sight.of_objects and mask.size:  # for those that reach out of it
        room = [min(max(_ROOM_PX, s.stop - s.start), 4 * _ROOM_PX) for s in sides]
    outer = [
        slice(max(0, side.start - px), min(n, side.stop + px))
        for side, px, n in zip(sides, room, sight.shape[-2:], strict=True)
    ]
    box = (*(slice(i, i + 1) for i in index), *outer)
    inside = np.zeros([s.stop - s.start for s in box], bool)
    rows, columns = (
        slice(side.start - out.start, side.stop - out.start)
        for side, out in zip(sides, outer, strict=True)
    )
    inside[..., rows, columns] = mask
    return box, inside


def in_lasso(
    sight: Sight, box: Slices, inside: NDArray[np.bool_], is_over: bool
) -> Change:
    """Accept what lies in a mask of a plane; objects, of which more than half does.

    Parameters
    ----------
    sight
        What is there.
    box
        Of a plane; where objects are annotated, with room around the mask for those
        that reach out of it.
    inside
        bool, of the box's shape.
    is_over
        Also where something else is painted.
    """

    def choose(ids: NDArray[np.integer]) -> Numbers:
        return objects_inside(ids, inside)

    return _accepted(sight, box, sight.classes(box), inside, choose, is_over)


def in_plane(sight: Sight, box: Slices, is_over: bool) -> Change:
    """Accept all that is predicted in a box of a plane.

    Objects that the box's rim may cut are left out.
    """
    is_open = _open_sides(sight, box)

    def choose(ids: NDArray[np.integer]) -> Numbers:
        numbers = np.unique(ids[ids > 0]).astype(np.intp)
        plane = ids.reshape(ids.shape[-2:])
        return np.setdiff1d(numbers, objects_at_rim(plane, is_open))

    classes = sight.classes(box)
    return _accepted(sight, box, classes, classes > 0, choose, is_over)


def which_are_sure(
    sight: Sight, found: ConfidenceFound, threshold: float, is_over: bool
) -> Change:
    """Accept pixels of at least a probability; objects, those whose mean has it."""
    height, width = np.shape(found.labels)
    field = VisibleField(
        found.index, found.y, found.y + height, found.x, found.x + width
    )
    box = _box(field)
    shape = [s.stop - s.start for s in box]
    labels = np.asarray(found.labels).reshape(shape)
    confidence = np.asarray(found.confidence).reshape(shape)
    of_object = np.where(labels > BACKGROUND, confidence, 1 - confidence)
    is_open = _open_sides(sight, box)

    def choose(ids: NDArray[np.integer]) -> Numbers:
        sure = confident_objects(ids, of_object, threshold)
        plane = ids.reshape(ids.shape[-2:])
        return np.setdiff1d(sure, objects_at_rim(plane, is_open))

    return _accepted(sight, box, labels, confidence >= threshold, choose, is_over)


def _accepted(
    sight: Sight,
    box: Slices,
    classes: NDArray[np.integer],
    is_wanted: NDArray[np.bool_],
    choose: Callable[[NDArray[np.integer]], Numbers],
    is_over: bool,
) -> Change:
    """Annotate classes where they are wanted; of objects, those chosen, each whole."""
    painted = sight.painted(box)
    is_free = (painted == 0) | is_over
    if not sight.of_objects:
        is_new = is_wanted & is_free & (classes > 0)
        values = np.where(is_new, classes.astype(np.int64), _STAYS)
        return Change(box, values, 0)
    ids = sight.objects(box)
    numbers = _numbers(sight, box, ids, painted, choose(ids))
    is_background = (classes == BACKGROUND) & (ids == 0) & is_wanted & is_free
    values = np.where(is_background, BACKGROUND, _STAYS).astype(np.int64)
    if numbers:
        chosen = np.array(sorted(numbers))
        place = np.searchsorted(chosen, ids).clip(max=len(chosen) - 1)
        new = np.array([numbers[i] for i in chosen.tolist()])[place]
        is_chosen = (chosen[place] == ids) & is_free
        values[is_chosen] = new[is_chosen]
    return Change(box, values, len(numbers))


def _numbers(
    sight: Sight,
    box: Slices,
    ids: NDArray[np.integer],
    painted: NDArray[np.integer],
    chosen: Numbers,
) -> dict[int, int]:
    """Return numbers in the annotation for found objects that are not in it yet.

    In a stack, one that was accepted in a plane beside has its number from there.
    """
    known = known_objects(ids, painted)
    left = [i for i in chosen.tolist() if i not in known]
    numbers: dict[int, int] = {}
    for axis in sight.through:
        for step in (-1, 1):
            z = box[axis].start + step
            if 0 <= z < sight.shape[axis]:
                beside = (*box[:axis], slice(z, z + 1), *box[axis + 1 :])
                there = known_objects(sight.objects(beside), sight.painted(beside))
                numbers = there | numbers
    numbers = {i: numbers[i] for i in left if i in numbers}
    unknown = [i for i in left if i not in numbers]
    return numbers | dict(zip(unknown, sight.fresh.take(len(unknown)), strict=True))


def _box(field: VisibleField) -> Slices:
    """Return a field as a box of the label array."""
    leading = (slice(i, i + 1) for i in field.index)
    return (*leading, slice(field.y0, field.y1), slice(field.x0, field.x1))


def _open_sides(sight: Sight, box: Slices) -> tuple[bool, bool, bool, bool]:
    """Return beyond which sides of a box the image goes on."""
    (rows, columns), (height, width) = box[-2:], sight.shape[-2:]
    return (
        rows.start > 0,
        rows.stop < height,
        columns.start > 0,
        columns.stop < width,
    )
