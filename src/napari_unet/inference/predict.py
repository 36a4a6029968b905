"""Tiled prediction of whole images or regions, as a job."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.device import free_memory, out_of_memory_errors
from napari_unet.core.source import ImageSource
from napari_unet.errors import OutOfMemoryError
from napari_unet.inference.prediction import Prediction, merge_border
from napari_unet.inference.tiles import Tile, plan_tiles
from napari_unet.jobs import CancelToken, JobEvent, Notice, Progress, TilePredicted

__all__ = ["Predictor", "Store", "predict_planes"]

_SMALLEST_TILE_PX = 64
Floats = NDArray[np.float32]
Store = Callable[[int, Tile, Prediction], None]
"""Takes plane, tile and prediction (h, w) of each tile."""


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


def predict_planes(
    predictor: Predictor,
    source: ImageSource,
    planes: Sequence[int],
    tile_px: int,
    *,
    region: Tile | None = None,
    store: Store | None = None,
    token: CancelToken | None = None,
    of_objects: bool = False,
) -> Generator[JobEvent, None, bool]:
    """Predict planes tile by tile; memory is bounded by the tile.

    A network that sees the planes around gets a few planes of a tile at once.

    Parameters
    ----------
    predictor
        The candidate to use.
    source
        The image.
    planes
        Numbers of the planes to predict.
    tile_px
        Side of a tile (px).
    region
        Only tiles that meet this rectangle.
    store
        Called with each tile.
    token
        Asked before each tile.
    of_objects
        Whether the classes are the targets of annotated objects, of which predictions
        show less: see `merge_border`.

    Yields
    ------
    TilePredicted, Progress, Notice

    Returns
    -------
    bool
        Whether all tiles were predicted; False when cancelled.

    Raises
    ------
    OutOfMemoryError
        If even a tile of 64 px does not fit.
    """
    tiles = plan_tiles(source.stack.plane_shape, tile_px, region)
    total, done = len(planes) * len(tiles), 0
    frugal = _Frugal(predictor, source)
    at_once = predictor.planes_at_once(source, tile_px)
    for slab in _slabs(source.stack, planes, at_once):
        for tile, number in product(tiles, range(len(slab))):
            if token is not None and token.cancelled:
                return False
            plane = slab[number]
            probabilities = frugal.predict(plane, tile, len(slab) - number)
            yield from frugal.take_notices()
            found = Prediction(predictor.values, probabilities)
            if of_objects:
                found = merge_border(probabilities, predictor.values)
            if store is not None:
                store(plane, tile, found)
            done += 1
            yield _event(predictor, source, plane, tile, found.labels, done == total)
            yield Progress(done, total, "predict")
    return True


def _slabs(
    stack: PlaneStack, planes: Sequence[int], n_planes: int
) -> Iterator[list[int]]:
    """Cut planes into runs of at most ``n_planes`` that lie above each other."""
    slab: list[int] = []
    for plane in planes:
        z = len(slab)
        is_next = slab and stack.planes_along_z(slab[0], z, z + 1) == [plane]
        if slab and (z == n_planes or not is_next):
            yield slab
            slab = []
        slab.append(plane)
    if slab:
        yield slab


def _event(
    predictor: Predictor,
    source: ImageSource,
    plane: int,
    tile: Tile,
    labels: NDArray[Any],
    is_last: bool,
) -> TilePredicted:
    """Return the event that brings the labels (h, w) of a tile."""
    return TilePredicted(
        key=source.key,
        index=source.stack.index(plane),
        y=tile.y0,
        x=tile.x0,
        labels=labels,
        candidate=predictor.name,
        generation=predictor.generation,
        is_last=is_last,
    )


class _Frugal:
    """Predicts tiles; where memory runs out, in quarters: the same numbers."""

    def __init__(self, predictor: Predictor, source: ImageSource) -> None:
        self._predictor, self._source = predictor, source
        self._max_px: int | None = None  # side that is known to fit, or may
        self._notices: list[Notice] = []

    def take_notices(self) -> list[Notice]:
        """Return what the user should read since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def predict(self, plane: int, tile: Tile, n_planes: int) -> Floats:
        """Return probabilities of a tile, shape (K, h, w)."""
        if self._max_px is None or max(tile.shape) <= self._max_px:
            try:
                return self._predictor.probabilities(
                    self._source, plane, tile, n_planes
                )
            except out_of_memory_errors as error:
                self._shrink(max(tile.shape), error)
            free_memory(self._predictor.device)
        assert self._max_px is not None
        shape = (len(self._predictor.values), *tile.shape)
        result: Floats = np.empty(shape, np.float32)
        for part in plan_tiles(tile.shape, self._max_px):
            y0, y1 = tile.y0 + part.y0, tile.y0 + part.y1
            x0, x1 = tile.x0 + part.x0, tile.x0 + part.x1
            result[:, part.y0 : part.y1, part.x0 : part.x1] = self.predict(
                plane, Tile(y0, y1, x0, x1), n_planes
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
