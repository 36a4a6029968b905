"""A learner on disk: one safetensors file with every candidate and the choice."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from napari_unet.annotation.annotations import MAX_VALUE
from napari_unet.config import SCHEMA_VERSION, LearnerConfig, UNetConfig
from napari_unet.core._weights import unet_from_tensors
from napari_unet.core.arrays import check_axes
from napari_unet.core.checkpoint import load_tensors, save_tensors
from napari_unet.core.head import RidgeHead
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError
from napari_unet.inference.filters import count_filters
from napari_unet.jobs import Score
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import ORDER
from napari_unet.learning.model import Model
from napari_unet.learning.scoring import Tuned, Verdict
from napari_unet.learning.state import LearnedFrom, State

__all__ = ["Header", "Parts", "read_learner", "restore", "save_learner"]

ClassValue = Annotated[int, Field(ge=1, le=MAX_VALUE)]
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


def save_learner(
    state: State,
    class_names: dict[int, str],
    axes: str | None,
    path: str | os.PathLike[str],
) -> None:
    """Write a model and its history; an older file stays if this fails."""
    model = state.model
    assert model is not None
    tensors: dict[str, Any] = {
        "head.weights": model.head.weights,
        "head.bias": model.head.bias,
        **_prefixed("start", model.start.unet.state_dict()),
        **_prefixed("forest", model.forest.to_arrays()),
    }
    tuned = model.tuned.network.unet if model.tuned else None
    if tuned is not None:
        tensors |= _prefixed("tuned", tuned.state_dict())
    header = {
        "schema_version": SCHEMA_VERSION,
        "kind": "learner",
        "config": state.config.model_dump(mode="json"),
        "class_names": {str(value): name for value, name in class_names.items()},
        "axes": axes,
        "values": list(model.values),
        "n_levels": model.n_levels,
        "chosen": model.chosen,
        "temperature": model.head.temperature,
        "start": model.start.unet.config.model_dump(mode="json"),
        "tuned": tuned.config.model_dump(mode="json") if tuned else None,
        "outputs": list(model.tuned.outputs) if model.tuned else [],
        **_history(state),
    }
    save_tensors(path, tensors, header)


def _history(state: State) -> dict[str, Any]:
    """Return how the model came to be."""
    scores = state.verdict.scores
    return {
        "is_pretrained": state.is_pretrained,
        "scores": {name: asdict(score) for name, score in scores.items()},
        "reason": state.verdict.reason,
        "step": state.n_steps,
        "seconds": round(state.seconds, 1),
        "n_px": state.learned_from.n_px,
        "n_strokes": state.learned_from.n_strokes,
        "folds": state.folds,
    }


def restore(state: State, header: Header, parts: Parts) -> None:
    """Put a model that was read, and its history, into an empty state."""
    state.model = parts.to(state.device, state.cache)
    state.start, state.tuned = state.model.start, state.model.tuned
    state.is_pretrained = header.is_pretrained
    state.verdict = Verdict(dict(header.scores), header.chosen, header.reason)
    state.first_step, state.seconds = header.step, header.seconds
    state.learned_from = LearnedFrom(header.n_px, header.n_strokes)
    state.remembered_folds = dict(header.folds)


class Header(BaseModel):
    """What a learner's file says beside its tensors, as far as reading needs it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    config: LearnerConfig
    class_names: dict[int, str]
    axes: str | None
    is_pretrained: bool
    values: Annotated[tuple[ClassValue, ...], Field(min_length=2)]
    n_levels: Annotated[int, Field(ge=1)]
    chosen: str
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    start: UNetConfig
    tuned: UNetConfig | None
    outputs: tuple[ClassValue, ...]
    scores: dict[str, Score]
    reason: str
    step: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    n_px: Annotated[int, Field(ge=0)]
    n_strokes: Annotated[int, Field(ge=0)]
    folds: dict[str, Annotated[int, Field(ge=0)]]

    @model_validator(mode="after")
    def _fits_together(self) -> Header:
        """Check what no single entry can tell."""
        for name, config in (("start", self.start), ("tuned", self.tuned)):
            if config is None:
                continue
            wanted = self.config.unet_config(self.start.in_channels, config.n_classes)
            if config != wanted:
                raise ValueError(f"the network '{name}' is not as the settings say")
        if len(set(self.values)) != len(self.values):
            raise ValueError("a class occurs twice")
        n_outputs = self.tuned.n_classes if self.tuned else 0
        if not len(set(self.outputs)) == len(self.outputs) == n_outputs:
            raise ValueError("the network's outputs are not its classes")
        if self.chosen not in ORDER:
            raise ValueError("there is no candidate of the chosen name")
        if "fine-tuned" in self.chosen and not set(self.values) <= set(self.outputs):
            raise ValueError("the chosen candidate does not know all classes")
        if self.n_levels > self.config.depth + 1:
            raise ValueError("the network has fewer levels")
        if self.axes is not None:
            check_axes(self.axes)
        return self


def read_learner(path: str | os.PathLike[str]) -> tuple[Header, Parts]:
    """Read a learner, checking each part of it.

    Raises
    ------
    FileError, CheckpointError
        If the file cannot be read, is no learner, or does not fit together.
    """
    arrays, described = load_tensors(path)
    if described.get("kind") != "learner":
        raise CheckpointError(
            f"'{path}' holds a {described.get('kind')!r}, not a learner: open bare "
            "networks with napari_unet.load_model"
        )
    try:
        header = Header.model_validate_json(json.dumps(described))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "header"
        raise CheckpointError(
            f"the model file '{path}' is damaged or not from this program ({where}: "
            f"{first['msg']}): train and save again"
        ) from error
    return header, _parts(arrays, header, path)


def _parts(arrays: Arrays, header: Header, path: str | os.PathLike[str]) -> Parts:
    start = unet_from_tensors(header.start, _part(arrays, "start"), path)
    tuned = None
    if header.tuned is not None:
        tuned = unet_from_tensors(header.tuned, _part(arrays, "tuned"), path)
    forest = Forest.from_arrays(_part(arrays, "forest"))
    n_channels, n_classes = header.start.in_channels, len(header.values)
    n_features = sum(header.start.channels[: header.n_levels]) + n_channels
    weights, bias = (_floats(arrays.get(f"head.{n}")) for n in ("weights", "bias"))
    if (
        weights.shape != (n_features, n_classes)
        or bias.shape != (n_classes,)
        or not (np.isfinite(weights).all() and np.isfinite(bias).all())
        or forest.n_classes != n_classes
        or forest.n_features != count_filters(n_channels)
    ):
        raise CheckpointError(
            f"the model file '{path}' is damaged: its head or forest does not fit its "
            "network and classes; train and save again"
        )
    return Parts(
        values=header.values,
        n_levels=header.n_levels,
        start=start,
        tuned=tuned,
        outputs=header.outputs,
        head=RidgeHead(weights, bias, header.temperature),
        forest=forest,
        chosen=header.chosen,
    )


def _floats(array: NDArray[Any] | None) -> NDArray[np.float32]:
    """Return an array as the head has it; an empty one for what is no such array."""
    if array is None or array.dtype.kind != "f":
        return np.empty(0, np.float32)
    return array.astype(np.float32)


def _frozen(unet: UNet, device: torch.device) -> UNet:
    unet = unet.to(device).eval().requires_grad_(False)
    return unet.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def _part(arrays: Arrays, prefix: str) -> Arrays:
    start = f"{prefix}."
    return {n[len(start) :]: a for n, a in arrays.items() if n.startswith(start)}


def _prefixed(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}
