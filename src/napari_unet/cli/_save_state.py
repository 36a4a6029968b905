"""The state of a training, written while it runs: what a kill may cost of it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from napari_unet.cli._console import complain
from napari_unet.cli._options import seconds
from napari_unet.errors import FileError, ProjectError

__all__ = ["Every", "add_save_every"]

_EVERY_S = 60.0  # to write four networks takes less than a second


def add_save_every(parser: argparse.ArgumentParser, what: str) -> None:
    """Add ``--save-every``; ``what`` is written."""
    parser.add_argument(
        "--save-every",
        type=seconds,
        default=_EVERY_S,
        metavar="S",
        help=f"write {what} so often while training, so that a kill or a power cut "
        f"costs no more (s, default: {_EVERY_S:g}; 0: only at the end)",
    )


class Every:
    """Calls a function that saves, every so many seconds, between two steps.

    Where it fails, it says so once, and goes on trying: the disk may get room again.
    """

    def __init__(self, every_s: float, save: Callable[[], None]) -> None:
        self._every_s, self._save = every_s, save
        self._saved_at = time.monotonic()
        self._has_complained = False

    def tick(self) -> None:
        """Save, if it is time to."""
        if not self._every_s or time.monotonic() - self._saved_at < self._every_s:
            return
        try:
            self._save()
        except (FileError, ProjectError) as error:
            if not self._has_complained:
                complain(f"{error}; training goes on, and it is tried again")
            self._has_complained = True
        self._saved_at = time.monotonic()
