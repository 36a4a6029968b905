"""What a learner tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.core.device import describe_device
from napari_unet.jobs import Score
from napari_unet.learning.doubts import find_doubt
from napari_unet.learning.scoring import advise
from napari_unet.learning.variety import advise_variety

if TYPE_CHECKING:
    from napari_unet.annotation.annotations import AnnotationSet
    from napari_unet.learning.collapse import CollapseWatch
    from napari_unet.learning.state import State

__all__ = ["LearnedFrom", "LearnerStatus", "status_of"]


@dataclass(frozen=True)
class LearnedFrom:
    """What annotation the model was fitted to.

    ``smallest_object_px`` is how small an object may be, from the annotated ones; None
    where classes, or too few objects, are annotated.
    """

    n_px: int = 0
    n_strokes: int = 0
    n_objects: int = 0
    smallest_object_px: int | None = None

    @classmethod
    def count(cls, annotations: AnnotationSet) -> LearnedFrom:
        """Count what is painted."""
        return cls(
            annotations.n_px,
            len(annotations.strokes),
            annotations.n_objects,
            annotations.smallest_object_px,
        )


@dataclass(frozen=True)
class LearnerStatus:
    """What the learner has come to.

    ``chosen`` names the candidate that ``predict`` uses ('' before there is one),
    ``score`` is its held-out score, ``scores`` everyone's on the same held-out strokes.
    ``n_objects`` counts the annotated objects, of whose parts each is one of the
    ``n_strokes``; 0 in the mode *strokes*. ``n_scales`` is how many sizes of the image
    (full, half, ...) its network sees, and ``reach_px`` how far around a pixel (px of
    the image); 0 for the forest alone.
    """

    chosen: str = ""
    score: Score | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    reason: str = ""
    step: int = 0
    seconds: float = 0.0
    device: str = ""
    annotation_version: int = 0
    n_px: int = 0
    n_strokes: int = 0
    n_objects: int = 0
    advice: str = ""
    n_scales: int = 0
    reach_px: int = 0


def status_of(
    state: State, watch: CollapseWatch, names: Mapping[int, str]
) -> LearnerStatus:
    """Return what a learner with this state has come to; ``names`` are the classes'."""
    annotations, verdict = state.annotations, state.verdict
    painted = LearnedFrom.count(annotations)
    return LearnerStatus(
        chosen=verdict.chosen,
        score=verdict.scores.get(verdict.chosen),
        scores=dict(verdict.scores),
        reason=verdict.reason,
        step=state.n_steps,
        seconds=state.seconds,
        device=describe_device(state.device, state.n_threads),
        annotation_version=annotations.version,
        n_px=painted.n_px,
        n_strokes=painted.n_strokes,
        n_objects=painted.n_objects,
        advice=_advice(state, watch, names),
        n_scales=state.n_scales,
        reach_px=state.reach_px,
    )


def _advice(state: State, watch: CollapseWatch, names: Mapping[int, str]) -> str:
    """Say what to paint next, a collapse first of all; '' if nothing is amiss."""
    annotations, verdict = state.annotations, state.verdict
    first = annotations.advise_missing(names) or find_doubt(annotations)
    if first or state.samples is None:
        return first
    score = verdict.scores.get(verdict.chosen)
    return (
        watch.advice(annotations.shown_values, names)
        or advise(state.samples, score, names)
        or advise_variety(annotations, score, names)
    )
