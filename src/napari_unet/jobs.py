"""Jobs: generators that yield events, heed a cancel token, and return a result.

``def fine_tune(...) -> Generator[JobEvent, None, Result]`` is the one shape that all
long work has. The command line and the tests iterate it; the viewer runs it on a worker
thread (``widgets/_bridge.py``). A job asks ``token.cancelled`` once per optimiser step
or tile and then returns normally.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

__all__ = [
    "CANDIDATE_NAMES",
    "AnnotationTaken",
    "CancelToken",
    "ConfidenceFound",
    "HeadFitted",
    "JobEvent",
    "LearningChanged",
    "ModeChanged",
    "ModelSaved",
    "Notice",
    "ObjectsFound",
    "Progress",
    "RegionFound",
    "ScalesChanged",
    "Score",
    "Scored",
    "SettingsRefused",
    "StepDone",
    "StoreOpened",
    "StoreTaken",
    "TilePredicted",
    "TileStored",
    "UncertaintyMapped",
    "Waited",
    "WholeEnded",
    "finish",
    "held_out_text",
]

T = TypeVar("T")

CANDIDATE_NAMES = {
    "forest": "random forest",
    "instant": "instant network",
    "instant+forest": "instant network and forest",
    "fine-tuned": "fine-tuned network",
    "fine-tuned+forest": "fine-tuned network and forest",
}
"""What the candidates of the gate are called in front of a person."""


class CancelToken:
    """Asks a running job to stop; safe to share between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the job to return at its next step or tile."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop."""
        return self._event.is_set()


@dataclass(frozen=True)
class JobEvent:
    """Something that happened in a job.

    ``is_lossless`` tells the bridge whether each event counts (a predicted tile, a new
    score) or only the newest one of its type (a progress figure).
    """

    is_lossless: ClassVar[bool] = True


@dataclass(frozen=True)
class Progress(JobEvent):
    """``done`` of ``total`` units (tiles, files) are finished."""

    is_lossless: ClassVar[bool] = False
    done: int
    total: int
    what: str = ""


@dataclass(frozen=True)
class Notice(JobEvent):
    """One plain sentence for the user, in the dock's status line or on stderr.

    ``level`` is ``"info"``, ``"advice"`` (what to paint next), ``"caution"``
    (advice that must not be overlooked), ``"warning"``, or ``"device"`` (where the job
    computes). An empty message takes back the last one of
    its level.
    """

    message: str
    level: str = "info"


@dataclass(frozen=True)
class StepDone(JobEvent):
    """One optimiser step of fine-tuning is done."""

    is_lossless: ClassVar[bool] = False
    step: int
    loss: float
    seconds: float
    """Seconds of training since this call of fine-tuning began."""
    steps_per_s: float
    annotation_version: int


@dataclass(frozen=True)
class AnnotationTaken(JobEvent):
    """The learner works with a newer annotation from here on."""

    version: int
    n_strokes: int
    n_px: int
    """Annotated pixels over all images and classes."""


def held_out_text(n_px: int, n_strokes: int, is_of_objects: bool = False) -> str:
    """Return how much a score rests on: "412 px of 9 strokes held out".

    Of objects, "412 px in 9 places held out": what is counted are objects, groups of
    them that touch, and pieces of background.
    """
    what = "in {} place" if is_of_objects else "of {} stroke"
    text = what.format(f"{n_strokes:,}") + ("" if n_strokes == 1 else "s")
    return f"{n_px:,} px {text} held out"


@dataclass(frozen=True)
class Score:
    """Held-out score of one candidate.

    ``mean_iou`` is in 0..1, or None where fewer than two classes could be held out;
    ``iou``/``dice`` map the annotation's class values to 0..1. ``n_px`` and
    ``n_strokes`` count what was held out, objects that touch as one stroke.
    ``log_loss`` is the mean cross-entropy there, with which the gate tells apart what
    is right on the same pixels; None where there was nothing to tell apart.
    ``is_of_objects`` tells whether objects are annotated, and not strokes.
    """

    mean_iou: float | None
    iou: dict[int, float] = field(default_factory=dict)
    dice: dict[int, float] = field(default_factory=dict)
    n_px: int = 0
    n_strokes: int = 0
    log_loss: float | None = None
    is_of_objects: bool = False

    @property
    def text(self) -> str:
        """The score and what it rests on, for people to read; '' without a score."""
        if self.mean_iou is None:
            return ""
        return f"IoU {self.mean_iou:.2f} ({self.held_out})"

    @property
    def held_out(self) -> str:
        """What the score rests on, for people to read."""
        return held_out_text(self.n_px, self.n_strokes, self.is_of_objects)


@dataclass(frozen=True)
class HeadFitted(JobEvent):
    """The instant stage was fitted to an annotation."""

    annotation_version: int
    seconds: float


