"""The part of a learner's file with which training goes on exactly: `training.`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from napari_unet.annotation.strokes import MAX_CLASSES
from napari_unet.config import LearnerConfig
from napari_unet.core._weights import unet_from_tensors
from napari_unet.core.head import RidgeHead
from napari_unet.errors import CheckpointError
from napari_unet.learning.candidates import Network
from napari_unet.learning.instant import CrossValidation, HeadChoice
from napari_unet.learning.model import Model
from napari_unet.learning.resumption import ImageFacts, Resumption, Taken
from napari_unet.learning.scoring import Verdict
from napari_unet.learning.state import State
from napari_unet.learning.trainer_state import (
    Facts,
    TrainerFacts,
    TrainerState,
    part_of,
)
from napari_unet.learning.training import Trainer

__all__ = ["TrainingFacts", "TrainingParts", "read_training", "training_of"]

Arrays = dict[str, NDArray[Any]]
_LEFT_OUT = (
    "The network in training held numbers that are not finite, and is not in the file: "
    "training begins anew. Lower the learning rate if it happens again."
)
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class AnnotationFacts(Facts):
    """The annotation that the model is fitted to, and how the head was fitted to it.

    ``temperatures`` are those of the heads that the trainer took with it; None where it
    was to take it yet.
    """

    images: Annotated[tuple[ImageFacts, ...], Field(min_length=1)]
    ridge_factor: _Positive
    n_scales: Annotated[int, Field(ge=1, le=4)]
    temperatures: tuple[_Positive, _Positive] | None


class TrainingFacts(Facts):
    """What the header says of a training; both parts may be missing.

    There is no trainer before the first step or where it holds numbers that are not
    finite, and no annotation where strokes were erased after it was fitted to.
    """

    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    first_step: Annotated[int, Field(ge=0, lt=2**53)]
    max_tile_px: Annotated[int, Field(ge=1)]
    trainer: TrainerFacts | None
    annotation: AnnotationFacts | None
    # for want of finite numbers; older files do not say it
    is_trainer_left_out: bool = False


def training_of(state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors and the header of a training, to be written at once."""
    tensors: dict[str, Any] = {}
    # other scales, set but not fitted to: what was trained is forgotten then
    trainer = None if state.has_new_scales else state.trainer
    known = None if trainer is None else trainer.state()
    is_left_out = known is not None and not _is_finite(known.tensors)
    if is_left_out:  # or the file would be refused, with a model that is sound
        known = None
    if known is not None:
        tensors |= {f"trainer.{name}": t for name, t in known.tensors.items()}
    annotation = None
    if state.judged_version == state.annotations.version:
        is_taken = trainer is not None and trainer.version == state.judged_version
        heads = known.heads if known is not None and is_taken else None
        annotation = _describe(state, heads)
        tensors |= _of_annotation(state, heads)
    facts = TrainingFacts(
        seconds=state.seconds,
        first_step=state.first_step,
        max_tile_px=state.tiles.max_px,
        trainer=None if known is None else known.facts,
        annotation=annotation,
        is_trainer_left_out=is_left_out,
    )
    return tensors, facts.model_dump(mode="json")


def _is_finite(tensors: Mapping[str, torch.Tensor]) -> bool:
    return all(
        bool(tensor.isfinite().all())
        for tensor in tensors.values()
        if tensor.is_floating_point()
    )


def _describe(
    state: State, heads: tuple[RidgeHead, RidgeHead] | None
) -> AnnotationFacts:
    return AnnotationFacts(
        images=tuple(map(ImageFacts.of, state.annotations.images)),
        ridge_factor=state.choice.factor,
        n_scales=state.choice.n_scales,
        temperatures=heads and (heads[0].temperature, heads[1].temperature),
    )


def _of_annotation(
    state: State, heads: tuple[RidgeHead, RidgeHead] | None
) -> dict[str, NDArray[Any]]:
    """Return folds, the gate's probabilities, and the heads that the trainer took."""
    folds = [stroke.fold for _, stroke in state.annotations.strokes]
    arrays: Arrays = {"folds": np.array(folds, np.int32)}
    verdict = state.verdict
    if (found := verdict.validation) is not None:
        arrays["gate.mask"] = found.mask
        arrays |= {"gate.instant": found.head, "gate.forest": found.forest}
        if verdict.tuned_at_samples is not None:
            arrays["gate.tuned"] = verdict.tuned_at_samples
    for name, head in zip(("taken", "teacher"), heads or (), strict=False):
        arrays |= {f"{name}.weights": head.weights, f"{name}.bias": head.bias}
    return arrays


