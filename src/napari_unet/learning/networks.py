"""A learner's networks: with start weights for the head, and in training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.core.inflate import widen
from napari_unet.core.start import make_network, read_prior
from napari_unet.learning.candidates import Network
from napari_unet.learning.images import anisotropy_learned
from napari_unet.learning.instant import fit_head, held_out
from napari_unet.learning.scoring import Tuned
from napari_unet.learning.training import Trainer

if TYPE_CHECKING:
    from napari_unet.learning.state import State

__all__ = ["ensure_trainer", "hand_annotations", "make_start", "snapshot"]

# fine-tuning from pretrained weights moves gently, or it forgets what they know
_PRETRAINED_RATE = 1 / 3
_ANOTHER = (
    "The images or strokes are not those that the training was saved with: it goes on "
    "from where it was, with what is painted now."
)


def make_start(state: State, annotations: AnnotationSet) -> Network:
    """Return the network with start weights; made where none fits the images."""
    config, n_channels = state.config, annotations.images[0].source.stack.n_channels
    if state.start is None or state.start.unet.config.in_channels != n_channels:
        unet, state.is_pretrained = make_network(
            config.unet_config(n_channels, len(annotations.values)),
            start=config.start,
            seed=config.seed,
            weights=state.start_weights,
        )
        unet = unet.to(state.device).requires_grad_(False)
        unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        is_bundled = state.is_pretrained and state.start_weights is None
        prior = read_prior(config.architecture) if is_bundled else None
        state.start = Network(unet, state.n_levels, state.n_scales_to_see, prior)
    return state.start


def ensure_trainer(state: State) -> Trainer:
    """Return the trainer; it goes on where it was paused or loaded."""
    if state.trainer is None:
        is_paper = state.config.recipe == "paper"
        rate = state.config.fine_tune.learning_rate
        if state.is_pretrained or (state.tuned is not None and not is_paper):
            rate *= _PRETRAINED_RATE
        assert state.start is not None
        assert state.verdict.choice is not None
        n_scales = min(state.verdict.choice.n_scales, state.start.n_scales)
        # the paper's network sees the image at its own size
        start = state.start.at_scales(1 if is_paper else n_scales)
        network, trained = _to_train(state, start), None
        if state.tuned is not None:
            network, trained = state.tuned.network, state.tuned.trained
            start = state.start.at_scales(network.n_scales)
        teacher = start if state.is_pretrained else None
        state.trainer = state.within_memory(
            lambda: Trainer(network, teacher, state.config, rate, state.device, trained)
        )
    return state.trainer


def _to_train(state: State, start: Network) -> Network:
    """Return what training begins with: it may see the planes around."""
    anisotropy = anisotropy_learned(state.annotations)
    config = state.config.trained_config(start.unet.config, anisotropy)
    if config == start.unet.config:
        return start
    return start.with_weights(widen(start.unet, config))


def hand_annotations(state: State, trainer: Trainer) -> None:
    """Let the network train on what is painted now, but not on held-out strokes."""
    if state.resumption is not None:
        state.resumption = None
        state.tell(_ANOTHER)
    assert state.start is not None
    assert state.verdict.choice is not None
    samples = state.samples
    assert samples is not None
    network = trainer.network
    choice = replace(state.verdict.choice, n_scales=network.n_scales)
    kept = ~held_out(samples, HELD_OUT_FOLD)
    deep = samples.of_network(state.start, state.cache)
    teacher_head = fit_head(
        samples,
        deep[:, state.start.columns(network.n_scales)],
        state.start.at_scales(network.n_scales),
        choice,
        kept,
    )
    head = teacher_head
    if trainer.n_steps or state.tuned is not None:
        now = snapshot(trainer)
        head = now.fit(samples, choice, without=HELD_OUT_FOLD)
    trainer.take(state.annotations, head, teacher_head)


def snapshot(trainer: Trainer) -> Tuned:
    """Return the network as it is now."""
    return Tuned(trainer.snapshot(), trained=trainer.trained_head)
