"""Strokes and regions: the connected painted marks that are held out as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.config import HoldOut
from napari_unet.errors import AnnotationError

__all__ = [
    "HELD_OUT_FOLD",
    "HOLD_OUT_PX",
    "REGION_PX",
    "Stroke",
    "bundled",
    "bundles_of",
    "check_n_classes",
    "deal_folds",
    "find_strokes",
    "find_strokes_in",
]

HELD_OUT_FOLD = 0
"""Strokes of this fold are kept from the network's training, to score it."""
MAX_CLASSES = 254
"""As many as a network can have."""
HOLD_OUT_PX = 512
"""Side of the squares whose strokes are held out together, where regions are; of the
image as it was given."""
REGION_PX = 96
"""Side of the squares into which what is painted over a large area is cut."""

_EVERY_NEIGHBOUR = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Stroke:
    """One connected mark of one class in one plane, or one block of a large region.

    ``yx`` has shape (n, 2), in px, row first; ``fold`` says when it is held out. Those
    of an image that have the same ``bundle``, but 0, are held out together.
    """

    value: int
    plane: int
    yx: NDArray[np.int32]
    fold: int = -1
    bundle: int = 0

    @property
    def n_px(self) -> int:
        """Number of painted pixels."""
        return len(self.yx)

    @property
    def signature(self) -> str:
        """The same for the same pixels of the same class and plane, in any program."""
        place = f"{self.value},{self.plane}".encode()
        pixels = np.ascontiguousarray(self.yx, "<i4").tobytes()
        return hashlib.blake2b(place + pixels, digest_size=8).hexdigest()


def find_strokes(
    annotation: NDArray[np.integer], plane: int = 0, region_px: int = REGION_PX
) -> list[Stroke]:
    """Find the strokes of one plane.

    Parameters
    ----------
    annotation
        Shape (Y, X), 0 where unlabelled.
    plane
        Number to note in each stroke.
    region_px
        A mark that fills more than half a square of this side is a declared region,
        and is cut into squares of this side, so that a part of it can be held out.

    Returns
    -------
    list of Stroke
        By class value, then by place; touching marks of two classes stay apart.

    Raises
    ------
    AnnotationError
        If there are more classes than a network can have.
    """
    return find_strokes_in([((0, 0), annotation)], plane, region_px)


def find_strokes_in(
    parts: Sequence[tuple[tuple[int, int], NDArray[np.integer]]],
    plane: int = 0,
    region_px: int = REGION_PX,
) -> list[Stroke]:
    """Find the strokes of one plane that is given in parts.

    Parameters
    ----------
    parts
        Rectangles of the plane, each with its first pixel (y, x): no mark lies in two.
    plane, region_px
        As in `find_strokes`.

    Returns
    -------
    list of Stroke
        What `find_strokes` has of the whole plane, in the same order.

    Raises
    ------
    AnnotationError
        If there are more classes than a network can have.
    """
    values = [_values(part) for _, part in parts]
    check_n_classes(len(set().union(*values)))
    marks = [
        (value, yx)
        for (corner, part), mine in zip(parts, values, strict=True)
        for value in mine
        for yx in _marks(part == value, corner)
    ]
    marks.sort(key=lambda mark: (mark[0], *mark[1][0]))
    return [
        Stroke(value, plane, block)
        for value, yx in marks
        for block in _blocks(yx, region_px)
    ]


def _values(part: NDArray[np.integer]) -> list[int]:
    """Return the values that are painted; sorting a large region would take longer."""
    is_there = np.zeros(int(part.max(initial=0)) + 1, bool)
    is_there[part] = True
    return [int(value) for value in np.flatnonzero(is_there) if value]


def _marks(
    is_painted: NDArray[np.bool_], corner: tuple[int, int]
) -> Iterator[NDArray[np.int32]]:
    """Yield the pixels (n, 2) of each connected mark, ``corner`` being the first."""
    marks, _ = ndimage.label(is_painted, structure=_EVERY_NEIGHBOUR)
    for number, box in enumerate(ndimage.find_objects(marks), start=1):
        first = np.array([box[0].start, box[1].start], np.int32) + corner
        yield (np.argwhere(marks[box] == number) + first).astype(np.int32)


def check_n_classes(n_classes: int) -> None:
    """Raise an `AnnotationError` if these are more than a network can have."""
    if n_classes > MAX_CLASSES:
        raise AnnotationError(
            f"the annotation holds {n_classes} classes, but at most {MAX_CLASSES} can "
            "be learned: give all objects of a kind one value, not each its number, or "
            "use napari-unet train --annotation-mode objects"
        )


def _blocks(yx: NDArray[np.int32], region_px: int) -> Iterable[NDArray[np.int32]]:
    """Cut a region into squares; leave a stroke whole."""
    if len(yx) <= region_px**2 // 2:
        return [yx]
    cells = yx // region_px
    _, owner = np.unique(cells, axis=0, return_inverse=True)
    owner = owner.ravel()
    return [yx[owner == cell] for cell in range(owner.max() + 1)]


