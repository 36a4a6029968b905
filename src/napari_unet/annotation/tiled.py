"""Label arrays of which only the tiles that hold something are kept.

Of a slide of a thousand million pixels a few thousand are painted. What is copied,
searched and sent must be what is painted, not what could be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["TILE_PX", "Box", "Cell", "TiledLabels", "corner_of", "neighbour_groups"]

TILE_PX = 256
"""Side of a tile (px): small beside a screen, large beside a stroke."""

Box = tuple[slice, slice]
"""Rows and columns of a rectangle of a plane (px)."""
Cell = tuple[int, int]
"""Row and column of a tile."""

_EVERY_NEIGHBOUR = np.ones((3, 3), bool)


@dataclass(frozen=True, eq=False)
class TiledLabels:
    """An immutable label array; where it keeps no tile, it is 0.

    Attributes
    ----------
    shape
        Shape (..., Y, X) of the whole array.
    dtype
        Of its values.
    tiles
        By number of the plane, tile row and tile column: read-only arrays of at most
        `TILE_PX` a side, none of them all 0.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tiles: Mapping[tuple[int, int, int], NDArray[Any]]

    @classmethod
    def of(cls, array: Any, dtype: Any = None) -> TiledLabels:
        """Copy what an array holds.

        Parameters
        ----------
        array
            Shape (..., Y, X): integers or bool; NumPy, dask or zarr, of which a band
            of `TILE_PX` rows is read at a time. Tiled labels need no copy.
        dtype
            To be kept as; None: as they are.
        """
        if isinstance(array, TiledLabels):
            return array.astype(dtype or array.dtype)
        shape = tuple(int(n) for n in array.shape)
        tiles: dict[tuple[int, int, int], NDArray[Any]] = {}
        for plane, index in enumerate(np.ndindex(shape[:-2])):
            for row, y in enumerate(range(0, shape[-2], TILE_PX)):
                band = np.asarray(array[(*index, slice(y, y + TILE_PX))])
                for column in _painted_columns(band):
                    x = column * TILE_PX
                    tile = np.array(band[:, x : x + TILE_PX], dtype=dtype, order="C")
                    tile.setflags(write=False)
                    tiles[plane, row, column] = tile
        return cls(shape, np.dtype(dtype or array.dtype), tiles)

    @classmethod
    def of_parts(
        cls,
        shape: tuple[int, ...],
        dtype: Any,
        parts: Iterable[tuple[int, Box, NDArray[Any]]],
    ) -> TiledLabels:
        """Put parts together: plane, where in it (as of `part`), and values."""
        tiles: dict[tuple[int, int, int], NDArray[Any]] = {}
        for plane, (rows, columns), part in parts:
            down, right = rows.start // TILE_PX, columns.start // TILE_PX
            for (_, row, column), tile in cls.of(part, dtype).tiles.items():
                tiles[plane, row + down, column + right] = tile
        return cls(shape, np.dtype(dtype), tiles)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def any(self) -> bool:
        """Whether anything but 0 is kept."""
        return bool(self.tiles)

    @cached_property
    def highest(self) -> int:
        """The highest value, at least 0."""
        return max([0, *(int(tile.max()) for tile in self.tiles.values())])

    @cached_property
    def lowest(self) -> int:
        """The lowest value, at most 0."""
        return min([0, *(int(tile.min()) for tile in self.tiles.values())])

    @cached_property
    def n_px(self) -> int:
        """How many values are not 0."""
        return sum(int(np.count_nonzero(tile)) for tile in self.tiles.values())

    def astype(self, dtype: Any) -> TiledLabels:
        """Return the same values in another type."""
        if np.dtype(dtype) == self.dtype:
            return self
        tiles = {}
        for place, tile in self.tiles.items():
            tiles[place] = tile.astype(dtype)
            tiles[place].setflags(write=False)
        return TiledLabels(self.shape, np.dtype(dtype), tiles)

    def is_same(self, other: TiledLabels) -> bool:
        """Whether another has the same shape and values."""
        return (
            self.shape == other.shape
            and self.tiles.keys() == other.tiles.keys()
            and all(
                np.array_equal(tile, other.tiles[place])
                for place, tile in self.tiles.items()
            )
        )

    def filled_with(self, other: TiledLabels) -> TiledLabels:
        """Return these values, and where they are 0 those of another of this shape."""
        tiles = dict(self.tiles)
        for place, tile in other.tiles.items():
            mine = self.tiles.get(place)
            if mine is None:
                tiles[place] = tile.astype(self.dtype)
            else:
                tiles[place] = np.where(mine == 0, tile, mine).astype(self.dtype)
            tiles[place].setflags(write=False)
        return TiledLabels(self.shape, self.dtype, tiles)

    @cached_property
    def cells(self) -> Mapping[int, list[Cell]]:
        """By number of the plane, ascending: the tiles that it holds."""
        cells: dict[int, list[Cell]] = {}
        for plane, row, column in sorted(self.tiles):
            cells.setdefault(plane, []).append((row, column))
        return cells

    def groups(self, plane: int) -> list[tuple[Box, NDArray[Any]]]:
        """Return each group of neighbouring tiles of a plane; see `part`.

        What is connected in the plane lies in one of them.
        """
        groups = neighbour_groups(self.cells.get(plane, ()))
        return [self.part(plane, group) for group in groups]

    def groups_with(
        self, other: TiledLabels | None
    ) -> Iterator[tuple[int, Box, NDArray[Any], NDArray[Any]]]:
        """Yield groups of neighbouring tiles that this or another array holds.

        Parameters
        ----------
        other
            Of the same shape; None: it is 0, and taken for bool.

        Yields
        ------
        plane, box, mine, others
            Number of the plane, ascending; rectangle, and the values of both in it, see
            `part`.
        """
        other = other or TiledLabels(self.shape, np.dtype(bool), {})
        for plane in sorted({*self.cells, *other.cells}):
            cells = self.cells.get(plane, []) + other.cells.get(plane, [])
            for group in neighbour_groups(cells):
                box, mine = self.part(plane, group)
                yield plane, box, mine, other.part(plane, group)[1]

    def part(self, plane: int, cells: Sequence[Cell]) -> tuple[Box, NDArray[Any]]:
        """Return the rectangle around some tiles, and its values.

        They are 0 where other tiles are: the rectangles of two groups can overlap.
        """
        rows, columns = zip(*cells, strict=True)
        height, width = self.shape[-2:]
        box = (
            slice(min(rows) * TILE_PX, min((max(rows) + 1) * TILE_PX, height)),
            slice(min(columns) * TILE_PX, min((max(columns) + 1) * TILE_PX, width)),
        )
        return box, self._fill(plane, box, cells)

    def read(self, plane: int, box: Box) -> NDArray[Any]:
        """Return the values in a rectangle of a plane, as an array of its own."""
        rows, columns = box
        cells = [
            (row, column)
            for row in range(rows.start // TILE_PX, -(-rows.stop // TILE_PX))
            for column in range(columns.start // TILE_PX, -(-columns.stop // TILE_PX))
        ]
        return self._fill(plane, box, cells)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array; of large ones too large."""
        whole = np.zeros(self.shape, self.dtype if dtype is None else dtype)
        planes = whole.reshape(-1, *self.shape[-2:])
        for (plane, row, column), tile in self.tiles.items():
            y, x = row * TILE_PX, column * TILE_PX
            planes[plane, y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        return whole

    def _fill(self, plane: int, box: Box, cells: Iterable[Cell]) -> NDArray[Any]:
        """Return a rectangle with the values of some tiles, as far as they are kept."""
        rows, columns = box
        shape = rows.stop - rows.start, columns.stop - columns.start
        part: NDArray[Any] = np.zeros(shape, self.dtype)
        for row, column in cells:
            tile = self.tiles.get((plane, row, column))
            if tile is None:
                continue
            y, x = row * TILE_PX, column * TILE_PX
            y0, x0 = max(y, rows.start), max(x, columns.start)
            y1 = min(y + tile.shape[0], rows.stop)
            x1 = min(x + tile.shape[1], columns.stop)
            there = slice(y0 - rows.start, y1 - rows.start)
            part[there, x0 - columns.start : x1 - columns.start] = tile[
                y0 - y : y1 - y, x0 - x : x1 - x
            ]
        return part


def neighbour_groups(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Deal tiles to groups: those that touch, if only at a corner, are in one."""
    known = sorted(set(cells))
    if len(known) < 2:  # as of most planes of a film
        return [known] if known else []
    places = np.array(known)
    first = places.min(axis=0)
    grid = np.zeros(places.max(axis=0) - first + 1, bool)
    grid[tuple((places - first).T)] = True
    numbers, n_groups = ndimage.label(grid, structure=_EVERY_NEIGHBOUR)
    groups: list[list[Cell]] = [[] for _ in range(n_groups)]
    for row, column in places.tolist():
        number = numbers[row - first[0], column - first[1]]
        groups[number - 1].append((row, column))
    return groups


def corner_of(box: Box) -> tuple[int, int]:
    """Return the first pixel (y, x) of a rectangle."""
    return box[0].start, box[1].start


def _painted_columns(band: NDArray[Any]) -> list[int]:
    """Return which tiles of a band of rows hold anything but 0."""
    # the largest is found ten times as fast as whether there is any; neither sees the
    # memory of what was never written
    used = band.max(axis=0) != 0
    if band.dtype.kind == "i":
        used |= band.min(axis=0) != 0
    starts = np.arange(0, band.shape[1], TILE_PX)
    painted = np.logical_or.reduceat(used, starts)
    return [int(column) for column in np.flatnonzero(painted)]
