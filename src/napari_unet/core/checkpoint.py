"""Model files: tensors and a JSON header in one safetensors file, never a pickle.

The header is the text under the metadata key ``napari_unet``. A file is replaced in one
step or not at all, and what a file says of itself is checked before it is believed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.config import SCHEMA_VERSION, UNetConfig, parse_config
from napari_unet.core._tensor_table import (
    HEADER_KEY,
    KINDS,
    MAX_TABLE_BYTES,
    read_file,
    too_large,
)
from napari_unet.core._weights import unet_from_tensors
from napari_unet.core.atomic import replace_file
from napari_unet.errors import CheckpointError, ConfigError, FileError

if TYPE_CHECKING:
    import torch

    from napari_unet.core.unet import UNet

__all__ = [
    "load_model",
    "load_tensors",
    "read_header",
    "save_model",
    "save_tensors",
    "unet_from_tensors",
]

_UNET_KEYS = {"schema_version", "program", "kind", "config", "extra"}


def save_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, torch.Tensor | np.ndarray],
    header: Mapping[str, Any],
) -> None:
    """Write tensors and a header to one file, all or nothing.

    Parameters
    ----------
    path : path
        File to make or replace. A save that fails or is interrupted leaves an old file
        as it was and nothing new behind.
    tensors : mapping of str to torch.Tensor or numpy.ndarray
        By name. bfloat16, which NumPy lacks, is written as float32.
    header : mapping
        JSON values; ``"kind"`` is ``"unet"`` or ``"learner"``. ``"schema_version"`` and
        ``"program"`` are filled in.

    Raises
    ------
    FileError
        If the folder is missing or read-only, the disk is full, or the header is larger
        than :func:`read_header` reads.
    """
    from safetensors.numpy import save

    header = {"schema_version": SCHEMA_VERSION, "program": _program(), **header}
    assert header["kind"] in KINDS, header["kind"]
    text = json.dumps(header, allow_nan=False)
    arrays = {name: _as_array(tensor) for name, tensor in tensors.items()}
    content = save(arrays, metadata={HEADER_KEY: text})
    if int.from_bytes(content[:8], "little") > MAX_TABLE_BYTES:
        raise FileError(
            f"{path} was not written: its header of {len(text)} characters is larger "
            "than a model file may have."
        )
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a model file's header without loading its tensors.

    Reads a few kilobytes; needs neither torch nor safetensors.

    Parameters
    ----------
    path : path
        Model file.

    Returns
    -------
    dict
        ``"schema_version"``, ``"program"``, ``"kind"`` and what the kind needs.

    Raises
    ------
    FileError
        If there is no such file or it may not be read.
    CheckpointError
        If it is a folder, foreign, truncated, damaged, or newer than this program.
    """
    return read_file(Path(path), with_tensors=False)[0]


def load_tensors(
    path: str | os.PathLike[str],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a model file's tensors, as arrays of their own memory, and its header.

    Parameters
    ----------
    path : path
        Model file.

    Raises
    ------
    FileError
        If there is no such file or it may not be read.
    CheckpointError
        If it is a folder, foreign, truncated, damaged, or newer than this program.
    OutOfMemoryError
        If the file does not fit into memory.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    header, content = read_file(Path(path), with_tensors=True)
    try:
        return load(content), header
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); take another copy, or save the model again."
        ) from error
    except MemoryError as error:
        raise too_large(Path(path)) from error


def save_model(
    path: str | os.PathLike[str], unet: UNet, extra: Mapping[str, Any] | None = None
) -> None:
    """Write a bare network: its settings and weights.

    Parameters
    ----------
    path : path
        File to make or replace, by custom ``.safetensors``.
    unet : UNet
        On any device.
    extra : mapping, optional
        JSON values kept in the header under ``"extra"``, for whoever wrote them.

    Raises
    ------
    FileError
        If the folder is missing or read-only, or the disk is full.
    """
    header = {
        "kind": "unet",
        "config": unet.config.model_dump(mode="json"),
        "extra": dict(extra or {}),
    }
    save_tensors(path, unet.state_dict(), header)


def load_model(
    path: str | os.PathLike[str], device: str | torch.device = "cpu"
) -> UNet:
    """Return a network that :func:`save_model` wrote, ready to predict.

    Parameters
    ----------
    path : path
        Model file of the kind ``"unet"``.
    device : {'cpu', 'auto', 'cuda', 'mps'} or torch.device
        Where to put it.

    Returns
    -------
    UNet
        In evaluation mode.

    Raises
    ------
    FileError
        If there is no such file or it may not be read.
    CheckpointError
        If it is no model file, is newer than this program, or its settings and weights
        do not fit each other.
    DeviceError
        If the device is absent.
    """
    from napari_unet.core.device import choose_device

    target = choose_device(device) if isinstance(device, str) else device
    arrays, header = load_tensors(path)
    config = _unet_config(header, Path(path))
    return unet_from_tensors(config, arrays, path).to(target)


def _unet_config(header: dict[str, Any], path: Path) -> UNetConfig:
    if header["kind"] != "unet":
        raise CheckpointError(
            f"{path} holds a {header['kind']}, not a bare network; open it with "
            f"napari_unet.load."
        )
    unknown = sorted(header.keys() - _UNET_KEYS)
    if unknown:
        raise CheckpointError(f"{path} has an unknown entry {unknown[0]!r:.60}.")
    try:
        config = parse_config(json.dumps(header.get("config")), UNetConfig)
    except ConfigError as error:
        raise CheckpointError(f"{path} has impossible settings: {error}") from error
    assert isinstance(config, UNetConfig)
    return config


def _as_array(tensor: torch.Tensor | np.ndarray) -> np.ndarray:
    if not isinstance(tensor, np.ndarray):
        tensor = tensor.detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        tensor = tensor.numpy()
    return np.asarray(tensor, order="C")  # strided memory would be written as it lies


def _program() -> str:
    try:
        return f"napari-unet {version('napari-unet')}"
    except PackageNotFoundError:  # run from a source folder
        return "napari-unet"
