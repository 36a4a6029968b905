"""Worker processes of this machine, as a cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_unet.errors import ClusterError

__all__ = ["local_cluster"]

_CLOSING_S = 20
# Workers compute on a thread, for which glibc maps each large block of memory anew: the
# pages that are zeroed every time cost a fifth of a tile. They keep what they had.
_KEEPING_MEMORY = {
    "MALLOC_ARENA_MAX": 1,
    "MALLOC_MMAP_THRESHOLD_": 2**31 - 1,
    "MALLOC_TRIM_THRESHOLD_": 2**31 - 1,
}
# of a worker with the default tile (`tiling.stream_tile_px`), with the forest
_WORKER_BYTES = 2 * 2**30


@contextmanager
def local_cluster(n_workers: int | None, device: str = "auto") -> Iterator[Any]:
    """Start worker processes, and end them on every way out.

    ``n_workers`` None: one for each GPU that ``device`` lets them use, or without one,
    as many as cores and memory are enough for. Yields distributed's `LocalCluster`.

    Raises
    ------
    ClusterError
        If there are to be none.
    """
    import dask
    import torch
    from distributed import LocalCluster

    from napari_unet.core.memory import total_memory_bytes

    n_cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        n_cores = len(os.sched_getaffinity(0))
    n_gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
    if n_workers is None:
        memory = total_memory_bytes() or _WORKER_BYTES
        n_workers = n_gpus or max(min(n_cores, memory // _WORKER_BYTES), 1)
    if n_workers < 1:
        raise ClusterError("'local:0' has no worker: write local:1 or more")
    environ = "distributed.nanny.pre-spawn-environ"
    before = {name: os.environ.get(name) for name in _KEEPING_MEMORY}
    with dask.config.set({environ: {**dask.config.get(environ), **_KEEPING_MEMORY}}):
        cluster = LocalCluster(
            n_workers=n_workers,
            threads_per_worker=max(n_cores // n_workers, 1),
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # 8787, the default, may be taken
            memory_limit=None,  # when it runs out, smaller tiles are tried
            silence_logs=logging.CRITICAL,
        )
    try:
        yield cluster
    finally:
        cluster.close(timeout=_CLOSING_S)
        # dask puts them into the environment of this program, for its workers
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
