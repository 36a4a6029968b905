"""The observable state of one viewer or one command-line run.

A job yields events; whoever runs it hands them to :meth:`Session.apply` on one thread
and listens to ``session.events``. Nothing here knows torch, Qt or napari.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from psygnal import SignalGroupDescriptor

from napari_unet.jobs import (
    CANDIDATE_NAMES,
    AnnotationTaken,
    HeadFitted,
    JobEvent,
    LearningChanged,
    ModelSaved,
    Notice,
    ObjectsFound,
    Progress,
    Score,
    Scored,
    StepDone,
    TilePredicted,
    WholeEnded,
)

__all__ = [
    "CANDIDATE_NAMES",
    "Curve",
    "Phase",
    "ScorePoint",
    "Session",
    "others_text",
    "sight_text",
]

_SIZES = ("full", "half", "quarter", "eighth", "1/16", "1/32", "1/64")

Phase = Literal["empty", "ready", "learning", "paused", "failed"]


def sight_text(n_scales: int, reach_px: int, downsampling: int = 1) -> str:
    """Return what a network sees: "92 px around each pixel, the image at full size"."""
    first = downsampling.bit_length() - 1
    *most, last = _SIZES[first : first + n_scales]
    sizes = f"{', '.join(most)} and {last}" if most else last
    return f"{reach_px} px around each pixel, the image at {sizes} size"


def others_text(scores: Mapping[str, Score], shown: str) -> str:
    """Return the scores of the candidates that are not shown, best first."""
    others = [
        (score.mean_iou, name)
        for name, score in scores.items()
        if name != shown and score.mean_iou is not None
    ]
    return ", ".join(f"{name} {iou:.2f}" for iou, name in sorted(others)[::-1])


@dataclass(frozen=True)
class ScorePoint:
    """Held-out score of what was shown after so many seconds of training."""

    seconds: float
    candidate: str
    score: Score


@dataclass
class Curve:
    """What the learning curves are drawn from; times are seconds of training.

    ``losses`` holds (seconds, loss); when it reaches ``max_points``, every other point
    is dropped and from then on only half as many are taken, so that a night of training
    draws as fast as a minute and its beginning stays. ``rounds`` holds the moments at
    which new strokes were taken up.
    """

    losses: list[tuple[float, float]] = field(default_factory=list)
    scores: list[ScorePoint] = field(default_factory=list)
    rounds: list[float] = field(default_factory=list)
    max_points: int = 4000
    _stride: int = 1
    _n_seen: int = 0

    def add_loss(self, seconds: float, loss: float) -> None:
        """Take one point, or pass it over where there are many."""
        if self._n_seen % self._stride == 0:
            self.losses.append((seconds, loss))
        self._n_seen += 1
        if len(self.losses) > self.max_points:
            self.losses = self.losses[::2]
            self._stride *= 2

    def csv(self) -> str:
        """Return the curves as text; scores come with the held-out px and strokes."""
        rows = ["kind,seconds,candidate,class,value,n_px,n_strokes"]
        rows += [f"loss,{s:.3f},,,{loss:.6g},," for s, loss in self.losses]
        for point in self.scores:
            start = f"{point.seconds:.3f},{point.candidate}"
            n = f"{point.score.n_px},{point.score.n_strokes}"
            rows += [
                f"iou,{start},{value},{iou:.6g},{n}"
                for value, iou in sorted(point.score.iou.items())
            ]
        rows += [f"round,{s:.3f},,,,," for s in self.rounds]
        return "\n".join(rows) + "\n"


@dataclass
class Session:
    """Observable state, written by :meth:`apply` on one thread only.

    ``events`` has one psygnal signal per field; ``events.connect`` hears them all.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    phase: Phase = "empty"
    device: str = ""
    step: int = 0
    seconds: float = 0.0
    """Seconds of training, added up over pauses."""
    steps_per_s: float = 0.0
    loss: float | None = None
    shown: str = ""
    """Candidate in the overlay, ``""`` before the first; see CANDIDATE_NAMES."""
    scores: dict[str, Score] = field(default_factory=dict)
    reason: str = ""
    n_scales: int = 0
    """Sizes of the image that the shown network sees; 0 where none is shown."""
    reach_px: int = 0
    """How far around a pixel it sees."""
    advice: str = ""
    message: str = ""
    message_level: str = "info"
    progress: Progress | None = None
    annotation_version: int = 0
    n_px: int = 0
    n_strokes: int = 0
    generation: int = -1
    overlay_time_s: float | None = None
    """When the newest tile came, on ``clock``; None before the first."""
    is_updating: bool = False
    """Whether tiles of the field that is being looked at are still to come."""
    n_objects: int | None = None
    """Objects in the overlay; None where classes are shown, or none was looked for."""
    has_all_objects: bool = False
    """Whether they are those of the whole image."""
    smallest_object_px: int | None = None
    """How small an object may be, from the painted ones; None: they do not tell."""
    curve: Curve = field(default_factory=Curve)
    corrections: list[Any] = field(default_factory=list)
    """`annotation.corrective.Correction`s: predictions before strokes came on them."""
    curve_revision: int = 0
    """Grows whenever ``curve`` got a point."""
    clock: Callable[[], float] = time.monotonic

    _offset_s: float = 0.0
    _last_call_s: float = 0.0

    @property
    def score(self) -> Score | None:
        """The held-out score of what is shown, if it has one."""
        return self.scores.get(self.shown)

    @property
    def overlay_age_s(self) -> float | None:
        """Seconds since the overlay was last renewed; None before the first tile."""
        if self.overlay_time_s is None:
            return None
        return max(0.0, self.clock() - self.overlay_time_s)

    def apply(self, event: JobEvent) -> None:
        """Take one event of a job into the state."""
        match event:
            case StepDone():
                self._apply_step(event)
            case TilePredicted():
                self._apply_tile(event)
            case ObjectsFound():
                self.n_objects = event.n_objects
                self.has_all_objects = event.is_whole
                self.smallest_object_px = event.smallest_px
            case Progress():
                self.progress = event if event.done < event.total else None
            case WholeEnded():
                self.end_prediction()
            case Scored():
                self._apply_score(event)
            case AnnotationTaken():
                self._apply_annotation(event)
            case LearningChanged():
                self._apply_learning(event)
            case ModelSaved(path=path):
                self.say(f"Saved the model to {path}")
            case Notice(message=message, level="advice" | "caution"):
                self.advice = message
            case Notice(message=message, level="device"):
                self.device = message
            case Notice(message=""):
                self.unsay()
            case Notice(message=message, level=level):
                self.say(message, level)
            case HeadFitted():
                self.is_updating = True

    def say(self, message: str, level: str = "info") -> None:
        """Show one sentence; ``level`` is ``"info"``, ``"warning"`` or ``"error"``."""
        self.message_level = level
        self.message = message

    def unsay(self) -> None:
        """Take back a sentence that holds no more; a warning or an error stays."""
        if self.message_level == "info":
            self.message = ""

    def want_learning(self, on: bool) -> None:
        """Show that learning was asked for, or a pause, before the job answers."""
        self.phase = "learning" if on else "paused"

    def want_update(self) -> None:
        """Note that tiles of the field that is being looked at were asked for."""
        self.is_updating = True

    def want_prediction(self) -> None:
        """Show that a whole image was asked for, before the job counts its tiles."""
        self.progress = Progress(0, 1, "predict")

    def end_prediction(self) -> None:
        """Note that no tile of a whole image is to come any more."""
        self.progress = None

    def forget_objects(self) -> None:
        """Note that what was found belongs to other settings."""
        self.n_objects, self.has_all_objects = None, False

    def be_ready(self) -> None:
        """Note that there are strokes to learn from, where nothing was before."""
        if self.phase == "empty":
            self.phase = "ready"

    def fail(self, message: str) -> None:
        """Note that the job ended by an error; the next action may start a new one."""
        self.stop()
        self.phase = "failed"
        self.say(message, "error")

    def stop(self) -> None:
        """Note that no job runs any more."""
        self.progress = None
        self.is_updating = False
        if self.phase == "learning":
            self.phase = "paused"

    def restart(self) -> None:
        """Forget what was learned and shown; keep the message and the device."""
        self._offset_s = self._last_call_s = 0.0
        self.step, self.seconds, self.steps_per_s, self.loss = 0, 0.0, 0.0, None
        self.shown, self.scores, self.reason, self.advice = "", {}, "", ""
        self.n_scales = self.reach_px = 0
        self.generation, self.overlay_time_s = -1, None
        self.n_px = self.n_strokes = 0
        self.progress, self.is_updating = None, False
        self.forget_objects()
        self.smallest_object_px = None
        self.curve = Curve()
        self.curve_revision += 1
        self.phase = "empty"

    def _apply_step(self, event: StepDone) -> None:
        # each call of fine-tuning counts its own seconds: add the calls up, also where
        # nobody announced the next one
        if event.seconds < self._last_call_s:
            self._offset_s = self.seconds
        self._last_call_s = event.seconds
        self.step = event.step
        self.seconds = self._offset_s + event.seconds
        self.steps_per_s = event.steps_per_s
        self.loss = event.loss
        self.curve.add_loss(self.seconds, event.loss)
        self.curve_revision += 1

    def _apply_tile(self, event: TilePredicted) -> None:
        self.shown = event.candidate
        self.generation = event.generation
        self.overlay_time_s = self.clock()
        self.is_updating = not event.is_last

    def _apply_score(self, event: Scored) -> None:
        self.scores = dict(event.scores)
        self.shown = event.chosen
        self.reason = event.reason
        self.n_scales, self.reach_px = event.n_scales, event.reach_px
        self.step = min(self.step, event.step)  # fewer: training begins again
        score = event.scores.get(event.chosen)
        if score is not None and score.mean_iou is not None:
            self.curve.scores.append(ScorePoint(self.seconds, event.chosen, score))
            self.curve_revision += 1
        if event.is_changed:
            self.is_updating = True

    def _apply_annotation(self, event: AnnotationTaken) -> None:
        self.annotation_version = event.version
        self.n_px, self.n_strokes = event.n_px, event.n_strokes
        self.advice = ""
        if self.phase in ("empty", "failed"):
            self.phase = "ready"
        last_s = self.curve.rounds[-1] if self.curve.rounds else -1.0
        if self.step and last_s < self.seconds:
            self.curve.rounds.append(self.seconds)
            self.curve_revision += 1

    def _apply_learning(self, event: LearningChanged) -> None:
        if event.is_learning:
            # a new call of fine-tuning, which counts its seconds from zero
            self._offset_s, self._last_call_s = self.seconds, 0.0
            self.phase = "learning"
        elif self.phase == "learning":
            self.phase = "paused"
        if event.reason:
            self.say(event.reason)
