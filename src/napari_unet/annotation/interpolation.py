"""What lies between two painted planes of a stack, by the shapes in both of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.annotation.tiled import (
    TILE_PX,
    Box,
    Cell,
    TiledLabels,
    corner_of,
    neighbour_groups,
)
from napari_unet.errors import AnnotationError
from napari_unet.jobs import CancelToken, JobEvent, Progress, finish

__all__ = [
    "MAX_GAP",
    "has_planes_to_fill",
    "interpolate_job",
    "interpolate_planes",
    "why_nothing_between",
]

MAX_GAP = 4
"""Planes from one painted plane to the next: what is painted on every fourth."""

# below, two shapes are hardly of one thing: of membranes 50 nm apart, 0.3 to 0.4
_LEAST_OVERLAP = 0.5
_EVERY_NEIGHBOUR = np.ones((3, 3), bool)
Floats = NDArray[np.float32]


def interpolate_planes(
    painted: TiledLabels | NDArray[Any],
    axes: str,
    *,
    max_gap: int = MAX_GAP,
    complete: TiledLabels | NDArray[np.bool_] | None = None,
) -> TiledLabels:
    """Return what can be painted between the painted planes of a stack.

    Of each value (class, or object), the signed distances to its edge in two planes are
    averaged, in proportion to how near the planes are; it lies where the mean is
    inside. Only where half of the smaller shape lies over the other one, they are taken
    for two cuts through one thing: thin strokes seldom do, nor membranes that moved on,
    and they add nothing. Nothing is added outside of both shapes.

    Parameters
    ----------
    painted
        Integers, shape (..., Y, X): 0 not painted.
    axes
        One letter of TZYX per axis. Time points do not mix.
    max_gap
        Planes from one plane that has a value to the next one, at most; where they are
        farther apart, nothing is added between.
    complete
        bool, shape of ``painted``: where it is complete, so that what is unlabelled is
        background, and nothing is added. None: nowhere.

    Returns
    -------
    TiledLabels
        Shape and type of ``painted``: what is new alone. It is 0 wherever ``painted``
        is not; see `TiledLabels.filled_with`.

    Raises
    ------
    AnnotationError
        If the axes do not fit, or there is no z.

    References
    ----------
    Raya and Udupa, Shape-based interpolation of multidimensional objects, 1990
    (doi:10.1109/42.52980).
    """
    job = interpolate_job(
        TiledLabels.of(painted), axes, max_gap=max_gap, complete=complete
    )
    return finish(job)


def interpolate_job(
    painted: TiledLabels,
    axes: str,
    *,
    max_gap: int = MAX_GAP,
    complete: TiledLabels | NDArray[np.bool_] | None = None,
    token: CancelToken | None = None,
) -> Generator[JobEvent, None, TiledLabels]:
    """Do what `interpolate_planes` does as a job; when cancelled, nothing is added.

    Yields `Progress` after each pair of planes of a value.
    """
    region = None if complete is None else TiledLabels.of(complete)
    pairs = [
        (stack, value, planes, low, high)
        for stack in _stacks(painted, axes)
        for value, planes in _planes_of_values(painted, stack).items()
        for low, high in pairwise(sorted(planes))
        if 1 < high - low <= max_gap
    ]
    canvas = _Canvas()
    for done, (stack, value, planes, low, high) in enumerate(pairs, 1):
        if token is not None and token.cancelled:
            return TiledLabels(painted.shape, painted.dtype, {})
        cells = planes[low] + planes[high]
        pair = stack[low], stack[high]
        for box, first, last in _shapes(painted, value, pair, cells):
            for z in range(low + 1, high):
                near = (z - low) / (high - low)
                canvas.lay(stack[z], box, value, (1 - near) * first + near * last)
        yield Progress(done, len(pairs), "interpolate")
    return canvas.beside(painted, region)


def has_planes_to_fill(painted: TiledLabels, axes: str) -> bool:
    """Whether a stack has two painted planes, and others between them."""
    if "Z" not in axes:
        return False
    for stack in _stacks(painted, axes):
        found = [z for z, plane in stack.items() if plane in painted.cells]
        if len(found) > 1 and found[-1] - found[0] >= len(found):
            return True
    return False


def why_nothing_between(painted: TiledLabels, axes: str, max_gap: int = MAX_GAP) -> str:
    """Say why `interpolate_planes` adds nothing to an annotation, in half a sentence.

    The parameters are as there. Where shapes do overlap as they must, what lies between
    them is painted already, or complete.
    """
    of_values = [
        (stack, value, planes)
        for stack in _stacks(painted, axes)
        for value, planes in _planes_of_values(painted, stack).items()
    ]
    pairs = [
        (stack, value, planes, low, high)
        for stack, value, planes in of_values
        for low, high in pairwise(sorted(planes))
    ]
    if not pairs:
        return "nothing is painted with the same value on two planes of a stack"
    gaps = {high - low for *_, low, high in pairs}
    if gaps == {1}:
        return "the painted planes follow each other, with none between them"
    if all(gap == 1 or gap > max_gap for gap in gaps):
        return (
            f"painted planes are {min(gaps - {1})} apart or more, and only what is at "
            f"most {max_gap} apart is looked at"
        )
    for stack, value, planes, low, high in pairs:
        pair, cells = (stack[low], stack[high]), planes[low] + planes[high]
        if 1 < high - low <= max_gap and any(_shapes(painted, value, pair, cells)):
            return "all that lies between painted planes is painted or complete"
    return (
        "no shape overlaps the one on the next painted plane by half, as cuts through "
        "one object do and thin strokes seldom"
    )


def _stacks(painted: TiledLabels, axes: str) -> list[dict[int, int]]:
    """Return for each time point the number of the plane at each z."""
    if len(axes) != painted.ndim or "Z" not in axes[:-2] or axes[-2:] != "YX":
        raise AnnotationError(
            f"between planes of an annotation of shape {painted.shape} with the axes "
            f"'{axes}' nothing can be filled in: name the axis Z of a stack, and Y and "
            "X last"
        )
    leading = painted.shape[:-2]
    numbers = np.arange(np.prod(leading, dtype=int)).reshape(leading)
    along = np.moveaxis(numbers, axes.index("Z"), -1)
    return [dict(enumerate(row)) for row in along.reshape(-1, along.shape[-1]).tolist()]


def _planes_of_values(
    painted: TiledLabels, stack: dict[int, int]
) -> dict[int, dict[int, list[Cell]]]:
    """Return where each value is: z, and the tiles there."""
    found: dict[int, dict[int, list[Cell]]] = {}
    for z, plane in stack.items():
        for cell in painted.cells.get(plane, ()):
            for value in np.unique(painted.tiles[plane, *cell]).tolist():
                if value:
                    found.setdefault(value, {}).setdefault(z, []).append(cell)
    return found


def _shapes(
    painted: TiledLabels, value: int, pair: tuple[int, int], cells: list[Cell]
) -> Iterator[tuple[Box, Floats, Floats]]:
    """Yield what overlaps in two planes: where, and signed distances in both."""
    for group in neighbour_groups(cells):
        box, first = painted.part(pair[0], group)
        masks = np.stack([first, painted.part(pair[1], group)[1]]) == value
        # seen along z, shapes that overlap are one piece
        pieces, n = ndimage.label(masks.any(axis=0), _EVERY_NEIGHBOUR)
        smaller = np.min([np.bincount(pieces[m], minlength=n + 1) for m in masks], 0)
        overlap = np.bincount(pieces[masks.all(axis=0)], minlength=n + 1)
        is_met = (overlap > 0) & (overlap >= _LEAST_OVERLAP * smaller)
        places = ndimage.find_objects(pieces)
        y, x = corner_of(box)
        for piece in np.flatnonzero(is_met).tolist():
            where = tuple(
                # an edge that the image cuts off is none
                slice(max(side.start - 1, 0), side.stop + 1)
                for side in places[piece - 1]
            )
            is_mine = pieces[where] == piece
            low, high = (_signed_distance(mask[where] & is_mine) for mask in masks)
            top, left = where[0].start + y, where[1].start + x
            height, width = is_mine.shape
            yield (slice(top, top + height), slice(left, left + width)), low, high


def _signed_distance(mask: NDArray[np.bool_]) -> Floats:
    """Return the distance to the mask's edge (px), negative outside."""
    if mask.all():
        return np.full(mask.shape, max(mask.shape), np.float32)
    inside = ndimage.distance_transform_edt(mask) - 0.5
    outside = ndimage.distance_transform_edt(~mask) - 0.5
    return np.asarray(np.where(mask, inside, -outside), np.float32)


