"""Whether an exported file gives what it should, when another program runs it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.errors import CheckpointError
from napari_unet.export.model import ExportedModel
from napari_unet.export.model_files import IMAGE, require

__all__ = ["ModelCheck", "check_model"]

TOLERANCE = 1e-4
"""Probabilities may differ by so much: a hundred times what was seen."""


@dataclass(frozen=True)
class ModelCheck:
    """What a check saw.

    Attributes
    ----------
    is_right
        Whether it may be used.
    max_difference
        Largest difference of a probability, over all sizes that were tried.
    shapes
        What was tried.
    report
        What the package's validator said; '' for other formats.
    """

    is_right: bool
    max_difference: float
    shapes: tuple[tuple[int, ...], ...]
    report: str = ""


def check_model(exported: ExportedModel) -> ModelCheck:
    """Run a file that was written on its sample and on parts of odd sizes.

    ONNX by onnxruntime, torch.export by torch, tensors by a network made from them; a
    package is validated besides.

    Raises
    ------
    ConfigError
        If an extra is missing.
    CheckpointError
        If the file cannot be run at all.
    """
    report, is_valid = "", True
    if exported.format == "bioimageio":
        from napari_unet.export.bioimageio import validation_of

        is_valid, report = validation_of(exported.path)
    run = _runner(exported)
    differences, shapes = [], []
    for image in _cuts(exported.sample):
        with torch.inference_mode():
            wanted = exported.network(torch.from_numpy(image)).numpy()
        found = run(image)
        if found.shape != wanted.shape:
            raise CheckpointError(
                f"{exported.path} gives the shape {found.shape} for an image of "
                f"{image.shape}, not {wanted.shape}"
            )
        differences.append(float(np.abs(found - wanted).max()))
        shapes.append(image.shape)
    largest = max(differences)
    return ModelCheck(is_valid and largest <= TOLERANCE, largest, tuple(shapes), report)


def _cuts(sample: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the sample, an odd part of it that is not square, and two of a batch."""
    height, width = sample.shape[-2:]
    odd = sample[..., : max(height // 2 - 1, 2), : max(width // 3, 2)]
    return [sample, odd, np.concatenate([odd, odd[..., ::-1]])]


def _runner(exported: ExportedModel) -> Callable[[NDArray[np.float32]], NDArray[Any]]:
    """Return what runs the file as others would."""
    if exported.format == "torch":
        program = torch.export.load(exported.path).module()
        return lambda image: program(torch.from_numpy(image)).numpy()
    if exported.format == "safetensors":
        from safetensors.torch import load_file

        network = deepcopy(exported.network)
        network.load_state_dict(load_file(exported.path))
        return lambda image: network(torch.from_numpy(image)).numpy()
    require("onnx", "onnxruntime")
    import onnxruntime

    if exported.format == "onnx":
        content = exported.path.read_bytes()
    else:
        with zipfile.ZipFile(exported.path) as package:
            content = package.read("weights.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )

    def run(image: NDArray[np.float32]) -> NDArray[Any]:
        found: NDArray[Any] = session.run(None, {IMAGE: image})[0]
        return found

    return run
