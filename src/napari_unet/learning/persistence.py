"""A learner on disk: one safetensors file with every candidate and the choice."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
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
from napari_unet.core.head import HeadPrior, RidgeHead
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError
from napari_unet.inference.filters import count_filters
from napari_unet.jobs import Score
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import ORDER
from napari_unet.learning.instant import HeadChoice
from napari_unet.learning.model import Model
from napari_unet.learning.scoring import Tuned, Verdict
from napari_unet.learning.state import State
from napari_unet.learning.status import LearnedFrom
from napari_unet.learning.trained_head import TrainedHead
from napari_unet.learning.trainer_state import part_of
from napari_unet.learning.training_file import (
    TrainingFacts,
    TrainingParts,
    read_training,
    training_of,
)

__all__ = ["Header", "Parts", "read_learner", "restore", "save_learner"]

ClassValue = Annotated[int, Field(ge=1, le=MAX_VALUE)]
Finite = Annotated[float, Field(ge=-50, le=50, allow_inf_nan=False)]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Parts:
    """A model as read from disk, on the CPU."""

    values: tuple[int, ...]
    start: Network
    head: RidgeHead
    tuned: Network | None
    tuned_head: RidgeHead | None
    is_head_trained: bool
    forest: Forest
    chosen: str
    training: TrainingParts | None = None

    def to(self, device: torch.device, cache: FeatureCache) -> Model:
        """Return the model on a device."""
        tuned = None
        if self.tuned is not None:
            network = self.tuned.with_weights(_frozen(self.tuned.unet, device))
            tuned = Tuned(network, self.tuned_head)
            if self.is_head_trained and self.tuned_head is not None:
                trained = TrainedHead(self.values, self.tuned_head)
                tuned = replace(tuned, trained=trained)
        return Model(
            values=self.values,
            start=self.start.with_weights(_frozen(self.start.unet, device)),
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
    with_training: bool = False,
) -> None:
    """Write a model and its history; an older file stays if this fails.

    ``with_training`` adds what its training needs to go on exactly.
    """
    model = state.model
    assert model is not None
    assert model.forest is not None
    prior, tuned = model.start.prior, model.tuned
    tensors: dict[str, Any] = {
        "head.weights": model.head.weights,
        "head.bias": model.head.bias,
        **_prefixed("start", model.start.unet.state_dict()),
        **_prefixed("forest", model.forest.to_arrays()),
    }
    temperatures = [model.head.temperature]
    if prior is not None:
        tensors["prior.scales"] = prior.scales
    if tuned is not None:
        assert tuned.head is not None
        tensors["tuned_head.weights"] = tuned.head.weights
        tensors["tuned_head.bias"] = tuned.head.bias
        tensors |= _prefixed("tuned", tuned.network.unet.state_dict())
        temperatures.append(tuned.head.temperature)
    trained = tuned.trained if tuned is not None else None
    is_trained = trained is not None and trained.values == model.values
    header = {
        "schema_version": SCHEMA_VERSION,
        "kind": "learner",
        "config": state.config.model_dump(mode="json"),
        "class_names": {str(value): name for value, name in class_names.items()},
        "axes": axes,
        "values": list(model.values),
        "n_levels": model.start.n_levels,
        "n_scales": model.start.n_scales,
        "head_n_scales": min(state.choice.n_scales, model.start.n_scales),
        "tuned_n_scales": tuned.network.n_scales if tuned else None,
        "is_tuned_head_trained": is_trained,
        "ridge_factor": state.choice.factor,
        "chosen": model.chosen,
        "temperatures": temperatures,
        "start": model.start.unet.config.model_dump(mode="json"),
        "tuned_network": tuned.network.unet.config.model_dump(mode="json")
        if tuned
        else None,
        "prior": prior.facts() if prior else None,
        **_history(state),
    }
    if with_training:
        arrays, header["training"] = training_of(state)
        tensors |= _prefixed("training", arrays)
    save_tensors(path, tensors, header)


def _history(state: State) -> dict[str, Any]:
    """Return how the model came to be."""
    scores = state.verdict.scores
    return {
        "is_pretrained": state.is_pretrained,
        "scores": {name: asdict(score) for name, score in scores.items()},
        "reason": state.verdict.reason,
        "reach_px": state.reach_px,
        "step": state.n_steps,
        "seconds": round(state.seconds, 1),
        **asdict(state.learned_from),
        "folds": state.folds,
    }


def restore(state: State, header: Header, parts: Parts) -> None:
    """Put a model that was read, and its history, into an empty state."""
    state.model = parts.to(state.device, state.cache)
    state.start, state.tuned = state.model.start, state.model.tuned
    state.is_pretrained = header.is_pretrained
    choice = HeadChoice(header.ridge_factor, header.head_n_scales)
    state.verdict = Verdict(dict(header.scores), header.chosen, header.reason, choice)
    # set, but not fitted to before it was saved
    state.has_new_scales = state.config.instant.n_scales not in (None, header.n_scales)
    state.first_step, state.seconds = header.step, header.seconds
    state.loaded_smallest_px = header.smallest_object_px
    state.learned_from = LearnedFrom(
        header.n_px, header.n_strokes, header.n_objects, header.smallest_object_px
    )
    state.remembered_folds = dict(header.folds)
    if parts.training is not None:
        parts.training.put_into(state)


class PriorFacts(BaseModel):
    """A `HeadPrior` without its array."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    sizes: tuple[Annotated[int, Field(ge=1, le=100_000)], ...]
    n_levels: Annotated[int, Field(ge=1)]
    strength: Annotated[tuple[Finite, Finite], Field()]
    temperature: Annotated[tuple[Finite, Finite], Field()]

    @model_validator(mode="after")
    def _fits_together(self) -> PriorFacts:
        n_maps = len(self.sizes) - 1
        if n_maps < 1 or n_maps % self.n_levels:
            raise ValueError("the prior has maps of no whole scale")
        return self


