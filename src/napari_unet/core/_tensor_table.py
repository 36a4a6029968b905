"""The first part of a model file: what it says it holds, believed only when it adds up.

A file may come from a stranger. It is read with ``json`` and arithmetic alone, and
every tensor it announces is found on the disk before memory is asked for.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from napari_unet.config import SCHEMA_VERSION
from napari_unet.errors import CheckpointError, FileError, OutOfMemoryError

__all__ = ["HEADER_KEY", "KINDS", "MAX_TABLE_BYTES", "read_file", "too_large"]

HEADER_KEY = "napari_unet"
"""Key of our header, as JSON text, in the file's safetensors metadata."""
KINDS = ("unet", "learner", "bundled")
MAX_TABLE_BYTES = 4 * 2**20
"""Ample for 25,000 tensors; once parsed, hostile JSON takes up to 30 times its size."""

_ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
_MAX_DIMS = 8
_PICKLES = (b"PK\x03\x04", b"\x80")  # torch.save's ZIP archive; a bare pickle


def read_file(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], bytes]:
    """Return our header of a file, and the whole file's bytes when asked for.

    Raises
    ------
    FileError
        If there is no such file or it may not be read.
    CheckpointError
        If it is a folder, foreign, truncated, inconsistent, or newer than this program.
    OutOfMemoryError
        If its tensors are asked for and do not fit into memory.
    """
    if path.is_dir():
        _refuse(path, "is a folder, not a model file")
    try:
        with open(path, "rb") as file:
            header = _read_table(file, path)
            file.seek(0)
            return header, file.read() if with_tensors else b""
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist; check the name.") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise too_large(path) from error


def too_large(path: Path) -> OutOfMemoryError:
    """Say that a file is too large for this computer."""
    return OutOfMemoryError(f"{path} does not fit into memory; close something first.")


def _read_table(file: BinaryIO, path: Path) -> dict[str, Any]:
    """Return our header of an open file, after checking all that the file says."""
    n_bytes = os.fstat(file.fileno()).st_size
    prefix = file.read(9)
    n_table = int.from_bytes(prefix[:8], "little")
    if prefix[8:] != b"{" or not 2 <= n_table <= MAX_TABLE_BYTES:
        # asked only now: a good table's length may begin with a pickle's first byte
        if prefix.startswith(_PICKLES):
            _refuse(
                path,
                "is a pickle or ZIP file, as torch.save writes them. Opening one can "
                "run code, so napari-unet reads only its own .safetensors files",
            )
        _refuse_foreign(path, "it does not begin like a safetensors file")
    if n_table > n_bytes - 8:
        _refuse_truncated(path, 8 + n_table, n_bytes)
    table = _json_object(prefix[8:] + file.read(n_table - 1), path)
    metadata = table.pop("__metadata__", None)
    text = metadata.get(HEADER_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        _refuse_foreign(path, f"its metadata has no text '{HEADER_KEY}'")
    header = _json_object(text, path)
    _check_header(header, path)
    n_expected = 8 + n_table + _n_tensor_bytes(table, path)
    if n_expected > n_bytes:
        _refuse_truncated(path, n_expected, n_bytes)
    if n_expected < n_bytes:
        _refuse_damaged(path, f"{n_bytes - n_expected} bytes belong to no tensor")
    return header


def _json_object(text: str | bytes, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
        raise CheckpointError(
            f"{path} is damaged or no napari-unet model: its header is not JSON."
        ) from error
    if not isinstance(value, dict):
        _refuse_foreign(path, f"its header is a JSON {type(value).__name__}")
    return value


def _check_header(header: dict[str, Any], path: Path) -> None:
    version = header.get("schema_version")
    if type(version) is not int or version < 1:
        _refuse_damaged(path, f"its schema_version is {version!r:.40}")
    if version > SCHEMA_VERSION:
        program = header.get("program")
        by = f" ({program:.40})" if isinstance(program, str) else ""
        raise CheckpointError(
            f"{path} was written by a newer napari-unet{by}; update this one to open "
            "it: pip install --upgrade napari-unet."
        )
    if header.get("kind") not in KINDS:
        _refuse_damaged(path, f"its kind is {header.get('kind')!r:.40}")


def _n_tensor_bytes(table: dict[str, Any], path: Path) -> int:
    """Return the size of all tensors together: back to back, none over another."""
    spans = sorted(_span(name, entry, path) for name, entry in table.items())
    end = 0
    for start, stop in spans:
        if start != end:
            _refuse_damaged(path, "its tensors overlap or leave gaps")
        end = stop
    return end


def _span(name: str, entry: Any, path: Path) -> tuple[int, int]:
    """Return the first byte of a tensor and the one behind its last."""
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        _refuse_damaged(path, f"the entry of tensor {name!r:.60} is malformed")
    shape, span = entry["shape"], entry["data_offsets"]
    item = _ITEM_BYTES.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if item is None:
        _refuse_damaged(
            path, f"tensor {name!r:.60} has the type {entry['dtype']!r:.40}"
        )
    if not (_is_sizes(shape) and len(shape) <= _MAX_DIMS):
        _refuse_damaged(path, f"tensor {name!r:.60} has the shape {shape!r:.60}")
    if not (_is_sizes(span) and len(span) == 2):
        _refuse_damaged(path, f"tensor {name!r:.60} lies at {span!r:.60}")
    if span[1] - span[0] != item * math.prod(shape):
        _refuse_damaged(path, f"the size of tensor {name!r:.60} is not its shape's")
    return span[0], span[1]


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        type(size) is int and 0 <= size < 2**48 for size in value
    )


def _refuse(path: Path, why: str) -> NoReturn:
    raise CheckpointError(f"{path} {why}.")


def _refuse_foreign(path: Path, why: str) -> NoReturn:
    _refuse(path, f"is not a napari-unet model ({why})")


def _refuse_damaged(path: Path, why: str) -> NoReturn:
    _refuse(path, f"is damaged ({why}); take another copy, or save the model again")


def _refuse_truncated(path: Path, n_expected: int, n_bytes: int) -> NoReturn:
    _refuse(
        path,
        f"is truncated: {n_bytes} of {n_expected} bytes are there; copy it again",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
