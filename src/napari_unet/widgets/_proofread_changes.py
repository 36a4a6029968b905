"""What proofreading paints: worked out of what is seen, before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.object_edits import (
    bridge,
    cut_line,
    holes_of,
    seam_between,
    seams_of,
    split_object,
)
from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.proofreading import Part, Slices
from napari_unet.widgets._proofread_sight import Point, Sight, Thing

__all__ = ["Change", "accepted", "filled", "merged", "rejected", "relabelled", "split"]

Values = NDArray[np.int64]
_STAYS = -1


@dataclass(frozen=True, eq=False)
class Change:
    """Values to paint in a box, -1 where all stays as it is.

    ``n_objects`` are those that it is about; ``is_cut``: there is more of it.
    """

    box: Slices
    values: Values
    n_objects: int = 1
    is_cut: bool = False

    def over(self, painted: NDArray[np.integer]) -> Values:
        """Return what differs from what is painted, -1 elsewhere."""
        return np.where(self.values == painted, _STAYS, self.values)


def accepted(sight: Sight, point: Point, is_over: bool) -> Change | None:
    """Annotate what is at a point as that; is_over: also over what is painted.

    None where nothing is predicted.
    """
    thing = sight.thing_at(point, is_predicted=is_over)
    if thing is None:
        return None
    is_free = thing.part.mask & ((sight.painted(thing.part.box) == 0) | is_over)
    # no number is spent on what is annotated already
    number = sight.number_of(thing) if is_free.any() else 0
    return _painted(thing.part, is_free, number)


def rejected(sight: Sight, point: Point) -> Change | None:
    """Take back what is annotated at a point; else call what is predicted background.

    None where that is background already, or nothing.
    """
    mark = sight.mark_at(point)
    if mark is not None:
        return _painted(mark.part, mark.part.mask, 0)
    thing = sight.thing_at(point)
    if thing is None or thing.is_background:
        return None
    is_free = thing.part.mask & (sight.painted(thing.part.box) == 0)
    return _painted(thing.part, is_free, BACKGROUND)


def relabelled(sight: Sight, point: Point, label: int) -> Change | None:
    """Give the thing at a point another class; of objects, a number of its own.

    An object becomes background where that is the label. None where there is no thing,
    or where background would become an object.
    """
    thing = sight.thing_at(point)
    if thing is None or (sight.of_objects and thing.is_background):
        return None
    if sight.of_objects and label != BACKGROUND:
        label = sight.fresh.take(1)[0]
    return _painted(thing.part, thing.part.mask, label)


def filled(sight: Sight, point: Point) -> Change | None:
    """Annotate a thing with its holes; objects in them, and what is painted, stay.

    None where there is none, or it has no hole.
    """
    thing = sight.thing_at(point)
    if thing is None or thing.is_background:
        return None
    box, mask = thing.part.box, thing.part.mask
    painted = sight.painted(box)
    holes = holes_of(mask) & (painted == 0)
    if sight.of_objects:
        holes &= sight.seen_objects(box) == 0
    else:
        holes &= sight.classes(box) <= BACKGROUND
    if not holes.any():
        return None
    is_new = holes | (mask & (painted == 0))
    return _painted(thing.part, is_new, sight.number_of(thing))


def split(sight: Sight, first: Point, last: Point) -> Change | None:
    """Cut the object that a line is about; None where the line cuts none.

    Pieces of annotated objects get numbers. Classes have none: there, the seam becomes
    background, and what is on both sides is annotated as the class.
    """
    found = things_along(sight, first, last)
    if not found:
        return None
    thing, _ = max(found, key=lambda pair: pair[1])
    part = thing.part
    pieces = split_object(
        part.mask, _within(first, part), _within(last, part), sight.entry.scale
    )
    if pieces is None:
        return None
    n_pieces = int(pieces.max())
    number = sight.number_of(thing)
    if sight.of_objects:
        numbers = [_STAYS, number, *sight.fresh.take(n_pieces - 1)]
        values = np.array(numbers, np.int64)[pieces]
    else:
        values = np.where(pieces > 0, number, _STAYS).astype(np.int64)
        values[cut_line(pieces)] = BACKGROUND
    return Change(part.box, values, n_pieces, part.is_cut)


def merged(sight: Sight, first: Point, last: Point) -> Change | None:
    """Make one of all objects that a line touches, and of what it runs over between.

    None where it touches fewer than two, and no seam of one that was split.
    """
    things = [thing for thing, _ in things_along(sight, first, last)]
    if not sight.of_objects:  # one class does not swallow another
        things = [thing for thing in things if thing.label == things[0].label]
    if len(things) == 1 and not sight.of_objects:
        return _healed(sight, things[0], first, last)
    if len(things) < 2:
        return None
    numbers = [thing.label for thing in things if thing.label]
    number = numbers[0] if numbers else sight.number_of(things[0])
    box = _around([thing.part.box for thing in things], [first, last])
    box = tuple(  # the line may begin outside
        slice(max(s.start, 0), min(s.stop, n))
        for s, n in zip(box, sight.shape, strict=True)
    )
    values = np.full([s.stop - s.start for s in box], _STAYS)
    corner = [s.start for s in box]
    ends = (tuple(i - c for i, c in zip(p, corner, strict=True)) for p in (first, last))
    line = bridge(values.shape, *ends)
    line &= _is_between(sight, box)
    values[line] = number
    masks = []
    for thing in things:
        inner = tuple(
            slice(s.start - c, s.stop - c)
            for s, c in zip(thing.part.box, corner, strict=True)
        )
        values[inner][thing.part.mask] = number
        mask = np.zeros(values.shape, bool)
        mask[inner] = thing.part.mask
        masks.append(mask)
    if not sight.of_objects:  # what a split painted would keep them two
        seam = seam_between(masks)
        values[seam & (sight.painted(box) == BACKGROUND)] = number
    return Change(box, values, len(things), any(t.part.is_cut for t in things))


def things_along(sight: Sight, first: Point, last: Point) -> list[tuple[Thing, int]]:
    """Return objects that a line touches, in its order, and on how many pixels."""
    from skimage.draw import line

    rows, columns = line(*first[-2:], *last[-2:])  # type: ignore[no-untyped-call]
    points = [(*first[:-2], int(y), int(x)) for y, x in zip(rows, columns, strict=True)]
    points = [point for point in points if sight.has(point)]
    if not points:
        return []
    box = _around([], [points[0], points[-1]])  # read once: it may lie on the disk
    places = np.array(points) - [side.start for side in box]
    is_object = sight.is_object(box)[tuple(places.T)]
    found: list[tuple[Thing, int]] = []
    for point in compress(points, is_object):
        for number, (thing, n_px) in enumerate(found):
            if _covers(thing.part, point):
                found[number] = thing, n_px + 1
                break
        else:
            new = sight.thing_at(point)
            if new is not None:
                found.append((new, 1))
    return found


def _healed(sight: Sight, thing: Thing, first: Point, last: Point) -> Change | None:
    """Take back the seams that a line crosses within one object; None: there is none.

    A found object that was split has the seam painted, and one number on both sides.
    """
    if not thing.part.value or not sight.shows_objects:
        return None
    box = thing.part.box
    is_its = sight.objects(box) == thing.part.value
    seams = seams_of(is_its & (sight.painted(box) == BACKGROUND))
    ends = (_within(point, thing.part) for point in (first, last))
    crossed = np.unique(seams[bridge(seams.shape, *ends)])
    is_seam = np.isin(seams, crossed[crossed > 0])
    if not is_seam.any():
        return None
    return replace(_painted(thing.part, is_seam, thing.label), n_objects=2)


def _painted(part: Part, mask: NDArray[np.bool_], label: int) -> Change:
    values = np.where(mask, label, _STAYS).astype(np.int64)
    return Change(part.box, values, 1, part.is_cut)


def _is_between(sight: Sight, box: Slices) -> NDArray[np.bool_]:
    """Return where a line from object to object may paint: not on a third one."""
    seen = sight.painted(box) if sight.of_objects else sight.seen_classes(box)
    is_free: NDArray[np.bool_] = seen <= BACKGROUND
    return is_free & (sight.seen_objects(box) == 0) if sight.of_objects else is_free


def _covers(part: Part, point: Point) -> bool:
    here = _within(point, part)
    is_in = all(0 <= i < n for i, n in zip(here, part.mask.shape, strict=True))
    return is_in and bool(part.mask[here])


def _within(point: Point, part: Part) -> Point:
    return tuple(i - s.start for i, s in zip(point, part.box, strict=True))


def _around(boxes: Sequence[Slices], points: Sequence[Point]) -> Slices:
    """Return the smallest box that holds some boxes and points."""
    every = [*boxes, *(tuple(slice(i, i + 1) for i in point) for point in points)]
    return tuple(
        slice(min(s.start for s in sides), max(s.stop for s in sides))
        for sides in zip(*every, strict=True)
    )
