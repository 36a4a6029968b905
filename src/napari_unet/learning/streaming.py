"""A learner's predictions straight into a store, and what names their maker."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import fingerprint
from napari_unet.core.source import ImageSource
from napari_unet.inference.enlarged import Enlarged
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.remote_image import OpenImage
from napari_unet.inference.stream import OpenStore, StreamPlan, stream_planes
from napari_unet.jobs import CancelToken, JobEvent
from napari_unet.learning.candidates import Blend, ForestCandidate, RidgeCandidate
from napari_unet.learning.collapse import CollapseWatch
from napari_unet.learning.state import State

if TYPE_CHECKING:
    from napari_unet.inference.cluster import Cluster

__all__ = ["model_fingerprint", "stream_image"]


def stream_image(
    state: State,
    watch: CollapseWatch,
    source: ImageSource,
    open_store: OpenStore,
    token: CancelToken | None,
    cluster: Cluster | None = None,
    open_image: OpenImage | None = None,
) -> Generator[JobEvent, None, bool]:
    """Predict an image into the store that is opened for it; return whether it ended.

    The model stays what it was when the job began, whatever is painted meanwhile. On a
    cluster, labels do not come here, and nothing is learned about a collapse.
    """
    assert state.model is not None
    predictor = state.predictor()
    tile_px = state.tiles.stream_px
    if predictor.planes_around:  # a slab takes as much memory as several planes
        tile_px = state.tiles.full_px
    else:
        predictor = predictor.without_cache()
    of_objects = state.annotations.of_objects
    plan = StreamPlan(
        shape=source.stack.spatial_shape,
        axes=source.stack.spatial_axes,
        tile_px=tile_px,
        values=state.annotations.shown(predictor.values),
        made_by={
            "model": model_fingerprint(predictor, of_objects),
            "image": fingerprint(source.stack),
        },
    )
    store = open_store(plan)
    if cluster is not None:
        from napari_unet.inference.cluster_stream import stream_on_cluster

        done = yield from stream_on_cluster(
            predictor,
            source,
            store,
            cluster,
            open_image=open_image,
            device=state.config.device,
            token=token,
            of_objects=of_objects,
        )
        return done
    look = None
    if state.uncertainty is not None:
        look = state.uncertainty.storing(None, source, predictor, of_objects)
    job = stream_planes(
        predictor, source, store, token=token, of_objects=of_objects, look=look
    )
    done = yield from watch.follow(job, state.annotations, plan.values)
    return done


def model_fingerprint(predictor: Predictor, of_objects: bool) -> str:
    """Return a name for what predicts: equal names give equal labels."""
    digest = hashlib.blake2b(digest_size=12)
    digest.update(repr((predictor.name, predictor.values, of_objects)).encode())
    for array in _arrays(predictor):
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _arrays(predictor: Predictor) -> Iterator[NDArray[np.generic]]:
    """Yield every number that a candidate's predictions depend on."""
    if isinstance(predictor, Enlarged):
        yield np.array([predictor.factor])
        yield from _arrays(predictor.inner)
    elif isinstance(predictor, Blend):
        yield np.array([predictor.share])
        yield from _arrays(predictor.network)
        yield from _arrays(predictor.forest)
    elif isinstance(predictor, RidgeCandidate):
        network, head = predictor.network, predictor.head
        yield np.array([network.n_levels, network.n_scales, head.temperature])
        yield head.weights
        yield head.bias
        for tensor in network.unet.state_dict().values():
            yield tensor.cpu().numpy()
    elif isinstance(predictor, ForestCandidate):
        yield from predictor.forest.to_arrays().values()
