"""The paper's border weights as a layer to look at: where gaps would weigh more."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_unet.jobs import CancelToken, JobEvent
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._layers import ROLE, add_below, role_of, transform_of
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._view import visible_field

__all__ = ["BorderWeights", "weights_job"]

_NOTHING = (
    "There are no objects to weigh gaps between: paint objects, or show objects in the "
    "overlay, and look at a plane of them."
)
_USUAL_WEIGHT = 10.0  # the paper's, where the setting is off


def weights_job(
    _token: CancelToken, objects: NDArray[Any], w0: float, sigma_px: float
) -> Generator[JobEvent, None, NDArray[np.float32]]:
    """Return the border weights of one plane of objects (Y, X), 0 where there is none.

    See `napari_unet.annotation.border_weights.border_weights`.
    """
    from napari_unet.annotation.border_weights import border_weights

    yield from ()
    return border_weights(objects, w0, sigma_px)


class BorderWeights(QObject):
    """Makes the layer for the plane that is looked at, and renews it when asked again.

    Objects are those that are painted, else those of the overlay.
    """

    def __init__(self, state: ViewerState) -> None:
        super().__init__(state)
        self._state = state
        self._where: tuple[AnnotatedImage, tuple[int, ...]] | None = None
        self._bridge = Bridge(self)
        self._bridge.finished.connect(self._on_done)
        self._bridge.failed.connect(lambda error: state.warn(str(error)))

    def show(self) -> None:
        """Compute the weights on a worker; the layer comes when they are there."""
        entry, index = self._state.book.current, self._index()
        if entry is None or index is None or self._bridge.is_running:
            return
        self._state.painting.take()
        objects = _objects_of(entry, index)
        if objects is None:
            self._state.warn(_NOTHING)
            return
        tuning = self._state.config.fine_tune
        w0, sigma_px = tuning.border_weight or _USUAL_WEIGHT, tuning.border_sigma_px
        self._where = entry, index
        self._bridge.start(lambda token: weights_job(token, objects, w0, sigma_px))

    def stop(self) -> None:
        """End the worker: the dock closes."""
        self._bridge.stop()

    def _index(self) -> tuple[int, ...] | None:
        """Return which plane is looked at."""
        entry = self._state.book.current
        layer = None if entry is None else entry.prediction
        field = None if layer is None else visible_field(self._state.viewer(), layer)
        return None if field is None else field.index

    def _on_done(self, weights: NDArray[np.float32]) -> None:
        assert self._where is not None
        entry, index = self._where
        layers = self._state.book.layers
        if entry.image not in layers:
            return
        name = f"{entry.image.name} border weights"
        ours = (i for i in layers if role_of(i) == "weights" and i.name == name)
        old = next(ours, None)
        placed = transform_of(entry.image, entry.axes)
        scale = np.asarray(placed["scale"])
        placed["translate"] = np.asarray(placed["translate"]) + scale * (*index, 0, 0)
        data = weights.reshape((1,) * len(index) + weights.shape)
        if old is not None:
            old.data, old.translate = data, placed["translate"]
            return
        layer = Image(
            data,
            name=name,
            colormap="magma",
            blending="additive",
            contrast_limits=(0.0, max(float(weights.max()), 1.0)),
            metadata={ROLE: "weights"},
            **placed,
        )
        add_below(layers, layer, entry.annotation)


def _objects_of(
    entry: AnnotatedImage, index: tuple[int, ...]
) -> NDArray[np.integer] | None:
    """Return a copy of the objects of one plane (Y, X); None where there are none."""
    if entry.mode == "objects" and entry.copy is not None:
        height, width = entry.shape[-2:]
        plane = int(np.ravel_multi_index(index, entry.shape[:-2])) if index else 0
        painted = entry.copy.read(plane, (slice(0, height), slice(0, width)))
        objects = np.where(painted > 1, painted, 0)
    elif entry.objects is not None:
        objects = np.array(entry.objects.data[index])
    else:
        return None
    return objects if objects.any() else None
