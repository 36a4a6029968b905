"""One writer at a time: a lock that ends with the process, and says who holds it."""

from __future__ import annotations

import getpass
import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from napari_unet.core.atomic import file_error
from napari_unet.errors import ProjectError

__all__ = ["ProjectLock"]

_MAX_NOTE_BYTES = 4096

_held_here: set[str] = set()
"""The locks that this very process has."""


class ProjectLock:
    """The right to write to a project folder; see :meth:`take`.

    The operating system holds it and lets go when the process ends, however it ends.
    Where a network drive has no such locks, a file stands for it: then one that a
    crashed computer left behind must be deleted by hand, as the sentence says.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "lock"
        self._note = folder / "lock-holder.json"
        self._held: object | None = None

    def take(self) -> None:
        """Take the lock.

        Raises
        ------
        ProjectError
            If somebody else has it, who is named, or no file can be made.
        """
        import filelock

        for kind in (filelock.FileLock, filelock.SoftFileLock):
            lock = kind(self._file, timeout=0, is_singleton=False)
            try:
                lock.acquire()
            except filelock.Timeout as error:
                raise ProjectError(self._taken()) from error
            except NotImplementedError:
                continue  # the drive has none of its own
            except OSError as error:
                raise ProjectError(str(file_error(error, self._file))) from error
            self._held = lock
            _held_here.add(os.path.realpath(self._file))
            break
        else:
            raise ProjectError(f"{self._file} could not be locked on this drive")
        note = {
            "user": _user(),
            "computer": socket.gethostname(),
            "process": os.getpid(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        with suppress(OSError):  # it only makes the sentence better
            self._note.write_text(json.dumps(note), encoding="utf-8")

    def release(self) -> None:
        """Let go."""
        held, self._held = self._held, None
        if held is not None:
            _held_here.discard(os.path.realpath(self._file))
            with suppress(OSError):
                self._note.unlink(missing_ok=True)
            held.release()  # type: ignore[attr-defined]

    def holder(self) -> str | None:
        """Return who has it, for people to read; None: nobody.

        Where this process may not write, what the last one wrote is all there is.
        """
        if not self._note.exists():
            return None
        try:
            self.take()
        except ProjectError:
            return self._who()
        self.release()  # its holder was killed, and the note with it is gone
        return None

    def _taken(self) -> str:
        if os.path.realpath(self._file) in _held_here:
            return (
                f"the project {self._file.parent} is open in this program already: go "
                "on with it there, or close it there first"
            )
        return (
            f"the project {self._file.parent} is open in {self._who()}: close it there "
            f"first. If nothing has it open any more, delete {self._file}"
        )

    def _who(self) -> str:
        try:
            with open(self._note, encoding="utf-8") as file:
                note = json.loads(file.read(_MAX_NOTE_BYTES))
            since = datetime.fromisoformat(note["since"])
            return (
                f"{note['user']} on {note['computer']} (process {note['process']}, "
                f"since {since:%Y-%m-%d %H:%M})"
            )
        except (OSError, ValueError, KeyError, TypeError):
            return "another program"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
