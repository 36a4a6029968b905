"""Batches without end, made by other processes."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import multiprocessing

from tools.pretrain.batch import Batch, collate
from tools.pretrain.episodes import EpisodeSource
from tools.pretrain.training import Settings

__all__ = ["BatchStream"]

_MAX_WAITING = 3  # batches of each process that lie ready


class BatchStream:
    """Batches of episodes, each of one of the sizes, from each process in turn.

    The same data, settings and number of processes give the same batches.

    Parameters
    ----------
    data
        Folder of real images; None: procedural tasks alone.
    settings
        Seed, episodes of a batch, sides of the patches and share of real tasks.
    n_workers
        Processes, at least 1.
    """

    def __init__(self, data: Path | None, settings: Settings, n_workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._queues = [context.Queue(maxsize=_MAX_WAITING) for _ in range(n_workers)]
        self._workers = [
            context.Process(
                target=_work, args=(out, data, settings, number), daemon=True
            )
            for number, out in enumerate(self._queues)
        ]
        self._turns = cycle(self._queues)
        for worker in self._workers:
            worker.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises
        ------
        RuntimeError
            If a process has died.
        """
        turn = next(self._turns)
        while True:
            self._check()
            try:
                batch: Batch = turn.get(timeout=5)
            except queue.Empty:
                continue
            except (OSError, EOFError):  # it died with the batch half handed over
                self._check()
                raise
            return batch

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.terminate()
            worker.join()

    def _check(self) -> None:
        for number, worker in enumerate(self._workers):
            if not worker.is_alive():
                raise RuntimeError(
                    f"process {number}, which makes episodes, ended with exit code "
                    f"{worker.exitcode}; its own output says why, or memory ran out"
                )


def _work(
    out: multiprocessing.Queue, data: Path | None, settings: Settings, number: int
) -> None:
    torch.set_num_threads(1)
    seed = 1000 * settings.seed + number
    pair_px = max(settings.patch_px) + 32  # so that patches may lie here or there
    source = EpisodeSource(data, settings.real_share, seed, pair_px)
    rng = np.random.default_rng([seed, 2])
    while True:
        size = int(rng.choice(settings.patch_px))
        out.put(collate([source.draw(size) for _ in range(settings.batch)]))