@dataclass(frozen=True, eq=False)
class TrainingParts:
    """A training as read from disk, on the CPU."""

    facts: TrainingFacts
    network: Network | None
    trainer: TrainerState | None
    folds: NDArray[np.intp]
    validation: CrossValidation | None
    tuned_at_samples: NDArray[np.float32] | None
    taken: Taken | None
    path: str | os.PathLike[str]

    def put_into(self, state: State) -> None:
        """Let a state that got this file's model go on with its training.

        Raises
        ------
        CheckpointError
            If the training does not fit its network.
        OutOfMemoryError
            If it does not fit into the device's memory.
        """
        facts = self.facts
        state.seconds = facts.seconds
        state.tiles.max_px = min(facts.max_tile_px, state.tiles.max_px)
        if self.trainer is not None:
            state.trainer = state.within_memory(lambda: self._make_trainer(state))
            state.first_step = facts.first_step
        if facts.is_trainer_left_out:
            state.tell(_LEFT_OUT)
        if facts.annotation is not None and not state.has_new_scales:
            assert state.model is not None
            state.resumption = Resumption(
                facts.annotation.images,
                self.folds,
                state.model,
                self._verdict(state.verdict, state.model, facts.annotation),
                self.taken,
            )

    def _make_trainer(self, state: State) -> Trainer:
        assert self.network is not None
        assert self.trainer is not None
        assert state.start is not None
        unet = self.network.unet.to(state.device).requires_grad_(False)
        network = self.network.with_weights(unet)
        teacher = state.start.at_scales(network.n_scales)
        trainer = Trainer(
            network,
            teacher if state.is_pretrained else None,
            state.config,
            self.trainer.facts.learning_rate,
            state.device,
        )
        with _naming(self.path):
            trainer.restore(self.trainer)
        return trainer

    def _verdict(
        self, verdict: Verdict, model: Model, facts: AnnotationFacts
    ) -> Verdict:
        return replace(
            verdict,
            choice=HeadChoice(facts.ridge_factor, facts.n_scales),
            validation=self.validation,
            tuned_at_samples=self.tuned_at_samples if model.tuned else None,
        )


def read_training(
    arrays: Arrays,
    facts: TrainingFacts,
    values: tuple[int, ...],
    start: Network,
    config: LearnerConfig,
    path: str | os.PathLike[str],
) -> TrainingParts:
    """Return the training in a file, all parts of it checked but the trainer's tensors.

    Parameters
    ----------
    arrays
        The file's tensors below ``training.``.
    facts
        What its header says of them.
    values, start, config
        The model's classes, its start network, on the CPU, and its settings.
    path
        Of the file, for messages.

    Raises
    ------
    CheckpointError
        If a part is missing, or does not fit the others.
    """
    network = trainer = taken = None
    with _naming(path):
        if facts.trainer is not None:
            network = _network(arrays, facts.trainer, start, config, path)
            tensors = _tensors(part_of(arrays, "trainer"))
            trainer = TrainerState(facts.trainer, tensors)
        folds, validation, tuned = np.empty(0, np.intp), None, None
        if facts.annotation is not None:
            if facts.annotation.n_scales > start.n_scales:
                raise ValueError("the head sees more scales than there are")
            folds = _folds(arrays, facts.annotation, config.instant.n_folds)
            validation, tuned = _gate(arrays, facts.annotation, len(values))
            if facts.annotation.temperatures is not None:
                taken = _taken(arrays, facts, network, values)
    return TrainingParts(facts, network, trainer, folds, validation, tuned, taken, path)


