"""A learner on disk: one safetensors file with every candidate and the choice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_unet.config import SCHEMA_VERSION, LearnerConfig, UNetConfig
from napari_unet.core._weights import unet_from_tensors
from napari_unet.core.checkpoint import load_tensors, save_tensors
from napari_unet.core.head import RidgeHead
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import ORDER
from napari_unet.learning.model import Model
from napari_unet.learning.scoring import Tuned

__all__ = ["Parts", "read_learner", "save_learner"]

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Parts:
    """A model as read from disk, on the CPU."""

    values: tuple[int, ...]
    n_levels: int
    start: UNet
    tuned: UNet | None
    outputs: tuple[int, ...]
    head: RidgeHead
    forest: Forest
    chosen: str

    def to(self, device: torch.device, cache: FeatureCache) -> Model:
        """Return the model on a device."""
        tuned = None
        if self.tuned is not None:
            tuned = Tuned(Network(_frozen(self.tuned, device)), self.outputs)
        return Model(
            values=self.values,
            n_levels=self.n_levels,
            start=Network(_frozen(self.start, device)),
            head=self.head,
            forest=self.forest,
            tuned=tuned,
            chosen=self.chosen,
            cache=cache,
        )


def save_learner(model: Model, header: dict[str, Any], path: str | Path) -> None:
    """Write a model and what is said of it; an older file stays if this fails."""
    tensors: dict[str, Any] = {
        "head.weights": model.head.weights,
        "head.bias": model.head.bias,
        **_prefixed("start", model.start.unet.state_dict()),
        **_prefixed("forest", model.forest.to_arrays()),
    }
    if model.tuned is not None:
        tensors |= _prefixed("tuned", model.tuned.network.unet.state_dict())
    described = {
        "schema_version": SCHEMA_VERSION,
        "kind": "learner",
        **header,
        "values": list(model.values),
        "n_levels": model.n_levels,
        "chosen": model.chosen,
        "temperature": model.head.temperature,
        "start": model.start.unet.config.model_dump(mode="json"),
        "tuned": model.tuned
        and model.tuned.network.unet.config.model_dump(mode="json"),
        "outputs": list(model.tuned.outputs) if model.tuned else [],
    }
    save_tensors(path, tensors, described)


def read_learner(path: str | Path) -> tuple[LearnerConfig, Parts, dict[str, Any]]:
    """Read a learner's settings, parts and header, checking each.

    Raises
    ------
    FileError, CheckpointError
        If the file cannot be read, is no learner, or does not fit together.
    """
    arrays, header = load_tensors(path)
    if header.get("kind") != "learner":
        raise CheckpointError(
            f"'{path}' holds a {header.get('kind')!r}, not a learner: open bare "
            "networks with napari_unet.load_model"
        )
    try:
        config = LearnerConfig.model_validate(header["config"])
        parts = _parts(arrays, header, path)
        _check_header(header)
    except (KeyError, TypeError, ValueError, IndexError, ValidationError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"the model file '{path}' is damaged or not from this program "
            f"({error!r:.120}): train and save again"
        ) from error
    return config, parts, header


def _check_header(header: dict[str, Any]) -> None:
    for value in dict(header["class_names"]):
        int(value)
    if header["axes"] is not None and not set(header["axes"]) <= set("TCZYX"):
        raise ValueError(f"axes {header['axes']!r}")
    bool(header["is_pretrained"])


def _parts(arrays: Arrays, header: dict[str, Any], path: str | Path) -> Parts:
    values = tuple(int(v) for v in header["values"])
    outputs = tuple(int(v) for v in header["outputs"])
    start = _network(header["start"], _part(arrays, "start"), path)
    tuned = None
    if header["tuned"]:
        tuned = _network(header["tuned"], _part(arrays, "tuned"), path)
        if len(outputs) != tuned.config.n_classes or len(set(outputs)) != len(outputs):
            raise CheckpointError(
                "the model file's network and its classes do not fit together"
            )
    head = RidgeHead(
        np.asarray(arrays["head.weights"], np.float32),
        np.asarray(arrays["head.bias"], np.float32),
        float(header["temperature"]),
    )
    n_levels, chosen = int(header["n_levels"]), str(header["chosen"])
    config = start.config
    n_features = sum(config.channels[:n_levels]) + config.in_channels
    forest = Forest.from_arrays(_part(arrays, "forest"))
    needs_tuned = "fine-tuned" in chosen
    fits = (
        len(values) >= 2
        and all(0 < value < 65_536 for value in (*values, *outputs))
        and head.weights.shape == (n_features, len(values))
        and head.bias.shape == (len(values),)
        and 1 <= n_levels <= config.depth + 1
        and forest.n_classes == len(values)
        and chosen in ORDER
        and (not needs_tuned or set(values) <= set(outputs))
        and (tuned is None or tuned.config.in_channels == config.in_channels)
    )
    if not fits:
        raise CheckpointError("the parts of the model file do not fit together")
    return Parts(values, n_levels, start, tuned, outputs, head, forest, chosen)


def _network(config: dict[str, Any], arrays: Arrays, path: str | Path) -> UNet:
    return unet_from_tensors(UNetConfig.model_validate(config), arrays, path)


def _frozen(unet: UNet, device: torch.device) -> UNet:
    unet = unet.to(device).eval().requires_grad_(False)
    return unet.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def _part(arrays: Arrays, prefix: str) -> Arrays:
    start = f"{prefix}."
    return {n[len(start) :]: a for n, a in arrays.items() if n.startswith(start)}


def _prefixed(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}
