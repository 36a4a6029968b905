"""The tasks of one image on a cluster: sent, waited for, counted, and dropped."""

from __future__ import annotations

import pickle
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from napari_unet.errors import ClusterError
from napari_unet.jobs import CancelToken

if TYPE_CHECKING:
    from distributed import Future

    from napari_unet.inference.cluster import Cluster
    from napari_unet.inference.remote_image import SentPixels
    from napari_unet.inference.stream import SlabTile

__all__ = ["PAUSE_S", "ClusterRun", "first_line", "lacks_package"]

PAUSE_S = 0.5
"""How often the token is asked, and workers are counted."""
_LARGE = "distributed.admin.large-graph-warning-threshold"


@dataclass(eq=False)
class ClusterRun:
    """The tasks of one image on a cluster. Made by `Cluster.run`."""

    cluster: Cluster
    name: str
    _pending: dict[Any, tuple[SlabTile, Future[None]]] = field(default_factory=dict)
    _done: SimpleQueue[Future[None]] = field(default_factory=SimpleQueue)
    _n_lost: dict[SlabTile, int] = field(default_factory=dict)
    _n_threads: dict[str, int] = field(default_factory=dict)
    _counted_at: float = -1e9
    _without_workers_since: float | None = None

    def check_workers(self, token: CancelToken | None) -> None:
        """See that each worker that is there has what it needs.

        Raises
        ------
        ClusterError, FileError, ImageError
            If one does not.
        """
        limit = time.monotonic() + self.cluster.config.answer_s
        self._count()
        futures = [
            self._start("make_ready", workers=[address], key=f"{self.name}-{address}")
            for address in self._n_threads
        ]
        for future in futures:
            # a worker that is lost meanwhile is looked at when it comes back
            while not future.done() and time.monotonic() < limit:
                if token is not None and token.cancelled:
                    return
                time.sleep(0.05)
            if future.status == "error":
                raise self._failure(future, None)
            future.release()

    @property
    def n_workers(self) -> int:
        """How many workers there were when they were last counted."""
        return len(self._n_threads)

    @property
    def n_pending(self) -> int:
        """How many tiles are being computed, or wait for it on the cluster."""
        return len(self._pending)

    @property
    def has_room(self) -> bool:
        """Whether another tile should be sent: each worker has one to come at least."""
        return self.n_pending < sum(min(n, 2) + 1 for n in self._n_threads.values())

    def send(self, slab_tile: SlabTile, sent: SentPixels | None) -> None:
        """Let a tile be predicted somewhere."""
        key = f"{self.name}-{uuid.uuid4().hex[:12]}"
        future = self._start("predict", pickle.dumps((slab_tile, sent)), key=key)
        self._pending[future.key] = slab_tile, future
        future.add_done_callback(self._done.put)

    def wait(self) -> tuple[list[SlabTile], list[SlabTile]]:
        """Wait a moment; return which tiles were written, and which to send again.

        Raises
        ------
        ClusterError
            If no worker, or no connection, is left.
        NapariUnetError
            What failed on a worker.
        """
        self._count()
        written, lost = [], []
        try:
            future = self._done.get(timeout=PAUSE_S)
            while True:
                slab_tile, _ = self._pending.pop(future.key)
                if future.status == "finished":
                    # what it returned is nothing, and need not be fetched
                    written.append(slab_tile)
                elif future.status == "error":
                    raise self._failure(future, slab_tile)
                else:
                    lost.append(self._lost(slab_tile))
                future.release()
                future = self._done.get_nowait()
        except Empty:
            return written, lost

    def drop(self) -> None:
        """Cancel what is not done."""
        futures = [future for _, future in self._pending.values()]
        self._pending.clear()
        with suppress(Exception):  # as in `Cluster.run`
            self.cluster.ask(self.cluster.client.cancel, futures)

    def _start(self, method: str, *args: Any, **options: Any) -> Future[None]:
        import dask

        # pixels of a tile go with its task, to survive the loss of a worker
        with dask.config.set({_LARGE: "1GB"}):
            return self.cluster.client.submit(
                _task(),
                self.name,
                method,
                *args,
                pure=False,
                retries=self.cluster.config.n_retries,
                **options,
            )

    def _count(self) -> None:
        """Count the workers, now and then; complain when there are none for long."""
        client, config = self.cluster.client, self.cluster.config
        if client.status != "running":
            raise ClusterError(
                f"the connection to the scheduler at {config.address} was lost; start "
                "again to go on"
            )
        now = time.monotonic()
        if now < self._counted_at + 4 * PAUSE_S:
            return
        self._counted_at, self._n_threads = now, self.cluster.n_threads()
        if self._n_threads:
            self._without_workers_since = None
            return
        since = self._without_workers_since = self._without_workers_since or now
        if now - since > config.patience_s:
            raise ClusterError(
                f"the scheduler at {config.address} has had no worker for "
                f"{config.patience_s:g} s; start some, and go on"
            )

    def _lost(self, slab_tile: SlabTile) -> SlabTile:
        """Count a tile that was cancelled elsewhere, as by a restart of all workers."""
        self._n_lost[slab_tile] = self._n_lost.get(slab_tile, 0) + 1
        if self._n_lost[slab_tile] > self.cluster.config.n_retries:
            tile, n_times = slab_tile.tile, self._n_lost[slab_tile]
            raise ClusterError(
                f"the tile at y {tile.y0}, x {tile.x0} was cancelled on the cluster "
                f"{n_times} times; start again to go on"
            )
        return slab_tile

    def _failure(self, future: Future[None], slab_tile: SlabTile | None) -> Exception:
        """Return why a task failed."""
        from distributed import KilledWorker

        with self.cluster.saying_what_is_lost():
            error: Exception = future.exception(timeout=self.cluster.config.answer_s)
        if isinstance(error, KilledWorker):
            where = "no tile"
            if slab_tile is not None:
                where = f"the tile at y {slab_tile.tile.y0}, x {slab_tile.tile.x0}"
            failure: Exception = ClusterError(
                f"{where} ended {error.allowed_failures + 1} workers one after the "
                "other, most likely because their memory ran out: give workers more "
                "memory, or train with smaller tiles (tiling.stream_tile_px)"
            )
        elif isinstance(error, ImportError | AttributeError):
            failure = lacks_package(error)
        else:
            return error
        failure.__cause__ = error
        return failure


def _task() -> Callable[..., None]:
    """Return what a task calls.

    A function within a function: it goes to the scheduler as code, so that the
    scheduler needs no napari-unet, and would not load torch if it had it.
    """

    def call_plugin(name: str, method: str, *args: Any) -> None:
        from distributed import get_worker

        getattr(get_worker().plugins[name], method)(*args)

    return call_plugin


def lacks_package(error: Exception) -> ClusterError:
    """Return what to say of a worker without this package."""
    from napari_unet import __version__

    return ClusterError(
        f"a worker cannot load the model ({first_line(error)}): install napari-unet "
        f"{__version__} where workers run, and the same Python"
    )


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its name."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
