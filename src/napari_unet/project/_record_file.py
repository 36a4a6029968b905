"""``project.json`` of an open project, and what somebody else writes to it."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from napari_unet.project.record import ProjectRecord, read_record, write_record

__all__ = ["RecordFile"]


class RecordFile:
    """The file in which a project says what it is.

    Parameters
    ----------
    path
        Where it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None

    def read(self) -> ProjectRecord:
        """Read it; see `read_record`."""
        record = read_record(self._path)
        self._stamp = _stamp(self._path)
        return record

    def write(self, record: ProjectRecord) -> None:
        """Write it; see `write_record`."""
        write_record(self._path, record)
        self._stamp = _stamp(self._path)

    def keep_foreign(self) -> Path | None:
        """Keep beside what somebody else wrote into it; return where (None: nobody)."""
        found = _stamp(self._path)
        if found is None:  # deleted, maybe with the folder
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
            return None
        if found == self._stamp:
            return None
        now = datetime.now().strftime("%Y-%m-%d-%H%M%S")
        name = f"{self._path.stem}-from-outside-{now}{self._path.suffix}"
        other = self._path.with_name(name)
        with suppress(OSError):
            os.replace(self._path, other)
        return other


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what differs after somebody wrote to a file; None: there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
