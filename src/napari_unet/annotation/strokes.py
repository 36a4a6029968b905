"""Strokes and regions: the connected painted marks that are held out as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.errors import AnnotationError

__all__ = [
    "HELD_OUT_FOLD",
    "Stroke",
    "check_n_classes",
    "deal_folds",
    "find_strokes",
]

HELD_OUT_FOLD = 0
"""Strokes of this fold are kept from the network's training, to score it."""
MAX_CLASSES = 254
"""As many as a network can have."""

_EVERY_NEIGHBOUR = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class Stroke:
    """One connected mark of one class in one plane, or one block of a large region.

    ``yx`` has shape (n, 2), in px, row first; ``fold`` says when it is held out.
    """

    value: int
    plane: int
    yx: NDArray[np.int32]
    fold: int = -1

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
    annotation: NDArray[np.integer], plane: int = 0, region_px: int = 96
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
    strokes: list[Stroke] = []
    values = np.unique(annotation)
    values = values[values != 0]
    check_n_classes(len(values))
    for value in values:
        marks, _ = ndimage.label(annotation == value, structure=_EVERY_NEIGHBOUR)
        for number, box in enumerate(ndimage.find_objects(marks), start=1):
            corner = np.array([box[0].start, box[1].start], np.int32)
            yx = np.argwhere(marks[box] == number).astype(np.int32) + corner
            strokes += [
                Stroke(int(value), plane, part) for part in _blocks(yx, region_px)
            ]
    return strokes


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
    from a model file, so that its network is not scored on what it was trained on.
    """
    remembered = remembered or {}
    earlier = [(stroke, _codes(stroke)) for stroke in previous]
    folds: list[int] = []
    for stroke in strokes:
        mine = _codes(stroke)
        same = [
            old.fold
            for old, codes in earlier
            if (old.value, old.plane) == (stroke.value, stroke.plane)
            and np.isin(codes, mine, assume_unique=True).any()
        ]
        known = remembered.get(stroke.signature, -1) if remembered else -1
        folds.append(max(same, default=min(known, n_folds - 1)))
    # fold 1 first: a class with one stroke trains, with two it also scores
    order = [1, HELD_OUT_FOLD, *range(2, n_folds)]
    for value in sorted({stroke.value for stroke in strokes}):
        members = [i for i, stroke in enumerate(strokes) if stroke.value == value]
        counts = dict.fromkeys(order, 0)
        for fold in [folds[i] for i in members] + [
            other.fold for other in elsewhere if other.value == value
        ]:
            if fold >= 0:
                counts[fold] += 1
        for i in members:
            if folds[i] < 0:
                folds[i] = min(order, key=lambda fold: counts[fold])
                counts[folds[i]] += 1
    return tuple(
        replace(stroke, fold=fold) for stroke, fold in zip(strokes, folds, strict=True)
    )


def _codes(stroke: Stroke) -> NDArray[np.int64]:
    """One number per pixel."""
    yx = stroke.yx.astype(np.int64)
    codes: NDArray[np.int64] = yx[:, 0] << 32 | yx[:, 1]
    return codes