class Header(BaseModel):
    """What a learner's file says beside its tensors, as far as reading needs it."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    config: LearnerConfig
    class_names: dict[int, str]
    axes: str | None
    is_pretrained: bool
    values: Annotated[tuple[ClassValue, ...], Field(min_length=2)]
    n_levels: Annotated[int, Field(ge=1)]
    # computed, seen by the instant head, and by the fine-tuned one where there is one
    n_scales: Annotated[int, Field(ge=1, le=4)]
    head_n_scales: Annotated[int, Field(ge=1)]
    tuned_n_scales: Annotated[int, Field(ge=1)] | None
    # trained with its network, not fitted; older files do not say it, and have none
    is_tuned_head_trained: bool = False
    ridge_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    chosen: str
    # of the instant head, and of the fine-tuned one where there is one
    temperatures: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        Field(min_length=1, max_length=2),
    ]
    start: UNetConfig
    # older files do not say it: it is like the start
    tuned_network: UNetConfig | None = None
    prior: PriorFacts | None
    scores: dict[str, Score]
    reason: str
    step: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    n_px: Annotated[int, Field(ge=0)]
    n_strokes: Annotated[int, Field(ge=0)]
    n_objects: Annotated[int, Field(ge=0)] = 0
    # older files do not say it
    smallest_object_px: Annotated[int, Field(ge=0)] | None = None
    folds: dict[str, Annotated[int, Field(ge=0)]]
    # only in files that were saved with their training
    training: TrainingFacts | None = None

    @property
    def has_tuned(self) -> bool:
        """Whether there is a fine-tuned network."""
        return len(self.temperatures) == 2

    @model_validator(mode="after")
    def _fits_together(self) -> Header:
        """Check what no single entry can tell."""
        wanted = self.config.unet_config(self.start.in_channels, self.start.n_classes)
        if self.start != wanted:
            raise ValueError("the network is not as the settings say")
        trained = self.tuned_network or self.start
        if self.has_tuned and not self.config.may_be_trained(self.start, trained):
            raise ValueError("the trained network is not as the settings say")
        if len(set(self.values)) != len(self.values):
            raise ValueError("a class occurs twice")
        if self.chosen not in ORDER:
            raise ValueError("there is no candidate of the chosen name")
        if "fine-tuned" in self.chosen and not self.has_tuned:
            raise ValueError("the chosen candidate is missing")
        if max(self.head_n_scales, self.tuned_n_scales or 0) > self.n_scales:
            raise ValueError("a head sees more scales than there are")
        if (self.tuned_n_scales is not None) != self.has_tuned:
            raise ValueError("the fine-tuned head's scales do not fit")
        if self.n_levels > self.config.depth + 1:
            raise ValueError("the network has fewer levels")
        if self.prior is not None:
            maps, n_levels = self.prior.sizes[:-1], self.prior.n_levels
            if maps != self.start.channels[:n_levels] * (len(maps) // n_levels):
                raise ValueError("the prior is of another network")
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
    config = header.start
    unet = unet_from_tensors(config, part_of(arrays, "start"), path)
    prior = _prior(arrays, header, path)
    start = Network(unet, header.n_levels, header.n_scales, prior)
    heads = [_head(arrays, "head", start, header, header.temperatures[0], path)]
    tuned = None
    if header.tuned_n_scales is not None:
        tuned = start.at_scales(header.tuned_n_scales).with_weights(
            unet_from_tensors(
                header.tuned_network or config, part_of(arrays, "tuned"), path
            )
        )
        heads.append(
            _head(arrays, "tuned_head", tuned, header, header.temperatures[1], path)
        )
    forest = Forest.from_arrays(part_of(arrays, "forest"))
    if (forest.n_classes, forest.n_features) != (
        len(header.values),
        count_filters(config.in_channels),
    ):
        raise _misfit(path, "forest")
    mine, facts = part_of(arrays, "training"), header.training
    training = None
    if facts is not None:
        training = read_training(mine, facts, header.values, start, header.config, path)
    return Parts(
        values=header.values,
        start=start,
        head=heads[0],
        tuned=tuned,
        tuned_head=heads[1] if tuned else None,
        is_head_trained=header.is_tuned_head_trained,
        forest=forest,
        chosen=header.chosen,
        training=training,
    )


def _head(
    arrays: Arrays,
    name: str,
    network: Network,
    header: Header,
    temperature: float,
    path: str | os.PathLike[str],
) -> RidgeHead:
    n_classes = len(header.values)
    weights, bias = (_floats(arrays.get(f"{name}.{n}")) for n in ("weights", "bias"))
    if (
        weights.shape != (network.n_features, n_classes)
        or bias.shape != (n_classes,)
        or not (np.isfinite(weights).all() and np.isfinite(bias).all())
    ):
        raise _misfit(path, "head")
    return RidgeHead(weights, bias, temperature)


def _prior(
    arrays: Arrays, header: Header, path: str | os.PathLike[str]
) -> HeadPrior | None:
    facts = header.prior
    if facts is None:
        return None
    scales = _floats(arrays.get("prior.scales"))
    if (
        scales.shape != (sum(facts.sizes),)
        or not (np.isfinite(scales) & (scales > 0)).all()
    ):
        raise _misfit(path, "prior")
    return HeadPrior(scales, **facts.model_dump())


def _misfit(path: str | os.PathLike[str], name: str) -> CheckpointError:
    return CheckpointError(
        f"the model file '{path}' is damaged: its {name} does not fit its network and "
        "classes; train and save again"
    )


def _floats(array: NDArray[Any] | None) -> NDArray[np.float32]:
    """Return an array as the head has it; an empty one for what is no such array."""
    if array is None or array.dtype.kind != "f":
        return np.empty(0, np.float32)
    return array.astype(np.float32)


def _frozen(unet: UNet, device: torch.device) -> UNet:
    unet = unet.to(device).eval().requires_grad_(False)
    return unet.to(memory_format=unet.memory_format)  # type: ignore[no-any-return, call-overload]


def _prefixed(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": array for name, array in arrays.items()}
