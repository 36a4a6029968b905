"""Prediction straight into a store, tile by tile, by the workers of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING

import torch

from napari_unet.core.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.remote_image import (
    OpenImage,
    RemoteImage,
    SentPixels,
    pixels_of,
)
from napari_unet.inference.stream import (
    SlabTile,
    TileStore,
    finish_store,
    tiles_to_do,
)
from napari_unet.jobs import (
    CancelToken,
    JobEvent,
    Notice,
    Progress,
    TileStored,
    Waited,
)

if TYPE_CHECKING:
    from napari_unet.inference.cluster import Cluster, ClusterRun

__all__ = ["stream_on_cluster"]


def stream_on_cluster(
    predictor: Predictor,
    source: ImageSource,
    store: TileStore,
    cluster: Cluster,
    *,
    open_image: OpenImage | None = None,
    device: str = "auto",
    token: CancelToken | None = None,
    of_objects: bool = False,
) -> Generator[JobEvent, None, bool]:
    """Predict a whole image on a cluster: the same pixels as `stream_planes`.

    Workers write their tiles themselves; what is done is noted here, so that a run may
    be stopped there and gone on with here, and the other way round. Tiles of lost
    workers are done again. There are no `TilePredicted`: labels stay in the store, at
    first in its finest level.

    Parameters
    ----------
    predictor, source, store, token, of_objects
        As of `stream_planes`.
    cluster
        See `napari_unet.inference.cluster.connect`.
    open_image
        Opens the image on a worker; None: the pixels of each tile are sent.
    device
        Where workers compute, as in `LearnerConfig`.

    Yields
    ------
    TileStored, Progress, Notice, Waited

    Returns
    -------
    bool
        Whether all is done; False when cancelled.

    Raises
    ------
    ClusterError
        If the cluster cannot be reached, or its workers cannot do their part.
    FileError, ImageError, OutOfMemoryError
        What failed on a worker, or here.
    """
    from napari_unet.inference.cluster_worker import Work

    def pixels(slab_tile: SlabTile) -> SentPixels | None:
        return pixels_of(source, slab_tile, predictor) if open_image is None else None

    todo, total = tiles_to_do(predictor, source, store)
    n_left = sum(len(each.planes) for each in todo)
    if n_left < total:
        yield Notice(f"{total - n_left:,} of {total:,} tiles were there already.")
    if todo:
        work = Work(
            predictor.on(torch.device("cpu")),
            RemoteImage.of(source, predictor, open_image),
            store.writer(),
            of_objects,
            device,
            cluster.is_local,
        )
        with cluster.run(work, token) as run:
            run.check_workers(token)
            workers = "worker" if run.n_workers == 1 else "workers"
            yield Notice(f"Computing on {run.n_workers:,} {workers}.", "device")
            for found in _written(run, todo, pixels, token):
                if isinstance(found, JobEvent):
                    yield found
                    continue
                tile = found.tile
                place = tile.y0, tile.x0, tile.y1 - tile.y0, tile.x1 - tile.x0
                for plane, _ in found.planes:
                    index = source.stack.index(plane)
                    store.mark(index, tile)
                    yield TileStored(source.key, index, *place, predictor.generation)
                n_left -= len(found.planes)
                yield Progress(total - n_left, total, "predict")
    if n_left:
        return False
    is_done = yield from finish_store(store, token)
    return is_done


def _written(
    run: ClusterRun,
    todo: list[SlabTile],
    pixels: Callable[[SlabTile], SentPixels | None],
    token: CancelToken | None,
) -> Iterator[SlabTile | JobEvent]:
    """Keep the workers busy; yield what they wrote, until all is there or cancelled."""
    waiting, are_lost = deque(todo), False
    while waiting or run.n_pending:
        if token is not None and token.cancelled:
            return
        while waiting and run.has_room:
            slab_tile = waiting.popleft()
            run.send(slab_tile, pixels(slab_tile))
        written, lost = run.wait()
        waiting.extendleft(lost)
        yield from written
        if not written:
            yield Waited()
        if are_lost != (run.n_workers == 0):
            are_lost = not are_lost
            text = "All workers are lost: waiting for others."
            yield Notice(text if are_lost else "There are workers again.", "warning")
