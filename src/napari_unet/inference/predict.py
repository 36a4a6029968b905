"""Tiled prediction of whole images or regions, as a job."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.inference.prediction import Prediction, merge_border
from napari_unet.inference.predictor import Frugal, Predictor
from napari_unet.inference.tiles import Tile, plan_tiles
from napari_unet.jobs import CancelToken, JobEvent, Progress, TilePredicted

__all__ = ["Store", "as_shown", "predict_planes", "slabs_of", "tile_event"]

Floats = NDArray[np.float32]
Store = Callable[[int, Tile, Prediction], None]
"""Takes plane, tile and prediction (h, w) of each tile."""


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
    frugal = Frugal(predictor)
    at_once = predictor.planes_at_once(source, tile_px)
    for slab in slabs_of(source.stack, planes, at_once):
        for tile, number in product(tiles, range(len(slab))):
            if token is not None and token.cancelled:
                return False
            plane = slab[number]
            probabilities = frugal.predict(source, plane, tile, len(slab) - number)
            yield from frugal.take_notices()
            found = as_shown(predictor, probabilities, of_objects)
            if store is not None:
                store(plane, tile, found)
            done += 1
            yield tile_event(
                predictor, source, plane, tile, found.labels, done == total
            )
            yield Progress(done, total, "predict")
    return True


def as_shown(
    predictor: Predictor, probabilities: Floats, of_objects: bool
) -> Prediction:
    """Return what users see of a tile's probabilities (K, h, w)."""
    if of_objects:
        return merge_border(probabilities, predictor.values)
    return Prediction(predictor.values, probabilities)


def slabs_of(
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


def tile_event(
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
