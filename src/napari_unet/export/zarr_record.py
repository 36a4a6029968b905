"""What a store of ours says about its making, and what may be done with it."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_unet.core.atomic import file_error
from napari_unet.errors import FileError, StoreTakenError

__all__ = [
    "OURS",
    "check_room",
    "check_same",
    "is_complete",
    "make_room",
    "probabilities_path",
    "read_record",
    "saying_what_failed",
]

OURS = "napari-unet"
"""The attribute by which our own stores are known."""

_UNSAID = {"objects": "without"}  # what earlier versions, which had none, do not say
_MAX_RECORD_BYTES = 2**24  # ours take a few thousand


def probabilities_path(path: Path) -> Path:
    """Return where the probabilities of labels go."""
    return path.with_name(f"{path.stem.removesuffix('-labels')}-probabilities.zarr")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return what a store says about its making; None where there is none of ours.

    Without zarr, whose import takes half a second that a window would stand still.
    """
    try:
        with (path / "zarr.json").open("rb") as file:
            text = file.read(_MAX_RECORD_BYTES + 1)
        if len(text) > _MAX_RECORD_BYTES:
            return None
        record = json.loads(text)["attributes"][OURS]
    # whatever it is, it is not ours; deep brackets end in a RecursionError
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return record if isinstance(record, dict) and "tile_px" in record else None


def is_complete(path: Path) -> bool:
    """Whether the path holds a store of ours with every tile in it."""
    record = read_record(path)
    return record is not None and record.get("is_complete") is True


def check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise `StoreTakenError` where a store was begun with something else."""
    for what, value in new.items():
        begun_with = old.get(what, _UNSAID.get(what))
        if begun_with != value:
            begun = f"with another {what}"
            if what in ("probabilities", "objects"):
                begun = f"{begun_with} {what}"  # with or without
            raise StoreTakenError(
                f"{path} was begun {begun}, and cannot be gone on with; remove "
                "that folder, or choose another --out"
            )


def check_room(path: Path, resume: bool = False) -> None:
    """Refuse a path that a store must not take.

    Raises
    ------
    FileError
        If it holds anything but a store of ours, or, unless ``resume``, one that is
        unfinished.
    OSError
        If its folder is missing.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    if not path.exists():
        return
    record = read_record(path)
    if record is None:
        raise FileError(
            f"{path} is there, and was not written by this program; choose another "
            "--out, or remove it"
        )
    if not (resume or record.get("is_complete")):
        raise FileError(
            f"{path} holds a prediction that was stopped before its end; add --resume "
            "to go on with it, or remove that folder"
        )


def make_room(path: Path, resume: bool = False) -> None:
    """Remove a store of ours, where there is one that `check_room` lets go."""
    check_room(path, resume)
    if path.exists():
        shutil.rmtree(path)


@contextmanager
def saying_what_failed(path: Path) -> Iterator[None]:
    """Turn what the disk complains about into one sentence."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise file_error(error, path) from error
