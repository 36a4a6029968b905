"""The whole image of the interactive loop: tile by tile, between all else."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from napari_unet.config import ClusterConfig, InstanceConfig
from napari_unet.errors import NapariUnetError, StoreTakenError
from napari_unet.jobs import (
    JobEvent,
    Notice,
    Progress,
    StoreOpened,
    StoreTaken,
    TilePredicted,
    TileStored,
    Waited,
    WholeEnded,
)
from napari_unet.learning.inbox import Annotated, Whole

if TYPE_CHECKING:
    from napari_unet.inference.cluster import Cluster
    from napari_unet.learning.learner import Learner

__all__ = ["WholePrediction"]

_MOMENT_S = 0.05
_STOPPED = "Stopped predicting; the finished part stays."

_Job = Generator[JobEvent, None, None]


class WholePrediction:
    """One image at a time; whoever asks for another one ends the one before.

    In memory, a model that is renewed begins the image anew: half by an older model is
    a patchwork. What goes into a store takes hours, and is of one model to its end.
    """

    def __init__(self) -> None:
        self._job: _Job | None = None
        self._wish: Whole | None = None
        self._generation = 0

    @property
    def is_running(self) -> bool:
        """Whether an image is under way."""
        return self._job is not None

    def advance(
        self,
        learner: Learner,
        images: Mapping[str, Annotated],
        wish: Whole | None,
        settings: InstanceConfig | None,
        why_not: str,
    ) -> _Job:
        """Begin what is wished, and go on by one tile.

        ``settings`` are for objects, None for classes; ``why_not`` is what to paint
        where nothing can be predicted yet.
        """
        if wish is None and self._must_begin_anew(learner):
            wish = self._wish
        if wish is not None:
            if learner.generation == 0 or wish.key not in images:
                if self._job is not None:  # its strokes or its model went away
                    yield Notice(_STOPPED)
                self.drop()
                yield WholeEnded(opener=wish.open_store)
                yield Notice(why_not, "advice")
                return
            self.drop()
            item = images[wish.key]
            self._job, self._wish = _predicted(learner, item, wish, settings), wish
            self._generation = learner.generation
        if self._job is None:
            return
        for event in self._job:
            yield event
            if isinstance(event, (Progress, Waited)):
                return
        self._job = None

    def stop(self, sentence: str = "") -> _Job:
        """End what is under way, if anything, and say so."""
        if self._job is not None and self._wish is not None:
            self.drop()
            yield Notice(sentence or _STOPPED)
            yield WholeEnded(opener=self._wish.open_store)

    def drop(self) -> None:
        """End what is under way, with the threads that a store has."""
        if self._job is not None:
            self._job.close()
            self._job = None

    def _must_begin_anew(self, learner: Learner) -> bool:
        is_older = self._generation != learner.generation
        is_kept = self._wish is not None and self._wish.open_store is not None
        return self._job is not None and is_older and not is_kept


def _predicted(
    learner: Learner, item: Annotated, wish: Whole, settings: InstanceConfig | None
) -> _Job:
    """Predict an image, in memory or into its store, and say how it ended."""
    from napari_unet.learning.live_objects import whole_objects

    started = time.monotonic()
    what, is_done = "Predicted the whole image", False
    key, token = wish.key, wish.token
    job: Generator[JobEvent, None, bool]
    if wish.open_store is not None:
        job = _stored(learner, item, wish, wish.open_store)
    elif settings is None:
        job = learner.predict_tiles(item.image, key=key, axes=item.axes, token=token)
    else:
        what = "Found the objects of the whole image"
        job = whole_objects(learner, key, item, wish.scale, settings, token)
    try:
        is_done = yield from job
        seconds = time.monotonic() - started
        yield Notice(
            f"{what} in {seconds:.1f}\N{NO-BREAK SPACE}s." if is_done else _STOPPED
        )
    except StoreTakenError:
        yield StoreTaken(key, wish.open_store)
    except NapariUnetError as error:
        yield Notice(str(error), "warning")
    yield WholeEnded(is_done, wish.open_store)


def _stored(
    learner: Learner, item: Annotated, wish: Whole, open_store: Callable[[Any], Any]
) -> Generator[JobEvent, None, bool]:
    """Predict into a store; a tile is announced when it can be read there."""
    from napari_unet.inference.remote_image import opener_of
    from napari_unet.inference.tiles import Tile

    key, is_done, cluster = wish.key, False, wish.cluster
    stores: list[Any] = []

    def open_it(plan: Any) -> Any:
        stores.append(open_store(plan))
        return stores[0]

    def run() -> _Job:
        nonlocal is_done
        if cluster is not None:
            yield Notice(f"Looking for the cluster at {cluster.address} ...")
        stack, reached = yield from _reached(cluster)
        with stack:
            if reached is not None and wish.token.cancelled:  # meanwhile
                return
            is_done = yield from learner.stream_job(
                item.image,
                open_it,
                key=key,
                axes=item.axes,
                token=wish.token,
                cluster=reached,
                open_image=None if reached is None else opener_of(item.image),
            )

    is_announced, behind = False, None
    with closing(run()) as job:
        for event in job:
            if stores and not is_announced:
                is_announced = True
                yield _opened(key, open_store, stores[0])
            if isinstance(event, TileStored):  # by a worker, in the finest level
                y1, x1 = event.y + event.height, event.x + event.width
                stores[0].coarsen(event.index, Tile(event.y, y1, event.x, x1))
            if isinstance(event, Notice) and event.level == "device":
                event = Notice(event.message)  # the overlay is computed here as before
            if not isinstance(event, TilePredicted):
                yield event
                continue
            if behind is not None:  # it is written, now that the next one is there
                yield behind
            height, width = event.labels.shape
            place = event.index, event.y, event.x, height, width
            behind = TileStored(key, *place, event.generation)
    if not stores:
        return False
    if not is_announced:  # all was done before
        yield _opened(key, open_store, stores[0])
    if behind is not None:
        yield behind
    return is_done


def _reached(
    config: ClusterConfig | None,
) -> Generator[JobEvent, None, tuple[ExitStack, Cluster | None]]:
    """Connect to a cluster, if there is to be one; closing the stack leaves it.

    It may take the time of `ClusterConfig.answer_s`: a helper waits for the answer, so
    that the loop goes on, and has ended on every way out of here.
    """
    stack = ExitStack()
    if config is None:
        return stack, None
    from napari_unet.inference.cluster import connect

    with ThreadPoolExecutor(1, "napari-unet-connect") as helper:
        answer = helper.submit(stack.enter_context, connect(config))
        try:
            while wait([answer], _MOMENT_S).not_done:
                yield Waited()
        except GeneratorExit:  # nobody wants it any more
            wait([answer])
            stack.close()
            raise
    return stack, answer.result()


def _opened(key: str, opener: Any, store: Any) -> StoreOpened:
    levels = store.labels.arrays
    return StoreOpened(key, opener, levels, store.n_done, store.n_tiles)
