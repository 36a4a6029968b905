"""Start weights from a file: a bare network of ours, or a state dict that fits.

A file may come from a stranger. Of a ``.pt`` file nothing is read but tensors, by
torch's restricted unpickler (``weights_only``), after its size was found to be that of
its parts; what it holds is compared by name and shape before anything is copied.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_unet.config import MAX_CHANNELS, UNetConfig
from napari_unet.core._tensor_table import HEADER_KEY, MAX_TABLE_BYTES, too_large
from napari_unet.core.checkpoint import load_model, read_header
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError, FileError

__all__ = ["fitting_weights", "is_learner_file", "read_start_weights"]

FIRST = "down.0.0.weight"
"""The first layer, which is changed to take images of other channels."""
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_MAX_PARTS = 20_000


def is_learner_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a learner's, to go on with, and not only weights to start from.

    Raises
    ------
    FileError, CheckpointError
        If it cannot be read, or is a damaged file of ours.
    """
    return _is_ours(Path(path)) and read_header(path)["kind"] == "learner"


def read_start_weights(
    path: str | os.PathLike[str], config: UNetConfig
) -> dict[str, Tensor]:
    """Return a file's weights, if they fit a network.

    Parameters
    ----------
    path
        A bare network (`save_model`), or a state dict with the names of `UNet`'s:
        ``.safetensors``, or ``.pt`` and ``.pth`` as ``torch.save`` writes them, also
        under the key ``"state_dict"`` or ``"model"``.
    config
        The 2D network; its channels and classes do not matter, see `fitting_weights`.

    Returns
    -------
    dict of str to Tensor
        float32 on the CPU, without the head.

    Raises
    ------
    FileError
        If the file cannot be read.
    CheckpointError
        If it holds something else than tensors, or others than the network's.
    OutOfMemoryError
        If it does not fit into memory.
    """
    path = Path(path)
    try:
        if _is_ours(path):
            found = load_model(path).state_dict()
        elif _first_bytes(path).startswith(b"PK\3\4"):
            found = _tensors_of(_load_torch(path), path)
        else:
            found = _load_safetensors(path)
    except MemoryError as error:
        raise too_large(path) from error
    return fitting_weights(found, config, path)


def fitting_weights(
    found: Mapping[str, Tensor], config: UNetConfig, path: str | os.PathLike[str]
) -> dict[str, Tensor]:
    """Return all weights but the head's, if they are those of a network.

    The number of channels of the image may be another one: `spread_channels` changes
    the first layer.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unknown, or of another shape; names the first one, in
        the network's order.
    """
    first = found.get(FIRST)
    if first is not None and first.ndim == 4 and 1 <= first.shape[1] <= MAX_CHANNELS:
        config = config.model_copy(update={"in_channels": first.shape[1]})
    with torch.device("meta"):  # names and shapes, and no memory
        wanted = {
            name: tuple(tensor.shape)
            for name, tensor in UNet(config).state_dict().items()
            if not name.startswith("head.")
        }
    needed = (
        f"{config.architecture} with {config.channels[0]} base channels and depth "
        f"{config.depth}"
    )
    for name, shape in wanted.items():
        if name not in found:
            raise CheckpointError(
                f"{path} has no tensor '{name}' of shape {shape}, which the network "
                f"needs ({needed}): change those settings, or rename its tensors"
            )
        if tuple(found[name].shape) != shape:
            raise CheckpointError(
                f"{path} has a tensor '{name}' of shape {tuple(found[name].shape)}, "
                f"but the network needs {shape} ({needed}): change those settings"
            )
    for name, tensor in found.items():
        if name not in wanted and not name.startswith("head."):
            raise CheckpointError(
                f"{path} has a tensor {name!r:.60} of shape {tuple(tensor.shape)}, "
                f"which the network has not ({needed}): it is of another network"
            )
    weights = {name: found[name].float().clone() for name in wanted}
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path} holds numbers that are not finite, in '{name}': its training "
                "failed"
            )
    return weights


def _is_ours(path: Path) -> bool:
    """Whether a safetensors file has our header."""
    head = _first_bytes(path)
    if head[8:9] != b"{":
        return False
    n_table = min(int.from_bytes(head[:8], "little"), MAX_TABLE_BYTES)
    with open(path, "rb") as file:
        return f'"{HEADER_KEY}"'.encode() in file.read(8 + n_table)


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder, not a file of weights")
    try:
        with open(path, "rb") as file:
            return file.read(9)
    except FileNotFoundError as error:
        raise FileError(f"{path} does not exist; check the name") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    head = _first_bytes(path)
    n_table = int.from_bytes(head[:8], "little")
    if head[8:9] != b"{" or n_table > MAX_TABLE_BYTES:
        raise CheckpointError(
            f"{path} is no file of weights: .safetensors, and .pt or .pth as "
            "torch.save has written them since PyTorch 1.6, can be read. Bare pickles "
            "cannot, because opening one can run code"
        )
    try:
        found: dict[str, Tensor] = load(path.read_bytes())
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): take another copy"
        ) from error
    return found


def _load_torch(path: Path) -> Any:
    """Return what a ZIP archive of torch.save holds, if it is tensors alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): take another copy"
        ) from error
    # torch.save never compresses: a small file cannot become a large one
    is_plain = all(p.compress_type == zipfile.ZIP_STORED for p in parts)
    n_bytes = sum(part.file_size for part in parts)
    if not is_plain or n_bytes > path.stat().st_size or len(parts) > _MAX_PARTS:
        raise CheckpointError(
            f"{path} was not written by torch.save: its parts are compressed, or "
            "larger than the file"
        )
    try:
        with open(path, "rb") as file:  # of a path, torch would believe the suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors, and opening that can run code: save "
            "model.state_dict() alone, best as .safetensors"
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged or hostile pickle raises anything there is
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} holds no weights that can be read ({reason:.120})"
        ) from error


def _tensors_of(content: Any, path: Path) -> dict[str, Tensor]:
    """Return a state dict, also where it is one entry among others."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a state dict: save "
            "model.state_dict()"
        )
    for name, tensor in content.items():
        if not (isinstance(name, str) and _is_plain(tensor)):
            raise CheckpointError(
                f"{path} has the entry {name!r:.60}, which is no plain tensor of real "
                "numbers: save model.state_dict()"
            )
    return dict(content)


def _is_plain(value: Any) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.dtype.is_floating_point
    )
