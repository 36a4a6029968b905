"""Label arrays of which only the tiles that hold something are kept.

Of a slide of a hundred thousand pixels a side a thousand are painted. What looks for
strokes, copies and compares must cost what is painted, not what could be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["TILE_PX", "Box", "TiledLabels", "box_around"]

TILE_PX = 256
"""Side of a tile (px): small beside a screen, large beside a stroke."""

Box = tuple[slice, slice]
"""Rows and columns of a rectangle of a plane (px)."""
Place = tuple[int, int, int]
"""Plane, tile row, tile column."""

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
    tiles: Mapping[Place, NDArray[Any]]

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
        tiles: dict[Place, NDArray[Any]] = {}
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
        """Put parts together: plane, where in it (as `boxes` are), and values."""
        tiles: dict[Place, NDArray[Any]] = {}
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

    def max(self) -> int:
        """Return the highest value, at least 0."""
        return max([0, *(int(tile.max()) for tile in self.tiles.values())])

    def min(self) -> int:
        """Return the lowest value, at most 0."""
        return min([0, *(int(tile.min()) for tile in self.tiles.values())])

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

    @cached_property
    def planes(self) -> tuple[int, ...]:
        """Numbers of the planes that hold something, ascending."""
        return tuple(sorted({plane for plane, _, _ in self.tiles}))

    def boxes(self, plane: int) -> list[Box]:
        """Return rectangles around tiles that are neighbours, for one plane.

        What is connected in the plane lies in one of them. Two can overlap.
        """
        return [box for box, _ in self._groups(plane)]

    def groups(self, plane: int) -> list[tuple[Box, NDArray[Any]]]:
        """Return each of `boxes` with its values, 0 where tiles of other boxes are."""
        return [
            (box, self._fill(plane, box, members))
            for box, members in self._groups(plane)
        ]

    def box(self, plane: int) -> Box:
        """Return the rectangle around all tiles of a plane; empty where none is."""
        return box_around(self.boxes(plane))

    def read(self, plane: int, box: Box) -> NDArray[Any]:
        """Return the values in a rectangle of a plane, as an array of its own."""
        rows, columns = box
        members = [
            (row, column)
            for row in range(rows.start // TILE_PX, -(-rows.stop // TILE_PX))
            for column in range(columns.start // TILE_PX, -(-columns.stop // TILE_PX))
            if (plane, row, column) in self.tiles
        ]
        return self._fill(plane, box, members)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array; of large ones too large."""
        whole = np.zeros(self.shape, self.dtype if dtype is None else dtype)
        planes = whole.reshape(-1, *self.shape[-2:])
        for (plane, row, column), tile in self.tiles.items():
            y, x = row * TILE_PX, column * TILE_PX
            planes[plane, y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        return whole

    def _groups(self, plane: int) -> list[tuple[Box, list[tuple[int, int]]]]:
        """Return the rectangles of `boxes`, each with its tiles (row, column)."""
        places = np.array([p[1:] for p in self.tiles if p[0] == plane]).reshape(-1, 2)
        if not len(places):
            return []
        first = places.min(axis=0)
        grid = np.zeros(places.max(axis=0) - first + 1, bool)
        grid[tuple((places - first).T)] = True
        numbers, n = ndimage.label(grid, structure=_EVERY_NEIGHBOUR)
        groups = []
        for number in range(1, n + 1):
            members = np.argwhere(numbers == number) + first
            low = members.min(axis=0) * TILE_PX
            high = (members.max(axis=0) + 1) * TILE_PX
            stop = np.minimum(high, self.shape[-2:])
            box = slice(int(low[0]), int(stop[0])), slice(int(low[1]), int(stop[1]))
            groups.append((box, [(int(y), int(x)) for y, x in members]))
        return groups

    def _fill(
        self, plane: int, box: Box, members: Iterable[tuple[int, int]]
    ) -> NDArray[Any]:
        """Return a rectangle with the values of some tiles."""
        rows, columns = box
        shape = rows.stop - rows.start, columns.stop - columns.start
        part: NDArray[Any] = np.zeros(shape, self.dtype)
        for row, column in members:
            tile = self.tiles[plane, row, column]
            y, x = row * TILE_PX, column * TILE_PX
            y0, x0 = max(y, rows.start), max(x, columns.start)
            y1 = min(y + tile.shape[0], rows.stop)
            x1 = min(x + tile.shape[1], columns.stop)
            there = slice(y0 - rows.start, y1 - rows.start)
            part[there, x0 - columns.start : x1 - columns.start] = tile[
                y0 - y : y1 - y, x0 - x : x1 - x
            ]
        return part


def box_around(boxes: Iterable[Box]) -> Box:
    """Return the smallest rectangle around some; an empty one around none."""
    known = [box for box in boxes if box[0].stop > box[0].start]
    if not known:
        return slice(0, 0), slice(0, 0)
    rows, columns = zip(*known, strict=True)
    return (
        slice(min(s.start for s in rows), max(s.stop for s in rows)),
        slice(min(s.start for s in columns), max(s.stop for s in columns)),
    )


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
