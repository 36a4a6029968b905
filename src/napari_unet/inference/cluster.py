"""A dask.distributed cluster that predicts tiles: reached, watched, and left clean.

distributed starts, watches and replaces workers, and does the tasks of lost ones again.
What it lacks is here: time limits on all answers, a bound on tasks, and sentences.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.config import ClusterConfig
from napari_unet.errors import ClusterError
from napari_unet.inference.cluster_run import (
    PAUSE_S,
    ClusterRun,
    first_line,
    lacks_package,
)
from napari_unet.inference.local_cluster import local_cluster
from napari_unet.jobs import CancelToken

if TYPE_CHECKING:
    from distributed import Client

    from napari_unet.inference.cluster_worker import Work

__all__ = ["Cluster", "ClusterRun", "connect"]

_LOCAL = re.compile(r"local(?::(\d+))?")
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
                f"({first_line(error)}): start one with `dask scheduler`, and give "
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
            what = f"cannot be reached ({first_line(error)}); see that it runs"
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
            time.sleep(PAUSE_S)

    @contextmanager
    def _saying_what_is_missing(self) -> Iterator[None]:
        """Turn what a worker without this package says into one sentence."""
        try:
            yield
        except (ImportError, AttributeError) as error:
            raise lacks_package(error) from error


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
