"""A dask.distributed cluster that predicts tiles: reached, watched, and left clean.

distributed starts, watches and replaces workers, and does the tasks of lost ones again.
What it lacks is here: time limits on all answers, a bound on tasks, and sentences.
"""

from __future__ import annotations

import logging
import pickle
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from napari_unet.config import ClusterConfig
from napari_unet.errors import ClusterError
from napari_unet.inference.local_cluster import local_cluster
from napari_unet.jobs import CancelToken

if TYPE_CHECKING:
    from distributed import Client, Future

    from napari_unet.inference.cluster_worker import Work
    from napari_unet.inference.remote_image import SentPixels
    from napari_unet.inference.stream import SlabTile

__all__ = ["Cluster", "ClusterRun", "connect"]

_LOCAL = re.compile(r"local(?::(\d+))?")
_LARGE = "distributed.admin.large-graph-warning-threshold"
_PAUSE_S = 0.5  # how often the token is asked, and workers are counted
_CLOSING_S = 20


@contextmanager
def connect(config: ClusterConfig, device: str = "auto") -> Iterator[Cluster]:
    """Reach a cluster, or start one of this machine's processes.

    How many follows from the ``device`` that they are to use, as in `LearnerConfig`.
    Leaving it ends what was started here, and nothing else. dask's default scheduler
    stays what it was: napari would slice images on the cluster.

    Raises
    ------
    ClusterError
        If distributed is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError(
            "to predict on a cluster, the package distributed is needed: pip install "
            "'napari-unet[distributed]'"
        ) from error
    local = _LOCAL.fullmatch(config.address)
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        target: dict[str, Any] = {"address": config.address}
        if local:
            n_workers = int(local[1]) if local[1] else None
            target = {"address": stack.enter_context(local_cluster(n_workers, device))}
        elif _is_file(config.address):
            target = {"scheduler_file": config.address}
        try:
            client = Client(**target, timeout=config.answer_s, set_as_default=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClusterError(
                f"no dask scheduler answers at {config.address} "
                f"({_first_line(error)}): start one with `dask scheduler`, and give "
                "the address that it prints"
            ) from error
        stack.callback(client.close, timeout=_CLOSING_S)
        yield Cluster(client, config, is_local=local is not None)


@dataclass(frozen=True, eq=False)
class Cluster:
    """A cluster that can be reached. Made by `connect`.

    Attributes
    ----------
    client
        distributed's.
    config
        The address, and how long to wait.
    is_local
        Whether its workers are processes that were started for it on this machine.
    """

    client: Client
    config: ClusterConfig
    is_local: bool = False

    @contextmanager
    def run(self, work: Work, token: CancelToken | None) -> Iterator[ClusterRun]:
        """Give all workers the model; take it away again on every way out.

        Then no tile is written any more, even by a worker that computes one.

        Raises
        ------
        ClusterError, FileError, ImageError
            If there is no worker, or one cannot do its part.
        """
        from distributed.protocol.pickle import dumps

        from napari_unet import __version__
        from napari_unet.inference.cluster_worker import TilePlugin

        self._wait_for_a_worker(token)
        run = ClusterRun(self, f"napari-unet-{uuid.uuid4().hex[:12]}")
        plugin = TilePlugin(dumps(work), __version__, self.is_local)
        try:
            with self._saying_what_is_missing():
                self.ask(self.client.register_plugin, plugin, run.name)
            yield run
        finally:
            run.drop()
            # whatever ended the run is what should be told, and a lost connection
            # cannot be tidied up
            with suppress(Exception):
                self.ask(self.client.unregister_worker_plugin, run.name)

    def n_threads(self) -> dict[str, int]:
        """Return how many threads each worker has that is there now."""
        found: dict[str, int] = self.ask(self.client.nthreads)
        return found

    def ask(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Call one of the client's methods, with a limit of time.

        Raises
        ------
        ClusterError
            If there is no answer, or no connection.
        """

        async def call() -> Any:
            return await method(*args)

        with self.saying_what_is_lost():
            return self.client.sync(call, callback_timeout=self.config.answer_s)

    @contextmanager
    def saying_what_is_lost(self) -> Iterator[None]:
        """Turn an answer that does not come into one sentence."""
        where, limit_s = self.config.address, self.config.answer_s
        try:
            yield
        except OSError as error:
            what = f"cannot be reached ({_first_line(error)}); see that it runs"
            if isinstance(error, TimeoutError):
                what = f"has not answered within {limit_s:g} s; look at its log"
            text = f"the scheduler at {where} {what}, then start again to go on"
            raise ClusterError(text) from error

    def _wait_for_a_worker(self, token: CancelToken | None) -> None:
        """Wait for one worker, never for all: some may never come."""
        limit = time.monotonic() + self.config.answer_s
        while not self.n_threads() and not (token and token.cancelled):
            if time.monotonic() > limit:
                address = self.config.address
                raise ClusterError(
                    f"the scheduler at {address} has no worker: start some with "
                    f"`dask worker {address}`"
                )
            time.sleep(_PAUSE_S)

    @contextmanager
    def _saying_what_is_missing(self) -> Iterator[None]:
        """Turn what a worker without this package says into one sentence."""
        try:
            yield
        except (ImportError, AttributeError) as error:
            raise _lacks_package(error) from error


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
            future = self._done.get(timeout=_PAUSE_S)
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
        if now < self._counted_at + 4 * _PAUSE_S:
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
            failure = _lacks_package(error)
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


def _lacks_package(error: Exception) -> ClusterError:
    from napari_unet import __version__

    return ClusterError(
        f"a worker cannot load the model ({_first_line(error)}): install napari-unet "
        f"{__version__} where workers run, and the same Python"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]


def _is_file(address: str) -> bool:
    if Path(address).is_file():
        return True
    if address.endswith(".json"):
        raise ClusterError(
            f"there is no scheduler file {address}: start a scheduler with `dask "
            f"scheduler --scheduler-file {address}`"
        )
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Let distributed print nothing here: what matters is said in sentences."""
    names = [name for name in logging.root.manager.loggerDict if "distributed" in name]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
