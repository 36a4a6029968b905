"""Background fine-tuning as a job: steps, new strokes as they come, and scores."""

from __future__ import annotations

import time
from collections.abc import Generator

from napari_unet.core.distributed import current_team
from napari_unet.jobs import AnnotationTaken, CancelToken, JobEvent, Notice, StepDone
from napari_unet.learning.networks import ensure_trainer, hand_annotations
from napari_unet.learning.state import State
from napari_unet.learning.training import Trainer

__all__ = ["fine_tune"]

_MAX_SCORING_SHARE = 0.2


def fine_tune(
    state: State,
    seconds: float | None,
    steps: int | None,
    token: CancelToken | None,
) -> Generator[JobEvent, None, None]:
    """Train until the time or the steps are over, or the token is cancelled.

    See `Learner.fine_tune`, which this is the inside of.
    """
    clock = _Clock(state, seconds, steps)
    state.annotations.require_two_classes()
    yield from state.update()
    trainer = ensure_trainer(state)
    clock.begin(trainer)
    try:
        yield from _train(state, trainer, clock, token)
    finally:  # paused, stopped or failed
        trainer.rest()


def _train(
    state: State, trainer: Trainer, clock: _Clock, token: CancelToken | None
) -> Generator[JobEvent, None, None]:
    """Do one step after the other, and let the gate judge now and then."""
    team = current_team()
    while not team.decide(clock.is_over or (token is not None and token.cancelled)):
        if state.has_new_scales:
            return
        if state.annotations.version != trainer.version:
            yield from _take_annotations(state, trainer)
        notices: list[str] = []
        loss = trainer.step(notices)
        yield from (Notice(text, "warning") for text in notices)
        yield clock.tick(loss)
        if team.is_first and clock.is_time_to_score:  # the others wait for a step
            clock.scoring_begins()
            yield from state.judge_network(trainer)
            clock.scoring_ends()
    if team.is_first and clock.has_unscored_steps:
        yield from state.judge_network(trainer)


def _take_annotations(
    state: State, trainer: Trainer
) -> Generator[JobEvent, None, None]:
    """Hand the newest strokes to the trainer and to the instant stage."""
    annotations = state.annotations
    annotations.require_two_classes()
    yield from state.update()
    hand_annotations(state, trainer)
    yield from state.take_notices()
    yield AnnotationTaken(
        annotations.version, len(annotations.strokes), annotations.n_px
    )


class _Clock:
    """Counts steps and seconds of one call, and says when to score and to stop."""

    def __init__(self, state: State, seconds: float | None, steps: int | None) -> None:
        self.state, self.seconds, self.steps = state, seconds, steps
        self.started = time.monotonic()
        self.before_s = state.seconds
        self.scored_at = self.scoring_began = self.started
        self.pause_s = state.config.fine_tune.score_every_s
        self.first_step = self.scored_step = 0

    def begin(self, trainer: Trainer) -> None:
        """Note where training begins."""
        self.trainer = trainer
        self.first_step = self.scored_step = trainer.n_steps
        # what the instant stage took is no time of training
        self.started = self.scored_at = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def is_over(self) -> bool:
        n_done = self.trainer.n_steps - self.first_step
        return (self.seconds is not None and self.elapsed_s >= self.seconds) or (
            self.steps is not None and n_done >= self.steps
        )

    def tick(self, loss: float) -> StepDone:
        elapsed, trainer = self.elapsed_s, self.trainer
        self.state.seconds = self.before_s + elapsed
        rate = (trainer.n_steps - self.first_step) / max(elapsed, 1e-9)
        step = self.state.n_steps
        return StepDone(step, loss, elapsed, rate, trainer.version)

    @property
    def is_time_to_score(self) -> bool:
        return time.monotonic() - self.scored_at >= self.pause_s

    def scoring_begins(self) -> None:
        self.scoring_began = time.monotonic()

    def scoring_ends(self) -> None:
        """Score less often where scoring is slow."""
        self.scored_at = time.monotonic()
        cost = self.scored_at - self.scoring_began
        every = self.state.config.fine_tune.score_every_s
        self.pause_s = max(every, cost / _MAX_SCORING_SHARE)
        self.scored_step = self.trainer.n_steps

    @property
    def has_unscored_steps(self) -> bool:
        return self.trainer.n_steps > self.scored_step
