"""Whether and where a file can be written, asked before the work that fills it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from napari_unet.core.atomic import replace_file
from napari_unet.errors import FileError
from napari_unet.export.zarr_record import check_room, saying_what_failed

__all__ = ["check_writable", "model_path"]

MODEL_SUFFIX = ".safetensors"


class _NotWritten(Exception):
    """Leaves the block of `replace_file` without replacing anything."""


def check_writable(path: str | os.PathLike[str], *, resume: bool = False) -> None:
    """Find out now whether a path could be written to, and leave it alone.

    Raises
    ------
    FileError
        If the folder is missing or cannot be written to; if the path of an OME-Zarr
        store holds something else.
    """
    path = Path(path)
    if path.suffix.lower() == ".zarr":
        with saying_what_failed(path):
            check_room(path, resume)
        path = path.with_name(f"{path.name}.check")
    with suppress(_NotWritten), replace_file(path):
        raise _NotWritten


def model_path(path: str | os.PathLike[str]) -> Path:
    """Return where a model goes: the path, with its suffix where it has none.

    Raises
    ------
    FileError
        If it has another suffix, which would promise another kind of file.
    """
    path = Path(path)
    if not path.suffix:
        return path.with_name(path.name + MODEL_SUFFIX)
    if path.suffix.lower() != MODEL_SUFFIX:
        raise FileError(
            f"{path} has the suffix '{path.suffix}', but a model is a {MODEL_SUFFIX} "
            f"file: write it to {path.with_suffix(MODEL_SUFFIX)}, say"
        )
    return path
