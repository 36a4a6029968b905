"""Annotations on disk: one compressed block a tile, one transaction a stroke.

SQLite keeps what was committed, whatever happens to the process, and writes only what
changed. Beside TIFF, zarr, tensorstore and single files, it was the only store in which
neither a stroke was lost nor half of one kept when the program was killed (ADR 012).
``docs/projects.md`` has the tables, and ten lines that read them without this program.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.tiled import TILE_PX, TiledLabels
from napari_unet.core.atomic import file_error
from napari_unet.errors import ProjectError
from napari_unet.project._database import connect, journals, naming

__all__ = ["AnnotationStore", "Outline", "Saved"]

_VERSION = 1
_TABLES = """
create table layers(image integer, layer text, shape text, dtype text, saved text,
    primary key(image, layer)) without rowid;
create table tiles(image integer, layer text, plane integer, tile_row integer,
    tile_column integer, pixels blob,
    primary key(image, layer, plane, tile_row, tile_column)) without rowid;
create table shapes(image integer, layer text, outlines text,
    primary key(image, layer)) without rowid;
"""
_NAMES = {"layers", "tiles", "shapes"}
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("u1"), 2: np.dtype("<u2")}
_MAX_AXIS_PX = 2**31
_MAX_OUTLINES_BYTES = 2**26

Outline = dict[str, Any]
"""A shape: its ``"kind"``, such as ``"polygon"``, and ``"corners"``, (n, ndim) px."""
Layer = tuple[int, str]
"""Number of the image, and name of the layer."""


@dataclass(frozen=True)
class Saved:
    """What one call of `AnnotationStore.save` wrote."""

    n_tiles: int
    n_bytes: int
    is_restored: bool = False
    """Whether the file had been deleted or replaced by somebody, and was made anew."""


class AnnotationStore:
    """Label layers of images by name, such as (3, ``"strokes"``).

    May be called from any thread, one at a time.

    Parameters
    ----------
    path
        The database; made where there is none.
    is_read_only
        Only read: nothing is written, not even a missing file made.

    Raises
    ------
    ProjectError
        If it cannot be opened, is no such database, or is of a newer program.
    """

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.path = path
        self._is_read_only = is_read_only
        self._lock = threading.RLock()
        self._known: dict[Layer, TiledLabels] = {}
        self._database = connect(path, is_read_only)
        self._file = _identity(path)
        try:
            with naming(self.path, "opened"):
                self._check()
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Put everything into the one file and close it."""
        with self._lock, suppress(sqlite3.Error):
            with suppress(sqlite3.Error):  # of a folder that became read-only
                self._database.execute("pragma wal_checkpoint(truncate)")
            self._database.close()

    def layers(self) -> dict[Layer, datetime]:
        """Return the layers that are kept, and when each was saved last."""
        with self._reading():
            rows = self._database.execute("select image, layer, saved from layers")
            return {(image, layer): _time(saved) for image, layer, saved in rows}

    def load(self, image: int, layer: str) -> TiledLabels | None:
        """Return the labels of a layer; None where nothing is kept.

        Raises
        ------
        ProjectError
            If they cannot be read, or are not what this program wrote.
        """
        with self._reading():
            if (image, layer) in self._known:
                return self._known[image, layer]
            found = self._database.execute(
                "select shape, dtype from layers where image = ? and layer = ?",
                (image, layer),
            ).fetchone()
            if found is None:
                return None
            shape, dtype = self._checked(*found)
            rows = self._database.execute(
                "select plane, tile_row, tile_column, pixels from tiles "
                "where image = ? and layer = ?",
                (image, layer),
            )
            tiles = dict(self._tiles(rows, shape, dtype))
            labels = TiledLabels(shape, dtype, tiles)
            if not self._is_read_only:  # or somebody else may write meanwhile
                self._known[image, layer] = labels
            return labels

    def save(self, image: int, layer: str, labels: TiledLabels) -> Saved:
        """Keep the labels of a layer: what differs is written, all of it or nothing.

        Labels of another shape than before do not replace the old ones, which stay
        under another name.

        Raises
        ------
        ProjectError
            If they cannot be written. What was kept before stays.
        """
        with self._lock:
            is_restored = self._restore()
            before = self.load(image, layer)
            n_tiles = n_bytes = 0
            with self._writing():
                if before is not None and before.shape != labels.shape:
                    self._set_aside(image, layer)
                    before = None
                for place, pixels in _changes(before, labels):
                    n_tiles += 1
                    n_bytes += len(pixels or b"")
                    self._put(image, layer, place, pixels)
                self._database.execute(
                    "replace into layers values(?, ?, ?, ?, ?)",
                    (
                        image,
                        layer,
                        json.dumps(labels.shape),
                        labels.dtype.str.lstrip("<|"),
                        datetime.now().astimezone().isoformat(),
                    ),
                )
            self._known[image, layer] = labels
            return Saved(n_tiles, n_bytes, is_restored)

    def load_outlines(self, image: int, layer: str) -> list[Outline]:
        """Return the shapes that were drawn; see `save_outlines`."""
        with self._reading():
            found = self._database.execute(
                "select outlines from shapes where image = ? and layer = ?",
                (image, layer),
            ).fetchone()
        try:
            text = "[]" if found is None else found[0]
            if len(text) > _MAX_OUTLINES_BYTES:
                raise ValueError
            return [_outline(item) for item in json.loads(text)]
        except (
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
            OverflowError,
        ) as error:
            raise self._damaged() from error

    def save_outlines(self, image: int, layer: str, outlines: list[Outline]) -> None:
        """Keep shapes that were drawn."""
        text = json.dumps([_outline(item) for item in outlines])
        with self._lock, self._writing():
            self._database.execute(
                "replace into shapes values(?, ?, ?)", (image, layer, text)
            )

    def _restore(self) -> bool:
        """Write the file anew where it was deleted or replaced; say whether it was.

        The system keeps a file that is open, and all that is in it. What was put in
        its place is kept beside.
        """
        found = _identity(self.path)
        if found == self._file or self._is_read_only:
            return False
        new = self.path.with_name(f".{self.path.stem}-anew.sqlite")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            with naming(self.path, "written"), closing(sqlite3.connect(new)) as target:
                self._database.backup(target)
            if found is not None:
                stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
                other = f"{self.path.stem}-from-outside-{stamp}.sqlite"
                os.replace(self.path, self.path.with_name(other))
            for journal in journals(self.path):  # of the file that is gone
                journal.unlink(missing_ok=True)
            os.replace(new, self.path)
        except OSError as error:
            if isinstance(error, ProjectError):
                raise
            raise ProjectError(str(file_error(error, self.path))) from error
        self._database.close()
        self._database = connect(self.path, is_read_only=False)
        self._file = _identity(self.path)
        return True

    def _put(
        self, image: int, layer: str, place: tuple[int, int, int], pixels: bytes | None
    ) -> None:
        if pixels is None:
            self._database.execute(
                "delete from tiles where image = ? and layer = ? and plane = ? "
                "and tile_row = ? and tile_column = ?",
                (image, layer, *place),
            )
        else:
            self._database.execute(
                "replace into tiles values(?, ?, ?, ?, ?, ?)",
                (image, layer, *place, pixels),
            )

    def _set_aside(self, image: int, layer: str) -> None:
        """Give a layer another name, under which it is kept."""
        stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")
        for table in ("layers", "tiles", "shapes"):
            self._database.execute(
                f"update {table} set layer = ? where image = ? and layer = ?",
                (f"{layer} until {stamp}", image, layer),
            )

    def _tiles(
        self, rows: sqlite3.Cursor, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Iterator[tuple[tuple[int, int, int], NDArray[Any]]]:
        n_planes = int(np.prod(shape[:-2], dtype=object))
        for plane, row, column, pixels in rows:
            place = plane, row, column
            if not all(isinstance(i, int) and i >= 0 for i in place):
                raise self._damaged()
            height = min(TILE_PX, shape[-2] - row * TILE_PX)
            width = min(TILE_PX, shape[-1] - column * TILE_PX)
            if plane >= n_planes or height < 1 or width < 1:
                raise self._damaged()
            try:
                tile = _unpack(pixels, (height, width))
            except (ValueError, TypeError, zlib.error) as error:
                raise self._damaged() from error
            if tile.dtype.itemsize > dtype.itemsize:
                raise self._damaged()
            if tile.any():
                yield place, _frozen(tile.astype(dtype))

    def _checked(self, shape: Any, dtype: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return what a layer says of itself, if it can be true."""
        try:
            sizes = tuple(json.loads(shape))
            is_right = 2 <= len(sizes) <= 5 and all(
                type(n) is int and 1 <= n < _MAX_AXIS_PX for n in sizes
            )
            if not is_right or dtype not in ("u1", "u2"):
                raise ValueError
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damaged() from error
        return sizes, np.dtype(dtype)

    def _check(self) -> None:
        """Make the tables where there are none; refuse what is not ours."""
        database = self._database
        (version,) = database.execute("pragma user_version").fetchone()
        there = set(database.execute("select type, name from sqlite_schema"))
        if not there and not version and not self._is_read_only:
            with self._writing():
                for statement in _TABLES.split(";"):
                    database.execute(statement)
                database.execute(f"pragma user_version = {_VERSION}")
            return
        if version > _VERSION:
            raise ProjectError(
                f"{self.path} was written by a newer version of napari-unet: update "
                "the program to open it"
            )
        # a view or a trigger in a stranger's file would run when we read or write
        if there != {("table", name) for name in _NAMES} or version != _VERSION:
            raise ProjectError(
                f"{self.path} is no annotation file of napari-unet: choose another "
                "project folder"
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, naming(self.path, "read"):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write all of it, or nothing."""
        with naming(self.path, "written"):
            self._database.execute("begin immediate")
            try:
                yield
                self._database.execute("commit")
            except BaseException:
                # after some errors, such as a full disk, SQLite rolled back already
                with suppress(sqlite3.Error):
                    self._database.execute("rollback")
                raise

    def _damaged(self) -> ProjectError:
        return ProjectError(
            f"{self.path} is damaged: what is left of it can be had with 'napari-unet "
            "project rescue'"
        )


def _changes(
    before: TiledLabels | None, labels: TiledLabels
) -> Iterator[tuple[tuple[int, int, int], bytes | None]]:
    """Yield the tiles that differ, packed; None for those that are empty now."""
    old = {} if before is None else before.tiles
    for place, tile in labels.tiles.items():
        known = old.get(place)
        if known is None or (known is not tile and not np.array_equal(known, tile)):
            yield place, _pack(tile)
    for place in old.keys() - labels.tiles.keys():
        yield place, None


def _pack(tile: NDArray[Any]) -> bytes:
    """Compress a tile, as bytes where no value needs more."""
    kind = _TYPES[1 if int(tile.max()) < 256 else 2]
    return zlib.compress(np.ascontiguousarray(tile, kind).tobytes(), 1)


def _unpack(pixels: Any, shape: tuple[int, int]) -> NDArray[Any]:
    """Return a tile; never more memory than one can need, whatever the file says."""
    n_px = shape[0] * shape[1]
    content = zlib.decompressobj().decompress(pixels, 2 * n_px + 1)
    if len(content) not in (n_px, 2 * n_px):
        raise ValueError("a tile has another size")
    labels: NDArray[Any] = np.frombuffer(content, _TYPES[len(content) // n_px])
    return labels.reshape(shape)


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None: there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _frozen(tile: NDArray[Any]) -> NDArray[Any]:
    tile.setflags(write=False)
    return tile


def _outline(item: Any) -> Outline:
    """Return a shape as it is kept, checked."""
    corners = np.asarray(item["corners"], np.float64)
    if corners.ndim != 2 or not np.isfinite(corners).all():
        raise ValueError("a shape has no corners")
    return {"kind": str(item["kind"]), "corners": corners.tolist()}


def _time(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return datetime.fromtimestamp(0).astimezone()
