"""``predict --scheduler``: which cluster, and how its workers find the image."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from napari_unet.cli._outputs import Outputs
    from napari_unet.cli._read import ReadImage
    from napari_unet.inference.cluster import Cluster

__all__ = ["add_scheduler", "check_scheduler", "elsewhere", "open_cluster"]


def add_scheduler(parser: argparse.ArgumentParser) -> None:
    """Add ``--scheduler``."""
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="predict on a dask.distributed cluster, into OME-Zarr: the address of its "
        "scheduler (tcp://host:8786), its scheduler file, or local:N for N processes "
        "of this machine (local: one for each GPU, or as many as its cores and memory "
        "are enough for); its workers must find image and --out under the same path",
    )


def check_scheduler(args: argparse.Namespace, outputs: Sequence[Outputs]) -> None:
    """Raise a `ConfigError` where a cluster cannot do what is asked for."""
    if args.scheduler is None:
        return
    if not all(outs.is_zarr for outs in outputs):
        raise ConfigError(
            "--scheduler predicts into OME-Zarr, into which many can write: give "
            "--out NAME.zarr, or --format zarr for a folder of results"
        )
    if args.three_axes:
        raise ConfigError(
            "--three-axes looks at a volume as a whole: leave out it or --scheduler"
        )


def open_cluster(args: argparse.Namespace) -> AbstractContextManager[Cluster | None]:
    """Reach the cluster of ``--scheduler``; None without it."""
    if args.scheduler is None:
        return nullcontext()
    from napari_unet.config import ClusterConfig
    from napari_unet.inference.cluster import connect

    return connect(ClusterConfig(address=args.scheduler), args.device or "auto")


def elsewhere(image: ReadImage, level: int) -> Callable[[], Any] | None:
    """Return what opens an image that stays on disk; None for one in memory.

    What is in memory here is small, or of a kind that can only be read as a whole.
    """
    import numpy as np

    from napari_unet.cli._lazy import LazyArray

    if not isinstance(image.array, LazyArray | np.memmap):
        return None
    return partial(_open, image.path.absolute(), level)


def _open(path: Path, level: int) -> Any:
    from napari_unet.cli._read import read_image

    return read_image(path, level=level).array
