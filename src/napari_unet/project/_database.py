"""Opening a database where a project lies, and its complaints in plain words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_unet.core.atomic import file_error
from napari_unet.errors import ProjectError

__all__ = ["DATABASE_ERRORS", "connect", "database_error", "journals", "naming"]

DATABASE_ERRORS = sqlite3.Error, UnicodeDecodeError
"""The second where SQLite quotes a damaged file in the text of its error."""

_WAIT_S = 10.0  # for another process that writes, or a slow network drive


def connect(path: Path, is_read_only: bool) -> sqlite3.Connection:
    """Open a database; in a folder that is read-only, without its journal.

    Raises
    ------
    ProjectError
        If it is not there, or cannot be opened.
    """
    if is_read_only and not path.exists():
        raise ProjectError(f"there is no file {path}: the project folder is incomplete")
    try:
        if is_read_only:
            return _configured(_open(path, "ro"))
        database = _open(path, "rwc")
        try:
            return _with_journal(_configured(database), path)
        except BaseException:
            database.close()
            raise
    except DATABASE_ERRORS as error:
        raise database_error(path, "opened", error) from error
    except OSError as error:
        raise ProjectError(str(file_error(error, path))) from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={mode}"
    if mode == "ro" and not _has_journal(path) and not _can_write(path.parent):
        address += "&immutable=1"  # or it would want to make a journal beside it
    return sqlite3.connect(
        address,
        uri=True,
        timeout=_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _configured(database: sqlite3.Connection) -> sqlite3.Connection:
    database.execute("pragma trusted_schema = off")
    database.execute("pragma cell_size_check = on")
    # a power cut loses nothing that was reported as saved; 0.8 ms a stroke, not 0.4
    database.execute("pragma synchronous = full")
    return database


def _with_journal(database: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Choose a journal that works where the file lies.

    Write-ahead does not on network drives, which may only say so at the first write:
    tried on a database of its own.
    """
    trial = path.with_name(f".{path.stem}-trial.sqlite")
    for name in (trial, *journals(trial)):
        name.unlink(missing_ok=True)  # of a run that was killed here
    mode = "wal"
    try:
        probe = sqlite3.connect(trial, isolation_level=None)
        try:
            probe.execute("pragma journal_mode = wal")
            probe.execute("create table t(i)")
            probe.execute("insert into t values(1)")
        finally:
            probe.close()
    except sqlite3.Error:
        mode = "delete"
    finally:
        for name in (trial, *journals(trial)):
            with suppress(OSError):
                name.unlink(missing_ok=True)
    database.execute(f"pragma journal_mode = {mode}")
    return database


def journals(path: Path) -> tuple[Path, Path]:
    """Return the files that stand beside a database while it is open."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _has_journal(path: Path) -> bool:
    return any(name.exists() for name in journals(path))


def _can_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK)


@contextmanager
def naming(path: Path, what: str) -> Iterator[None]:
    """Turn a database's errors into a sentence about its file."""
    try:
        yield
    except DATABASE_ERRORS as error:
        raise database_error(path, what, error) from error


def database_error(path: Path, what: str, error: Exception) -> ProjectError:
    """Say in one sentence why a file was not opened, read or written."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        why = "another program is writing to it; close that, or wait a moment"
    elif name.startswith("SQLITE_FULL"):
        why = "the disk is full or its quota is used up: free some space"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        why = "the folder or file is read-only or gone: give yourself the right to it"
    elif name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or isinstance(
        error, UnicodeDecodeError
    ):
        why = (
            "it is damaged, or no database: what is left can be had with 'napari-unet "
            "project rescue'"
        )
    elif name.startswith("SQLITE_IOERR"):
        why = (
            "the disk or network drive did not take it (full, or gone): see that it "
            "is there and has space"
        )
    else:
        why = str(error)
    return ProjectError(f"{path} was not {what}, because {why}")
