"""Whether a file could be written, asked before the work that fills it."""

from __future__ import annotations

import os
from contextlib import suppress

from napari_unet.core.atomic import replace_file

__all__ = ["check_writable"]


class _NotWritten(Exception):
    """Leaves the block of `replace_file` without replacing anything."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out now whether `replace_file` could write to a path, and leave it alone.

    Raises
    ------
    FileError
        If the folder is missing or cannot be written to.
    """
    with suppress(_NotWritten), replace_file(path):
        raise _NotWritten
