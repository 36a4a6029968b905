"""The files that a command writes, and that none of them is one that it reads."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from contextlib import suppress
from pathlib import Path

from napari_unet.errors import ConfigError, FileError

__all__ = [
    "find_twice",
    "make_folder",
    "read_bytes",
    "refuse_overwriting",
    "require_files",
]

AnyPath = str | os.PathLike[str]


def refuse_overwriting(outs: Iterable[AnyPath], inputs: Iterable[AnyPath]) -> None:
    """Refuse to write over a file that is read, or two results to one file.

    Paths are compared by the file that they lead to: ``a.tif``, ``./a.tif`` and a link
    to it are one.

    Raises
    ------
    FileError
        If a file to write is also one to read, or a folder in which one lies.
    ConfigError
        If two of the files to write are one.
    """
    inputs = list(inputs)
    read = {name: path for path in inputs for name in _names(path)}
    inside = {
        os.path.normcase(parent): path
        for path in inputs
        for parent in Path(os.path.realpath(path)).parents
    }
    written: dict[Hashable, AnyPath] = {}
    for out in outs:
        within = inside.get(os.path.normcase(os.path.realpath(out)))
        if within is not None:
            raise FileError(
                f"{out} would overwrite the folder of an input, {within}; choose "
                "another name"
            )
        for name in _names(out):
            if name in read:
                raise FileError(
                    f"{out} would overwrite an input, {read[name]}; choose another name"
                )
            if name in written:
                raise ConfigError(
                    f"{written[name]} and {out} would both go to one file; choose "
                    "another name for one of them"
                )
        written |= dict.fromkeys(_names(out), out)


def require_files(paths: Iterable[Path]) -> None:
    """Raise a `FileError` for the first that is missing, before slow work begins."""
    for path in paths:
        if not path.exists():
            raise FileError(f"there is no file {path}; check the name and the folder")


def find_twice(paths: Iterable[Path]) -> Path | None:
    """Return the first path that leads to the same file as one before it."""
    seen: set[Hashable] = set()
    for path in paths:
        names = _names(path)
        if names & seen:
            return path
        seen |= names
    return None


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; FileError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(
            f"the folder {folder} cannot be made: {error.strerror}"
        ) from error


def read_bytes(path: Path) -> bytes:
    """Return what is in a file; FileError where that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from error


def _names(path: AnyPath) -> set[Hashable]:
    """Return what a file is known by: its real path and, where it exists, its number.

    The number also finds hard links, and other spellings where case does not count.
    """
    names: set[Hashable] = {os.path.normcase(os.path.realpath(path))}
    with suppress(OSError):
        found = os.stat(path)
        # 0: a file system without such numbers
        if found.st_ino:
            names.add((found.st_dev, found.st_ino))
    return names
