"""What predicts tiles, and how it gets by when memory is short."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.device import free_memory, out_of_memory_errors
from napari_unet.core.source import ImageSource
from napari_unet.errors import OutOfMemoryError
from napari_unet.inference.tiles import Tile, plan_tiles
from napari_unet.jobs import Notice

__all__ = ["Frugal", "Predictor"]

_SMALLEST_TILE_PX = 64
Floats = NDArray[np.float32]


class Predictor(Protocol):
    """Anything that gives class probabilities for a tile."""

    @property
    def name(self) -> str:
        """The candidate's name."""
        ...

    @property
    def values(self) -> tuple[int, ...]:
        """Class values, in the order of the probabilities."""
        ...

    @property
    def generation(self) -> int:
        """Number of the model that it is part of."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def window(self, source: ImageSource, tile: Tile) -> tuple[ImageSource, Tile]:
        """Return what is to be at hand for a tile; what is beyond takes longer.

        The image that is read, which may be coarser, and a rectangle of it.
        """
        ...

    def without_cache(self) -> Predictor:
        """Return the same, which keeps no features: for tiles that are seen once."""
        ...

    def on(self, device: torch.device) -> Predictor:
        """Return the same on another device, with weights and a cache of its own."""
        ...

    @property
    def planes_around(self) -> int:
        """How many planes above and below a plane it looks at."""
        ...

    def planes_at_once(self, source: ImageSource, tile_px: int) -> int:
        """Return how many planes are best asked for one after the other."""
        ...

    def probabilities(
        self, source: ImageSource, plane: int, tile: Tile, n_planes: int = 1
    ) -> Floats:
        """Return shape (K, h, w), classes in the order of ``values``.

        The ``n_planes - 1`` planes above will be asked for next.
        """
        ...


class Frugal:
    """Predicts tiles; where memory runs out, plane by plane, then in quarters.

    The numbers are the same.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._max_px: int | None = None  # side that is known to fit, or may
        self._is_plane_by_plane = False
        self._notices: list[Notice] = []

    def take_notices(self) -> list[Notice]:
        """Return what the user should read since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def predict(
        self, source: ImageSource, plane: int, tile: Tile, n_planes: int = 1
    ) -> Floats:
        """Return probabilities of a tile, shape (K, h, w); planes above come next."""
        n_planes = 1 if self._is_plane_by_plane else n_planes
        if self._max_px is None or max(tile.shape) <= self._max_px:
            try:
                return self._predictor.probabilities(source, plane, tile, n_planes)
            except out_of_memory_errors as error:
                if n_planes > 1:
                    self._is_plane_by_plane = True
                else:
                    self._shrink(max(tile.shape), error)
            free_memory(self._predictor.device)
            if n_planes > 1:
                return self.predict(source, plane, tile)
        assert self._max_px is not None
        shape = (len(self._predictor.values), *tile.shape)
        result: Floats = np.empty(shape, np.float32)
        for part in plan_tiles(tile.shape, self._max_px):
            y0, y1 = tile.y0 + part.y0, tile.y0 + part.y1
            x0, x1 = tile.x0 + part.x0, tile.x0 + part.x1
            result[:, part.y0 : part.y1, part.x0 : part.x1] = self.predict(
                source, plane, Tile(y0, y1, x0, x1), n_planes
            )
        return result

    def _shrink(self, side: int, error: Exception) -> None:
        """Note that a tile of this side does not fit."""
        if isinstance(error, OutOfMemoryError):
            raise error
        if side <= _SMALLEST_TILE_PX:
            raise OutOfMemoryError(
                f"memory ran out on a tile of {side} px: close other programs or "
                "images, or choose fewer base channels"
            ) from error
        # halves stay on the network's pooling grid (at most 64 px)
        self._max_px = max(side // 2 // 64 * 64, _SMALLEST_TILE_PX)
        text = f"Memory ran out: went on with tiles of {self._max_px} px."
        self._notices.append(Notice(text, "warning"))
