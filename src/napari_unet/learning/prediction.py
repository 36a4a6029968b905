"""Predictions with a learner's state: whole images, some tiles, strokes to check."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import BORDER
from napari_unet.config import InstanceConfig
from napari_unet.core.device import naming_what_ran_out
from napari_unet.core.source import ImageSource
from napari_unet.inference.instances import Instances, split_job
from napari_unet.inference.predict import Store, predict_planes
from napari_unet.inference.prediction import Prediction, label_dtype
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken, JobEvent, finish
from napari_unet.learning.collapse import CollapseWatch, tiles_to_check
from napari_unet.learning.state import State
from napari_unet.learning.three_axes import predict_three_axes

__all__ = [
    "check_collapse",
    "predict_along_axes",
    "predict_instances",
    "predict_labels",
    "predict_maps",
    "predict_tiles",
]

_TOO_LARGE = (
    "memory ran out with an image of shape {shape}: close other programs or images, or "
    "predict a part of it"
)


def predict_labels(
    state: State,
    watch: CollapseWatch,
    source: ImageSource,
    token: CancelToken | None,
    candidate: str | None,
) -> Generator[JobEvent, None, NDArray[Any]]:
    """Predict labels, shape (*spatial); tiles that were not reached stay 0."""
    predictor = _predictor(state, candidate)
    dtype = label_dtype(state.annotations.shown(predictor.values))
    labels = _zeros(source.stack.spatial_shape, dtype)

    def store(plane: int, tile: Tile, found: Prediction) -> None:
        labels[_place(source, plane, tile)] = found.labels

    planes = range(source.stack.n_planes)
    yield from _predict(state, watch, predictor, source, planes, None, token, store)
    return labels


def predict_maps(
    state: State,
    watch: CollapseWatch,
    source: ImageSource,
    token: CancelToken | None,
    candidate: str | None,
) -> Generator[JobEvent, None, Prediction]:
    """Predict probabilities; in tiles that were not reached they stay 0."""
    predictor = _predictor(state, candidate)
    values, shape = (
        state.annotations.shown(predictor.values),
        source.stack.spatial_shape,
    )
    maps = _zeros((len(values), *shape), np.float32)
    is_bordered = state.annotations.of_objects and BORDER in predictor.values
    border = _zeros(shape, np.float32) if is_bordered else None

    def store(plane: int, tile: Tile, found: Prediction) -> None:
        where = _place(source, plane, tile)
        maps[(slice(None), *where)] = found.probabilities
        if border is not None:
            border[where] = found.border

    planes = range(source.stack.n_planes)
    yield from _predict(state, watch, predictor, source, planes, None, token, store)
    return Prediction(values, maps, border)


def predict_along_axes(
    state: State,
    source: ImageSource,
    token: CancelToken | None,
    candidate: str | None,
) -> Generator[JobEvent, None, Prediction]:
    """Predict the mean of three views; 0 everywhere when cancelled."""
    predictor, shape = _predictor(state, candidate), source.stack.spatial_shape
    values = state.annotations.shown(predictor.values)
    with naming_what_ran_out(_TOO_LARGE.format(shape=shape)):
        found = yield from predict_three_axes(
            predictor, source, state.tiles.full_px, state.annotations.of_objects, token
        )
        if found is None:
            return Prediction(values, np.zeros((len(values), *shape), np.float32))
    return found


def predict_instances(
    state: State,
    watch: CollapseWatch,
    source: ImageSource,
    scale: Sequence[float] | None,
    settings: InstanceConfig | None,
    token: CancelToken | None,
) -> Generator[JobEvent, None, Instances]:
    """Predict and cut into objects; keeps what the cut needs, not every class's map."""
    predictor, stack = _predictor(state, None), source.stack
    shape = stack.spatial_shape
    with naming_what_ran_out(_TOO_LARGE.format(shape=shape)):
        dtype = label_dtype(state.annotations.shown(predictor.values))
        labels, evidence = np.zeros(shape, dtype), np.zeros(shape, np.float32)

        def store(plane: int, tile: Tile, found: Prediction) -> None:
            where = _place(source, plane, tile)
            labels[where], evidence[where] = found.labels, found.evidence

        planes = range(stack.n_planes)
        yield from _predict(state, watch, predictor, source, planes, None, token, store)
        instances = yield from split_job(
            labels,
            evidence,
            axes=stack.spatial_axes,
            scale=scale,
            settings=(settings or InstanceConfig()).sized(state.smallest_object_px),
            token=token,
        )
    return instances


def predict_tiles(
    state: State,
    watch: CollapseWatch,
    source: ImageSource,
    index: tuple[int, ...] | None,
    region: Tile | None,
    token: CancelToken | None,
    store: Store | None,
) -> Generator[JobEvent, None, bool]:
    """Predict tiles; return whether it got to the end."""
    predictor, stack = _predictor(state, None), source.stack
    planes = range(stack.n_planes) if index is None else [stack.plane_of(index)]
    done = yield from _predict(
        state, watch, predictor, source, planes, region, token, store
    )
    return done


def check_collapse(state: State, watch: CollapseWatch, max_tiles: int) -> None:
    """Predict a few tiles with strokes, where there is a model."""
    if state.model is None:
        return
    predictor = _predictor(state, None)
    for image, plane, tile in tiles_to_check(
        state.annotations, state.tile_px, max_tiles
    ):
        finish(_predict(state, watch, predictor, image.full, [plane], tile, None))


def _predictor(state: State, candidate: str | None) -> Predictor:
    """Return the chosen candidate, or the one of that name."""
    assert state.model is not None
    if candidate is not None:
        state.complete()
        assert state.model is not None
    return state.predictor(candidate)


def _predict(
    state: State,
    watch: CollapseWatch,
    predictor: Predictor,
    source: ImageSource,
    planes: Sequence[int],
    region: Tile | None,
    token: CancelToken | None,
    store: Store | None = None,
) -> Generator[JobEvent, None, bool]:
    """Predict tiles; the watch sees those of the chosen candidate."""
    assert state.model is not None
    is_shown = predictor.name == state.model.chosen
    if is_shown and state.uncertainty is not None:
        of_objects = state.annotations.of_objects
        store = state.uncertainty.storing(store, source, predictor, of_objects)
    job = predict_planes(
        predictor,
        source,
        planes,
        state.tiles.full_px,
        region=region,
        store=store,
        token=token,
        of_objects=state.annotations.of_objects,
    )
    if is_shown:
        values = state.annotations.shown(predictor.values)
        job = watch.follow(job, state.annotations, values)
    done = yield from job
    return done


def _zeros(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """Return an array for a whole image; `OutOfMemoryError` where it does not fit."""
    with naming_what_ran_out(_TOO_LARGE.format(shape=shape)):
        return np.zeros(shape, dtype)


def _place(source: ImageSource, plane: int, tile: Tile) -> tuple[int | slice, ...]:
    """Return where a tile is in an array of the image's spatial shape."""
    rows, columns = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
    return (*source.stack.index(plane), rows, columns)
