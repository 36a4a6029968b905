"""What can still be read of damaged annotations, into a new file."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.core.atomic import file_error
from napari_unet.errors import ProjectError
from napari_unet.project._database import (
    DATABASE_ERRORS,
    database_error,
    journals,
)
from napari_unet.project._folder import ANNOTATIONS, RECORD, is_project, refuse_links
from napari_unet.project.annotations import AnnotationStore
from napari_unet.project.lock import ProjectLock
from napari_unet.project.record import read_record

__all__ = ["Rescued", "rescue_annotations"]

# of each table the columns with their types; the key comes first
_TABLES: dict[str, dict[str, type]] = {
    "layers": {"image": int, "layer": str, "shape": str, "dtype": str, "saved": str},
    "tiles": {
        "image": int,
        "layer": str,
        "plane": int,
        "tile_row": int,
        "tile_column": int,
        "pixels": bytes,
    },
    "shapes": {"image": int, "layer": str, "outlines": str},
}
_N_KEYS = {"layers": 2, "tiles": 5, "shapes": 2}


@dataclass(frozen=True)
class Rescued:
    """What was copied, and where the damaged file is kept (None: there was none)."""

    n_layers: int
    n_tiles: int
    damaged: Path | None


def rescue_annotations(folder: str | os.PathLike[str]) -> Rescued:
    """Make a project's annotations anew from what can be read of them.

    The damaged file stays beside the new one. Blocks whose layer is lost get it back as
    the project says the image is.

    Raises
    ------
    ProjectError
        If there is no such file, there are links out of the project, somebody works
        with it, or nothing can be written.
    """
    folder = Path(folder)
    path = folder / ANNOTATIONS
    refuse_links(folder)
    if not path.is_file() and not is_project(folder):
        raise ProjectError(f"there is no {ANNOTATIONS} in {folder}")
    lock = ProjectLock(folder)
    lock.take()
    if not path.is_file() or path.stat().st_size == 0:
        try:
            AnnotationStore(path).close()
        finally:
            lock.release()
        return Rescued(0, 0, None)
    new = path.with_name(f".{path.stem}-rescue.sqlite")
    try:
        stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        _delete(new)  # of a run that was killed here
        AnnotationStore(new).close()
        counts = _copy(path, new)
        counts["layers"] += _add_layers(new, _shapes(folder))
        damaged = path.with_name(f"{path.stem}-damaged-{stamp}.sqlite")
        os.replace(path, damaged)
        # what is in its journals was read
        for journal, aside in zip(journals(path), journals(damaged), strict=True):
            if journal.exists():
                os.replace(journal, aside)
        os.replace(new, path)
    except sqlite3.Error as error:
        raise database_error(new, "written", error) from error
    except ProjectError:
        raise
    except OSError as error:
        raise ProjectError(str(file_error(error, path))) from error
    finally:
        with suppress(OSError):  # it is not there where all went well
            _delete(new)
        lock.release()
    return Rescued(counts["layers"], counts["tiles"], damaged)


def _shapes(folder: Path) -> dict[int, tuple[int, ...]]:
    """Return the shapes of a project's images, as far as it can be read."""
    with suppress(ProjectError):
        images = read_record(folder / RECORD).images
        return {image.number: image.shape for image in images if image.shape}
    return {}


def _add_layers(path: Path, shapes: dict[int, tuple[int, ...]]) -> int:
    """Add the layers that only their blocks tell of; return how many."""
    n_added = 0
    with closing(sqlite3.connect(path)) as database, database:
        orphans = database.execute(
            "select distinct image, layer from tiles except "
            "select image, layer from layers"
        ).fetchall()
        for image, layer in orphans:
            if image in shapes:
                now = datetime.now().astimezone().isoformat()
                row = (image, layer, json.dumps(shapes[image]), "u2", now)
                database.execute("insert into layers values(?, ?, ?, ?, ?)", row)
                n_added += 1
    return n_added


def _copy(old: Path, new: Path) -> dict[str, int]:
    """Copy every row that can be read and fits; return how many of each table."""
    counts = {}
    with closing(sqlite3.connect(new, isolation_level=None)) as target:
        target.execute("begin")
        for table, columns in _TABLES.items():
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            insert = f"insert or ignore into {table}({names}) values({marks})"
            n_rows = 0
            for row in _readable_rows(old, table):
                if all(map(isinstance, row, columns.values())):
                    n_rows += target.execute(insert, row).rowcount
            counts[table] = n_rows
        target.execute("commit")
    return counts


def _readable_rows(path: Path, table: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows from the front to the damage, then from the end back to it."""
    names = list(_TABLES[table])
    for direction in ("asc", "desc"):
        order = ", ".join(f"{name} {direction}" for name in names[: _N_KEYS[table]])
        query = f"select {', '.join(names)} from {table} order by {order}"
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as database:
                database.execute("pragma trusted_schema = off")
                yield from database.execute(query)
        except DATABASE_ERRORS:
            continue
        return


def _delete(database: Path) -> None:
    for file in (database, *journals(database)):
        file.unlink(missing_ok=True)
