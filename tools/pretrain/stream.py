"""Batches without end, made by other processes."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import multiprocessing

from tools.pretrain.batch import Batch, collate
from tools.pretrain.episodes import EpisodeSource
from tools.pretrain.training import Settings

__all__ = ["BatchStream"]


class BatchStream:
    """Batches of episodes, each of one of the sizes.

    Parameters
    ----------
    data
        Folder of real images; None: procedural tasks alone.
    settings
        Seed, episodes of a batch, sides of the crops and share of real tasks. The same
        seed and number of workers give the same batches, but the order in which
        workers deliver may differ.
    n_workers
        Processes.
    """

    def __init__(self, data: Path | None, settings: Settings, n_workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._queue = context.Queue(maxsize=2 * n_workers + 4)
        self._workers = [
            context.Process(
                target=_work, args=(self._queue, data, settings, number), daemon=True
            )
            for number in range(n_workers)
        ]
        for worker in self._workers:
            worker.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """Return the next batch.

        Raises
        ------
        RuntimeError
            If a worker has died.
        """
        while True:
            try:
                batch: Batch = self._queue.get(timeout=60)
            except queue.Empty:
                if not all(worker.is_alive() for worker in self._workers):
                    raise RuntimeError(
                        "the processes that make episodes died"
                    ) from None
            else:
                return batch


def _work(
    out: multiprocessing.Queue, data: Path | None, settings: Settings, number: int
) -> None:
    torch.set_num_threads(1)
    seed = 1000 * settings.seed + number
    source = EpisodeSource(data, settings.real_share, seed)
    rng = np.random.default_rng([seed, 2])
    while True:
        size = int(rng.choice(settings.crop_px))
        out.put(collate([source.draw(size) for _ in range(settings.batch)]))