class _Canvas:
    """Tiles that values are laid on; where two meet, the one that is deeper inside."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int, int], tuple[NDArray[np.int64], Floats]] = {}

    def lay(self, plane: int, box: Box, value: int, depth: Floats) -> None:
        """Lay a value where it is more than 0 px inside."""
        rows, columns = (
            _tiles_of(np.flatnonzero((depth > 0).any(axis=axis)), side.start)
            for axis, side in ((1, box[0]), (0, box[1]))
        )
        for row, column in product(rows, columns):
            place = plane, row, column
            if place not in self._tiles:
                shape = TILE_PX, TILE_PX
                self._tiles[place] = np.zeros(shape, int), np.zeros(shape, np.float32)
            here, there = zip(
                _overlap(row * TILE_PX, box[0]),
                _overlap(column * TILE_PX, box[1]),
                strict=True,
            )
            values, deepest = (tile[there] for tile in self._tiles[place])
            is_deeper = depth[here] > deepest
            values[is_deeper], deepest[is_deeper] = value, depth[here][is_deeper]

    def beside(self, painted: TiledLabels, region: TiledLabels | None) -> TiledLabels:
        """Return what was laid where nothing is painted, and outside of a region."""
        height, width = painted.shape[-2:]
        tiles = {}
        for place, (values, _) in self._tiles.items():
            _, row, column = place
            tile = values[: height - row * TILE_PX, : width - column * TILE_PX]
            tile = tile.astype(painted.dtype)
            for other in (painted, region):
                if other is not None and place in other.tiles:
                    tile[other.tiles[place] != 0] = 0
            if tile.any():
                tile.setflags(write=False)
                tiles[place] = tile
        return TiledLabels(painted.shape, painted.dtype, tiles)


def _tiles_of(found: NDArray[np.intp], start: int) -> range:
    """Return the tiles that pixels lie in, counted from ``start`` along one axis."""
    if not len(found):
        return range(0)
    return range((start + found[0]) // TILE_PX, (start + found[-1]) // TILE_PX + 1)


def _overlap(first: int, side: slice) -> tuple[slice, slice]:
    """Return what a side and the tile at ``first`` share, as counted from both."""
    start, stop = max(first, side.start), min(first + TILE_PX, side.stop)
    return (
        slice(start - side.start, stop - side.start),
        slice(start - first, stop - first),
    )