def _network(
    arrays: Arrays,
    facts: TrainerFacts,
    start: Network,
    config: LearnerConfig,
    path: str | os.PathLike[str],
) -> Network:
    """Return the network that the trainer is made for, with its newest weights."""
    fine_tune, wanted = config.fine_tune, facts.network
    if not config.may_be_trained(start.unet.config, wanted):
        raise ValueError("the network in training is not as the settings say")
    if facts.n_scales > start.n_scales:
        raise ValueError("the network in training sees more scales than there are")
    if facts.patch_px > fine_tune.patch_px:
        raise ValueError("the patches are larger than the settings say")
    # halved by a lack of memory, it is that of classes that may be erased since
    n_classes = MAX_CLASSES if facts.is_short_of_memory else len(facts.values)
    if facts.batch_size > max(fine_tune.batch_size, n_classes):
        raise ValueError("the batch is larger than the settings say")
    weights = part_of(arrays, "trainer.unet")
    if config.recipe == "paper":  # whose last layer has as many outputs as classes
        own = part_of(start.unet.state_dict(), "head")
        weights |= {f"head.{name}": tensor.numpy() for name, tensor in own.items()}
    unet = unet_from_tensors(wanted, weights, path)
    return start.at_scales(facts.n_scales).with_weights(unet)


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    """Return a trainer's arrays as tensors."""
    tensors = {}
    for name, array in arrays.items():
        if array.dtype.kind == "f":
            array = _floats(array)
        elif array.dtype != np.uint8:
            raise ValueError(f"{name!r:.60} is {array.dtype}")
        tensors[name] = torch.from_numpy(array)
    return tensors


def _folds(arrays: Arrays, facts: AnnotationFacts, n_folds: int) -> NDArray[np.intp]:
    folds = arrays.get("folds", np.empty(0))
    n_strokes = sum(image.n_strokes for image in facts.images)
    if folds.dtype.kind != "i" or folds.shape != (n_strokes,):
        raise ValueError("its folds are not those of its strokes")
    if folds.min() < 0 or folds.max() >= n_folds:
        raise ValueError("there are more folds than the settings say")
    return folds.astype(np.intp)


def _gate(
    arrays: Arrays, facts: AnnotationFacts, n_classes: int
) -> tuple[CrossValidation | None, NDArray[np.float32] | None]:
    """Return what the gate knows of each sample; None where it is to find out again."""
    mask = arrays.get("gate.mask")
    if mask is None:
        return None, None
    shape = (mask.size, n_classes)
    if mask.dtype != np.bool_ or mask.ndim != 1:
        raise ValueError("the gate's mask is none")
    instant = _shares(arrays.get("gate.instant"), shape)
    forest = _shares(arrays.get("gate.forest"), shape)
    choice = HeadChoice(facts.ridge_factor, facts.n_scales)
    tuned = arrays.get("gate.tuned")
    return CrossValidation(mask, instant, forest, choice), (
        None if tuned is None else _shares(tuned, shape)
    )


def _taken(
    arrays: Arrays,
    facts: TrainingFacts,
    network: Network | None,
    values: tuple[int, ...],
) -> Taken:
    assert facts.annotation is not None
    temperatures = facts.annotation.temperatures
    assert temperatures is not None
    if facts.trainer is None or network is None or facts.trainer.values != values:
        raise ValueError("the trainer's classes are not those of the model")
    shape = (network.n_features, len(values))
    heads = [
        RidgeHead(
            _floats(arrays.get(f"{name}.weights"), shape),
            _floats(arrays.get(f"{name}.bias"), shape[1:]),
            temperature,
        )
        for name, temperature in zip(("taken", "teacher"), temperatures, strict=True)
    ]
    return Taken((heads[0], heads[1]), facts.trainer.turn)


def _shares(array: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return probabilities."""
    shares = _floats(array, shape)
    if shares.size and not (shares.min() >= 0 and shares.max() < 1.001):
        raise ValueError("the gate's probabilities are none")
    return shares


def _floats(
    array: NDArray[Any] | None, shape: tuple[int, ...] | None = None
) -> NDArray[np.float32]:
    """Return an array of finite numbers, as float32."""
    if array is None or array.dtype.kind != "f":
        raise ValueError("a tensor is missing or of another type")
    if shape is not None and array.shape != shape:
        raise ValueError(f"a tensor has the shape {array.shape}, not {shape}")
    if not np.isfinite(array).all():
        raise ValueError("it holds numbers that are not finite")
    return array.astype(np.float32)


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file is damaged."""
    try:
        yield
    except CheckpointError:  # a ValueError too, which knows more
        raise
    except ValueError as error:
        raise CheckpointError(
            f"the training in '{path}' is damaged ({error}): take another copy, or "
            "train and save again"
        ) from error