def deal_folds(
    strokes: Sequence[Stroke],
    n_folds: int,
    previous: Iterable[Stroke] = (),
    elsewhere: Sequence[Stroke] = (),
    remembered: Mapping[str, int] | None = None,
) -> tuple[Stroke, ...]:
    """Assign a fold to each stroke, stable while the annotation grows.

    A stroke that shares a pixel with earlier ones of its class and plane keeps their
    fold; where two were joined, the fold that was *not* held out wins, because the
    network has seen that one. New strokes go to the class's smallest fold, so that the
    second stroke of a class is the first to be held out. Strokes of other images
    (``elsewhere``) count, but keep their folds. ``remembered`` has folds by signature
    from a model file, so that its network is not scored on what it was trained on. A
    bundle has one fold: where its strokes had several, the highest, as above.
    """
    earlier = _folds_by_pixel(previous)
    folds: list[int] = []
    for stroke in strokes:
        fold = _fold_of(earlier.get((stroke.value, stroke.plane)), _codes(stroke))
        if fold < 0 and remembered:
            fold = min(remembered.get(stroke.signature, -1), n_folds - 1)
        folds.append(fold)
    bundles = bundles_of(strokes)
    for members in bundles:
        fold = max(folds[i] for i in members)
        for i in members:
            folds[i] = fold
    # fold 1 first: a class with one stroke trains, with two it also scores
    order = [1, HELD_OUT_FOLD, *range(2, n_folds)]
    # highest class first: bundles hold one that is rare, the border between objects
    for value in sorted({stroke.value for stroke in strokes}, reverse=True):
        counts = dict.fromkeys(order, 0)
        known = [folds[i] for i, stroke in enumerate(strokes) if stroke.value == value]
        for fold in known + [other.fold for other in elsewhere if other.value == value]:
            if fold >= 0:
                counts[fold] += 1
        for members in bundles:
            n_mine = sum(strokes[i].value == value for i in members)
            if not n_mine or folds[members[0]] >= 0:
                continue
            fold = min(order, key=lambda fold: counts[fold])
            counts[fold] += n_mine
            for i in members:
                folds[i] = fold
    return tuple(
        replace(stroke, fold=fold) for stroke, fold in zip(strokes, folds, strict=True)
    )


def bundled(
    strokes: Sequence[Stroke], hold_out: HoldOut, square_px: int = HOLD_OUT_PX
) -> list[Stroke]:
    """Return strokes of one image with those in a bundle that are held out together.

    Parameters
    ----------
    strokes
        Of all its planes; their bundles stay whole.
    hold_out
        ``"stroke"``: each by itself; ``"region"``: those that lie in one square of
        a plane; ``"image"``: all of them.
    square_px
        Side of the squares, in pixels of the strokes.
    """
    if hold_out == "stroke":
        return list(strokes)
    places: dict[tuple[int, ...], int] = {}
    result = list(strokes)
    for members in bundles_of(strokes):
        place: tuple[int, ...] = ()
        if hold_out == "region":
            middle = np.concatenate([strokes[i].yx for i in members]).mean(axis=0)
            square = (middle // square_px).astype(int).tolist()
            place = (strokes[members[0]].plane, *square)
        bundle = places.setdefault(place, len(places) + 1)
        for i in members:
            result[i] = replace(strokes[i], bundle=bundle)
    return result


def bundles_of(strokes: Sequence[Stroke]) -> list[list[int]]:
    """Return positions of one image's strokes by bundle; alone, where it has none."""
    found: dict[int, list[int]] = {}
    for number, stroke in enumerate(strokes):
        found.setdefault(stroke.bundle or -1 - number, []).append(number)
    return list(found.values())


PixelFolds = tuple[NDArray[np.int64], NDArray[np.intp]]


def _folds_by_pixel(strokes: Iterable[Stroke]) -> dict[tuple[int, int], PixelFolds]:
    """Return pixel codes, ascending, and the fold of each, by class and plane."""
    parts: dict[tuple[int, int], list[PixelFolds]] = {}
    for stroke in strokes:
        part = (_codes(stroke), np.full(stroke.n_px, stroke.fold))
        parts.setdefault((stroke.value, stroke.plane), []).append(part)
    result = {}
    for key, mine in parts.items():
        codes, folds = (np.concatenate(column) for column in zip(*mine, strict=True))
        order = np.argsort(codes, kind="stable")
        result[key] = (codes[order], folds[order])
    return result


def _fold_of(earlier: PixelFolds | None, codes: NDArray[np.int64]) -> int:
    """Return the highest fold that any of the pixels had, else -1."""
    if earlier is None:
        return -1
    known, folds = earlier
    place = np.searchsorted(known, codes).clip(max=len(known) - 1)
    return int(folds[place][known[place] == codes].max(initial=-1))


def _codes(stroke: Stroke) -> NDArray[np.int64]:
    """One number per pixel."""
    yx = stroke.yx.astype(np.int64)
    codes: NDArray[np.int64] = yx[:, 0] << 32 | yx[:, 1]
    return codes
