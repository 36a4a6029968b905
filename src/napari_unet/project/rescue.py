"""What can still be read of damaged annotations, into a new file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.core.atomic import file_error
from napari_unet.errors import ProjectError
from napari_unet.project._database import DATABASE_ERRORS
from napari_unet.project._folder import ANNOTATIONS
from napari_unet.project.annotations import AnnotationStore
from napari_unet.project.lock import ProjectLock

__all__ = ["Rescued", "rescue_annotations"]

_TABLES = {
    "layers": ("image", "layer"),
    "tiles": ("image", "layer", "plane", "tile_row", "tile_column"),
    "shapes": ("image", "layer"),
}


@dataclass(frozen=True)
class Rescued:
    """What was copied, and where the damaged file is kept."""

    n_layers: int
    n_tiles: int
    damaged: Path


def rescue_annotations(folder: str | os.PathLike[str]) -> Rescued:
    """Make a project's annotations anew from what can be read of them.

    The damaged file stays beside the new one.

    Raises
    ------
    ProjectError
        If there is no such file, somebody works with the project, or nothing can be
        written.
    """
    folder = Path(folder)
    path = folder / ANNOTATIONS
    if not path.is_file():
        raise ProjectError(f"there is no {ANNOTATIONS} in {folder}")
    lock = ProjectLock(folder)
    lock.take()
    try:
        stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        new = path.with_name(f".{path.stem}-rescue.sqlite")
        new.unlink(missing_ok=True)
        AnnotationStore(new).close()
        counts = _copy(path, new)
        damaged = path.with_name(f"{path.stem}-damaged-{stamp}.sqlite")
        os.replace(path, damaged)
        for ending in ("-wal", "-shm"):  # what is in them was read
            journal = path.with_name(path.name + ending)
            if journal.exists():
                os.replace(journal, damaged.with_name(damaged.name + ending))
        os.replace(new, path)
    except OSError as error:
        if isinstance(error, ProjectError):
            raise
        raise ProjectError(str(file_error(error, path))) from error
    finally:
        lock.release()
    return Rescued(counts["layers"], counts["tiles"], damaged)


def _copy(old: Path, new: Path) -> dict[str, int]:
    """Copy every row that can be read; return how many of each table."""
    counts = {}
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        target.execute("begin")
        for table, key in _TABLES.items():
            n_rows = 0
            for row in _readable_rows(old, table, key):
                marks = ", ".join("?" * len(row))
                cursor = target.execute(
                    f"insert or ignore into {table} values({marks})", row
                )
                n_rows += cursor.rowcount
            counts[table] = n_rows
        target.execute("commit")
    return counts


def _readable_rows(
    path: Path, table: str, key: tuple[str, ...]
) -> Iterator[tuple[Any, ...]]:
    """Yield rows from the front to the damage, then from the end back to it."""
    for direction in ("asc", "desc"):
        order = ", ".join(f"{name} {direction}" for name in key)
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("pragma trusted_schema = off")
                yield from database.execute(f"select * from {table} order by {order}")
        except DATABASE_ERRORS:
            continue
        return
