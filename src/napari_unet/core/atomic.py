"""Files that are either complete or not there at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_unet.errors import FileError

__all__ = ["file_error", "replace_file"]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to, which becomes ``path`` when all went well.

    The temporary file lies in the same folder, so that the last step is one rename:
    whoever reads ``path`` sees the old file or the new one, never half of one. If the
    block raises, the temporary file is deleted and the old file stays as it was.

    Parameters
    ----------
    path
        File to make or replace. A link is followed, and what it points to is replaced.

    Yields
    ------
    Path
        Where to write; an empty file with the same suffix, made with the permissions
        that any new file gets.

    Raises
    ------
    FileError
        If the folder is missing or cannot be written to, or the disk is full.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(
        f".{target.stem[:80]}.{secrets.token_hex(4)}{target.suffix}"
    )
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
    except FileError:
        raise
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        # after the rename, or where the folder is missing, there is nothing to delete
        with suppress(OSError):
            temporary.unlink()


def file_error(error: OSError, path: str | os.PathLike[str]) -> FileError:
    """Say in one sentence why ``path`` could not be written."""
    path = Path(path)
    if error.errno in _NO_SPACE:
        text = (
            f"{path} was not written, because the disk is full or its quota is used "
            "up: free some space, or choose another folder"
        )
    elif error.errno in _NO_PERMISSION:
        text = (
            f"{path} was not written: the folder or file is read-only, or open in "
            "another program; choose another folder"
        )
    elif error.errno == errno.EISDIR:
        text = f"{path} is a folder; give the name of a file in it"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        if path.parent.is_dir():  # of a system's own files, such as /proc
            text = f"{path} was not written: no file can be made in {path.parent}"
        elif path.parent.exists():
            text = f"{path} was not written: {path.parent} is a file, not a folder"
        else:
            text = f"{path} was not written: make the folder {path.parent} first"
    else:
        text = f"{path} was not written: {error.strerror or error}"
    return FileError(text)


def _flush(path: Path) -> None:
    # a full network disk may only complain now; the old file still stands
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
