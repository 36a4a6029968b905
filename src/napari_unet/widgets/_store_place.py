"""Where labels of a large image go, and whether there is room for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import numpy as np
from napari.layers import Image

from napari_unet.core.memory import available_memory_bytes
from napari_unet.errors import NapariUnetError
from napari_unet.export import check_writable
from napari_unet.export.zarr_record import read_record

__all__ = [
    "MAX_IN_MEMORY_PX",
    "default_path",
    "free_path",
    "is_large",
    "objects_fit",
    "size_text",
    "store_path",
    "why_not_there",
]

MAX_IN_MEMORY_PX = 64 * 2**20
"""Minutes of work where there is no GPU: too much to lose in a crash."""

_OBJECT_BYTES_PER_PX = 64  # cutting takes so much, see `cli/_predict_image.py`
_SHARE_OF_MEMORY = 0.25
_TYPICAL_SHARE = 0.1
"""Compressed, labels of large images take 0.01 to 0.1 bytes a pixel."""


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether labels of this shape are to go to disk, tile by tile."""
    n_px = int(np.prod(shape))
    free = available_memory_bytes()
    return n_px > MAX_IN_MEMORY_PX or (
        free is not None and n_px > _SHARE_OF_MEMORY * free
    )


def objects_fit(shape: tuple[int, ...]) -> bool:
    """Whether the memory that is free is enough to cut an image into objects."""
    free = available_memory_bytes()
    n_bytes = int(np.prod(shape)) * _OBJECT_BYTES_PER_PX
    return free is None or n_bytes <= free / 2


def default_path(image: Image, folder: Path | None) -> Path:
    """Return a store beside the image's file; else in a folder, or the home folder.

    What is there and not ours is not taken; what is ours may be gone on with.
    """
    source = str(image.source.path or "")
    place, stem = folder or Path.home(), str(image.name)
    if source and "://" not in source:
        file = Path(source).resolve()
        # an image within a plate, say
        outer = next((p for p in reversed(file.parents) if p.suffix == ".zarr"), None)
        if os.access((outer or file).parent, os.W_OK):
            place = (outer or file).parent
        stem = file.stem if outer is None else f"{outer.stem}-{stem}"
    stem = stem.removesuffix(".ome").replace(os.sep, "-").strip(". ") or "image"
    return next(
        path
        for path in _numbered(place / f"{stem}-labels.zarr")
        if not path.exists() or read_record(path) is not None
    )


def free_path(path: Path) -> Path:
    """Return a path beside this one where there is nothing yet."""
    return next(other for other in _numbered(path) if not other.exists())


def store_path(text: str) -> Path:
    """Return the path that a save dialog gave, with the suffix of a store."""
    path = Path(text)
    return path if path.suffix == ".zarr" else path.with_name(f"{path.name}.zarr")


def why_not_there(path: Path, shape: tuple[int, ...]) -> str:
    """Say in one sentence why labels cannot go to a path; ``""`` if they can."""
    if path.exists() and read_record(path) is None:
        return (
            f"{path} is there, and not a store of this program: choose another place."
        )
    try:
        check_writable(path, resume=True)
        free = shutil.disk_usage(path.parent).free
    except (NapariUnetError, OSError) as error:
        return str(error)
    n_bytes = int(np.prod(shape)) * _TYPICAL_SHARE
    if path.exists() or free >= n_bytes:
        return ""
    return (
        f"{path.parent} has {size_text(free)} left, and labels of this image may take "
        f"{size_text(n_bytes)}: free some space, or choose another place."
    )


def size_text(n_bytes: float) -> str:
    """Return a size in GB, or MB below a tenth of that."""
    is_large_number = n_bytes >= 1e8
    return f"{n_bytes / 1e9:.1f} GB" if is_large_number else f"{n_bytes / 1e6:.0f} MB"


def _numbered(path: Path) -> Iterator[Path]:
    """Yield a path, then others with a number behind its name."""
    others = (path.with_name(f"{path.stem}-{n}{path.suffix}") for n in count(2))
    return chain([path], others)
