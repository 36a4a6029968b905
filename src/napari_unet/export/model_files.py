"""A portable network as a file: ONNX, torch.export, or plain tensors."""

from __future__ import annotations

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

import torch

from napari_unet.core.atomic import replace_file
from napari_unet.errors import ConfigError, FileError
from napari_unet.export.portable import PortableNetwork

__all__ = ["IMAGE", "OPSET", "PROBABILITIES", "require", "write_model_file"]

OPSET = 20
"""Of ONNX operators; what torch's exporter writes without conversion."""
IMAGE, PROBABILITIES = "image", "probabilities"
_FACTS = "napari_unet"
Path = str | os.PathLike[str]


def require(extra: str, *modules: str) -> None:
    """Say how to install what an extra brings.

    Raises
    ------
    ConfigError
        If one of the modules is missing.
    """
    missing = [name for name in modules if find_spec(name.partition(".")[0]) is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} is not installed, which this format needs: "
            f'pip install "napari-unet[{extra}]"'
        )


def write_model_file(
    network: PortableNetwork, path: Path, kind: str, facts: Mapping[str, Any]
) -> None:
    """Write a network to one file, all or nothing.

    Parameters
    ----------
    network
        What to write, on the CPU.
    path
        File to make or replace.
    kind
        ``"onnx"``, ``"torch"`` (torch.export) or ``"safetensors"``.
    facts
        JSON values that go into the file; beside it too for plain tensors.

    Raises
    ------
    ConfigError
        If an extra is missing.
    FileError
        If it cannot be written, or another program's file lies where the facts beside
        plain tensors go.
    """
    write = {"onnx": _onnx, "torch": _torch, "safetensors": _safetensors}[kind]
    write(network, path, json.dumps(facts, indent=2))


def _onnx(network: PortableNetwork, path: Path, facts: str) -> None:
    require("onnx", "onnx", "onnxscript")
    with _calm():
        program = torch.onnx.export(
            _exported(network),
            (),
            dynamo=True,
            opset_version=OPSET,
            input_names=[IMAGE],
            output_names=[PROBABILITIES],
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props[_FACTS] = facts
    with replace_file(path) as temporary:
        program.save(temporary, external_data=False)


def _torch(network: PortableNetwork, path: Path, facts: str) -> None:
    with _calm():
        program = _exported(network)
    with replace_file(path) as temporary:
        torch.export.save(program, temporary, extra_files={_FACTS: facts})


def _safetensors(network: PortableNetwork, path: Path, facts: str) -> None:
    from safetensors.torch import save

    tensors = {k: t.contiguous() for k, t in network.state_dict().items()}
    content = save(tensors, metadata={"description": facts})
    beside = os.path.splitext(path)[0] + ".json"
    _check_ours(beside)
    with replace_file(path) as temporary, replace_file(beside) as second:
        temporary.write_bytes(content)
        second.write_text(facts, encoding="utf-8")


def _check_ours(beside: str) -> None:
    """Refuse to replace a file that somebody else's program wrote."""
    if not os.path.exists(beside):
        return
    with suppress(OSError), open(beside, "rb") as file:
        if re.match(rb'\{\s*"program": "napari-unet', file.read(64)):
            return
    raise FileError(
        f"{beside} is there already, and not of a model: what is known of the tensors "
        "would replace it; choose another name"
    )


def _exported(network: PortableNetwork) -> torch.export.ExportedProgram:
    """Trace a network with free sizes of the batch and along all axes."""
    free = torch.export.Dim.DYNAMIC
    # no two alike, and nothing that a grid divides: torch would take it for a rule
    size = (2, network.unet.config.in_channels, *(5, 70, 90)[-network.ndim :])
    sizes = {axis: free for axis in range(len(size)) if axis != 1}
    return torch.export.export(network, (torch.zeros(size),), dynamic_shapes=(sizes,))


@contextmanager
def _calm() -> Iterator[None]:
    """Keep torch's exporter from telling users about its own insides."""
    # not catch_warnings, which is of the whole process and would undo others' filters
    warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
    loggers = [
        logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
