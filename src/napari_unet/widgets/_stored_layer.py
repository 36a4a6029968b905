"""A store on disk as a layer: read where napari slices it, redrawn while it grows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_unet.jobs import TilePredicted, TileStored
from napari_unet.widgets._layers import ROLE, transform_of

__all__ = ["LiveTiles", "StoredLevel", "store_of", "stored_layer"]

STORE = f"{ROLE} store"
"""Key in ``layer.metadata`` under which a layer says where its labels are."""


@dataclass(frozen=True)
class _Rectangle:
    """Rows and columns ``[y0:y1, x0:x1]``, px, of the plane at ``index``."""

    index: tuple[int, ...]
    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def rows(self) -> slice:
        return slice(self.y0, self.y1)

    @property
    def columns(self) -> slice:
        return slice(self.x0, self.x1)

    def is_meeting(self, other: _Rectangle) -> bool:
        """Whether they have pixels in common."""
        return (
            self.index == other.index
            and max(self.y0, other.y0) < min(self.y1, other.y1)
            and max(self.x0, other.x0) < min(self.x1, other.x1)
        )


class LiveTiles:
    """Which tiles the live overlay has of an image, and by which model.

    Two overlays on each other would mix their colours: of the store and the live
    overlay, only the newer one shows.
    """

    def __init__(self) -> None:
        self._generations: dict[_Rectangle, int] = {}
        self.is_shown: Callable[[], bool] = lambda: True
        """Whether the overlay is in sight, or the store shows alone."""

    def note(self, tile: TilePredicted) -> None:
        """Remember a tile that was written into the live overlay."""
        height, width = np.shape(tile.labels)
        y1, x1 = tile.y + height, tile.x + width
        place = _Rectangle(tile.index, tile.y, y1, tile.x, x1)
        self._generations[place] = tile.generation

    def clear(self) -> None:
        """Forget all: the overlay is empty."""
        self._generations.clear()

    def give_way(self, tile: TileStored, overlay: Any) -> bool:
        """Empty the overlay (an array) where the store is as new; return if it had."""
        y1, x1 = tile.y + tile.height, tile.x + tile.width
        place = _Rectangle(tile.index, tile.y, y1, tile.x, x1)
        older = [
            live
            for live, generation in self._generations.items()
            if generation <= tile.generation and live.is_meeting(place)
        ]
        for live in older:
            overlay[live.index][live.rows, live.columns] = 0
            del self._generations[live]
        return bool(older)

    def hide_from(
        self, part: NDArray[Any], index: tuple[int, ...], rows: slice, columns: slice
    ) -> None:
        """Empty a part of a plane of the store where the live overlay is newer.

        ``part`` holds every ``rows.step``-th pixel of ``[rows, columns]``.
        """
        if not self.is_shown():
            return
        step = rows.step
        for live in self._generations:
            if live.index == index:
                y0, y1 = (-(-(y - rows.start) // step) for y in (live.y0, live.y1))
                x0, x1 = (-(-(x - columns.start) // step) for x in (live.x0, live.x1))
                part[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = 0


class StoredLevel:
    """One level of a store, as an array for napari.

    Parameters
    ----------
    array
        What is on disk, read anew each time.
    step
        Pixels of the image from one pixel to the next.
    live
        Tiles of the live overlay, behind which the store is out of sight.
    """

    def __init__(self, array: Any, step: int, live: LiveTiles) -> None:
        self._array, self._step, self._live = array, step, live
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype[Any] = np.dtype(array.dtype)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))

    @property
    def stored(self) -> Any:
        """What is on disk, also where the live overlay is newer."""
        return self._array

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """Read a part; what the disk does not give is 0, as what is still to come."""
        try:
            part = np.asarray(self._array[where])
        except OSError:
            return np.zeros_like(np.broadcast_to(np.uint8(0), self.shape)[where])
        is_plane = isinstance(where, tuple) and len(where) == self.ndim
        if not is_plane or part.ndim != 2:
            return part
        *leading, rows, columns = where
        if isinstance(rows, slice) and isinstance(columns, slice):
            part = part.copy()  # what is stored stays as it is
            index = tuple(int(i) for i in leading)
            places = (
                slice((s.start or 0) * self._step, None, self._step)
                for s in (rows, columns)
            )
            self._live.hide_from(part, index, *places)
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read everything."""
        return np.asarray(self[(slice(None),) * self.ndim], dtype)


def stored_layer(
    image: Image, axes: str, path: Path, levels: Any, live: LiveTiles
) -> Labels:
    """Return a layer that shows a store on its image, at the level on the screen."""
    arrays = [StoredLevel(array, 2**n, live) for n, array in enumerate(levels)]
    is_multiscale = len(arrays) > 1
    layer = Labels(
        arrays if is_multiscale else arrays[0],
        multiscale=is_multiscale,
        name=f"{image.name} whole prediction",
        metadata={ROLE: "prediction", STORE: str(path)},
        **transform_of(image, axes),
    )
    layer.editable = False
    return layer


def store_of(layer: Any) -> Path | None:
    """Return where the labels of a layer are, if they are in a store on disk."""
    text = layer.metadata.get(STORE)
    return Path(text) if text else None
