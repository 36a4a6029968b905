"""Where a prediction is computed by others: a dask.distributed cluster."""

from __future__ import annotations

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["ClusterConfig"]


class ClusterConfig(Settings):
    """Which cluster, and how long to wait for it."""

    address: str = Field(
        min_length=1,
        title="Scheduler",
        description="Address of a dask scheduler (tcp://host:8786), path of its "
        "scheduler file, or 'local' or 'local:N' for N processes of this machine.",
    )
    answer_s: float = Field(
        60,
        gt=0,
        le=3600,
        title="Wait for an answer (s)",
        description="How long scheduler and workers may take to answer, and the first "
        "worker to come. 60 s: to load PyTorch from a network disk takes half of it.",
    )
    patience_s: float = Field(
        600,
        gt=0,
        le=7 * 86400,
        title="Wait for lost workers (s)",
        description="How long to wait for others when all workers are lost. 600 s: "
        "batch systems bring new ones, and --resume goes on after longer gaps.",
    )
    n_retries: int = Field(
        2,
        ge=0,
        le=100,
        title="Retries",
        description="How often a tile is tried again, maybe on another worker, where "
        "reading, computing or writing it failed. 2: a disk may fail once. Tiles of "
        "workers that died are done again anyway, until one has ended four of them.",
    )
