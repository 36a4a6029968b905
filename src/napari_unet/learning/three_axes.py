"""A volume predicted along its three axes: the mean of three views of each voxel."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_unet.core.source import ImageSource
from napari_unet.errors import ImageError
from napari_unet.inference.predict import predict_planes
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import CancelToken, JobEvent, TilePredicted

__all__ = ["check_three_axes", "predict_three_axes"]

_MOST_ANISOTROPIC = 2.0


def check_three_axes(
    source: ImageSource, dimensions: str, anisotropy: float | None
) -> None:
    """Raise an `ImageError` unless planes across z look like those along it."""
    if dimensions != "2d":
        raise ImageError(
            f"three axes are for networks that see planes, and this model is "
            f"'{dimensions}', which sees the planes around already: leave three axes "
            "out"
        )
    if not source.stack.has_z:
        raise ImageError(
            f"the image has the axes {source.stack.axes} and no z, so that there are "
            "not three axes to predict along: leave three axes out"
        )
    if anisotropy and not 1 / _MOST_ANISOTROPIC <= anisotropy <= _MOST_ANISOTROPIC:
        raise ImageError(
            f"planes lie {anisotropy:.3g} pixels apart: cut across, objects would look "
            f"unlike those that were learned. Three axes are for volumes of at most "
            f"{_MOST_ANISOTROPIC:g}:1; predict plane by plane, or resample the volume"
        )


def predict_three_axes(
    predictor: Predictor,
    source: ImageSource,
    tile_px: int,
    of_objects: bool,
    token: CancelToken | None,
) -> Generator[JobEvent, None, Prediction | None]:
    """Predict planes along z, y and x, and return the mean of their probabilities.

    What one axis shows only at an object's edge another one sees cut through: averaging
    the views of a 2D network is a cheap way into 3D (2.5D in Roth et al. 2014,
    doi:10.1007/978-3-319-10404-1_65). None when cancelled.
    """
    total: Prediction | None = None
    for axis in "ZYX":
        view = _predict_view(predictor, source, axis, tile_px, of_objects, token)
        found = yield from view
        if found is None:
            return None
        total = _add(total, found)
    assert total is not None
    return total


def _predict_view(
    predictor: Predictor,
    source: ImageSource,
    axis: str,
    tile_px: int,
    of_objects: bool,
    token: CancelToken | None,
) -> Generator[JobEvent, None, Prediction | None]:
    """Predict the planes across one axis; as the volume lies, None when cancelled."""
    turned = source.cut_across(axis)
    stack = turned.stack
    found: list[Prediction] = []

    def store(plane: int, tile: Tile, part: Prediction) -> None:
        if not found:  # only now are the classes known that are shown
            shape = stack.spatial_shape
            maps = np.zeros((len(part.values), *shape), np.float32)
            border = None if part.border is None else np.zeros(shape, np.float32)
            found.append(Prediction(part.values, maps, border))
        whole = found[0]
        where: tuple[int | slice, ...] = stack.index(plane)
        where += slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        whole.probabilities[(slice(None), *where)] = part.probabilities
        if whole.border is not None:
            whole.border[where] = part.border

    job = predict_planes(
        predictor,
        turned,
        range(stack.n_planes),
        tile_px,
        store=store,
        token=token,
        of_objects=of_objects,
    )
    is_done = yield from _without_tiles(job)
    if not is_done:
        return None
    first, second = (stack.spatial_axes.index(letter) for letter in ("Z", axis))
    (whole,) = found
    border = whole.border
    return replace(
        whole,
        probabilities=whole.probabilities.swapaxes(1 + first, 1 + second),
        border=None if border is None else border.swapaxes(first, second),
    )


def _without_tiles(
    job: Generator[JobEvent, None, bool],
) -> Generator[JobEvent, None, bool]:
    """Pass a job's events on, but no tiles: they are of no plane of the image."""
    while True:
        try:
            event = next(job)
        except StopIteration as stop:
            return bool(stop.value)
        if not isinstance(event, TilePredicted):
            yield event


def _add(total: Prediction | None, found: Prediction) -> Prediction:
    """Add a third of a prediction."""
    third = np.float32(1 / 3)
    maps = found.probabilities * third
    border = None if found.border is None else found.border * third
    if total is not None:
        maps += total.probabilities
        if border is not None and total.border is not None:
            border += total.border
    return replace(found, probabilities=maps, border=border)