@dataclass(frozen=True)
class Scored(JobEvent):
    """The gate scored the candidates and chose the one that ``predict`` uses.

    ``scores`` maps the candidates, keys of `CANDIDATE_NAMES`, to scores on the same
    held-out strokes.
    """

    scores: dict[str, Score]
    chosen: str
    reason: str
    """Why, in words fit for the dock."""
    step: int
    seconds: float
    is_changed: bool
    """Whether predictions differ from those before this event."""
    n_scales: int = 0
    """Sizes of the image that the chosen network sees; 0 where none is chosen."""
    reach_px: int = 0
    """How far around a pixel it sees, px of the image."""


@dataclass(frozen=True)
class LearningChanged(JobEvent):
    """Background fine-tuning started, paused, or ended; ``reason`` is a sentence."""

    is_learning: bool
    reason: str = ""


@dataclass(frozen=True)
class SettingsRefused(JobEvent):
    """The settings that were wished cannot be used here; those before stay in use."""


@dataclass(frozen=True)
class ModelSaved(JobEvent):
    """The model was written to a file, as it was asked for."""

    path: str


@dataclass(frozen=True)
class ScalesChanged(JobEvent):
    """A model was taken up that sees so many sizes of the image; None: the usual."""

    n_scales: int | None


@dataclass(frozen=True)
class ModeChanged(JobEvent):
    """From here on, events belong to a learner of ``mode``: strokes or objects."""

    mode: str


@dataclass(frozen=True)
class TilePredicted(JobEvent):
    """Labels of one rectangle of one plane.

    ``labels`` has shape (height, width) in px, the annotation's values, and belongs at
    ``[index + (slice(y, y + h), slice(x, x + w))]`` of the image's label array.
    """

    key: str
    index: tuple[int, ...]
    y: int
    x: int
    labels: Any
    candidate: str
    generation: int
    """Number of the prediction's model; grows with each change of what is shown."""
    is_last: bool = False
    """Whether this tile completes its request."""


@dataclass(frozen=True)
class ObjectsFound(JobEvent):
    """Objects of one rectangle of one plane, or of a whole image.

    ``labels`` has an id for each object and 0 elsewhere. It belongs at
    ``[index + (..., slice(y, y + h), slice(x, x + w))]`` of the image's label array;
    of a whole image, ``index`` is ``()``.
    """

    key: str
    index: tuple[int, ...]
    y: int
    x: int
    labels: Any
    n_objects: int
    generation: int
    """Number of the model, as in `TilePredicted`."""
    smallest_px: int | None = None
    """How small an object may be, from the painted ones; None: they do not tell."""
    is_whole: bool = False


@dataclass(frozen=True)
class ConfidenceFound(JobEvent):
    """How sure the model is of a rectangle of one plane, as it was asked.

    ``labels`` and ``confidence`` (float32, 0..1: the probability of that label) have
    shape (height, width) in px and belong where `TilePredicted` says; both are empty
    where nothing can be predicted yet.
    """

    key: str
    index: tuple[int, ...]
    y: int
    x: int
    labels: Any
    confidence: Any


@dataclass(frozen=True)
class UncertaintyMapped(JobEvent):
    """How unsure the model is in a rectangle of one plane.

    ``percent`` has shape (height, width) in px and dtype uint8, 0 (sure) to 100.
    """

    key: str
    index: tuple[int, ...]
    y: int
    x: int
    percent: Any


@dataclass(frozen=True)
class RegionFound(JobEvent):
    """The least certain region of an image that is not annotated, nor was found before.

    A rectangle (px) of the plane at ``index``; ``score`` is its mean uncertainty, 0..1.
    """

    key: str
    index: tuple[int, ...]
    y: int
    x: int
    height: int
    width: int
    score: float


@dataclass(frozen=True)
class StoreOpened(JobEvent):
    """A store takes the labels of a whole image from here on.

    ``levels`` are its arrays, finest first, that can be read while they grow; a level
    is every second pixel of the one before. ``opener`` is what was given to open it:
    an answer to an earlier wish is known by it.
    """

    key: str
    opener: Any
    levels: Any
    n_done: int
    """Tiles that were in it already."""
    n_tiles: int


@dataclass(frozen=True)
class TileStored(JobEvent):
    """A rectangle (px) of one plane is in the store of a whole image.

    ``generation`` is the number of the model, as in `TilePredicted`.
    """

    key: str
    index: tuple[int, ...]
    y: int
    x: int
    height: int
    width: int
    generation: int


@dataclass(frozen=True)
class Waited(JobEvent):
    """A moment passed in which nothing came from elsewhere: time for other work."""

    is_lossless: ClassVar[bool] = False


@dataclass(frozen=True)
class StoreTaken(JobEvent):
    """The store that was named is another model's or image's; nothing was written."""

    key: str
    opener: Any


@dataclass(frozen=True)
class WholeEnded(JobEvent):
    """Nothing more of a whole image is to come: done, stopped, failed, or refused."""

    is_done: bool = False
    opener: Any = None
    """As in `StoreOpened`; None: it was not to go into a store."""


def finish(job: Generator[JobEvent, None, T]) -> T:
    """Run a job to its end, drop its events, and return its result."""
    while True:
        try:
            next(job)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
