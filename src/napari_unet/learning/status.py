"""What a learner tells of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from napari_unet.jobs import Score

__all__ = ["LearnerStatus"]


@dataclass(frozen=True)
class LearnerStatus:
    """What the learner has come to.

    ``chosen`` names the candidate that ``predict`` uses ('' before there is one),
    ``score`` is its held-out score, ``scores`` everyone's on the same held-out strokes.
    ``n_scales`` is how many sizes of the image (full, half, ...) its network sees, and
    ``reach_px`` how far around a pixel (px of the image); 0 for the forest alone.
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
    advice: str = ""
    n_scales: int = 0
    reach_px: int = 0
