"""The gate: held-out strokes score each candidate; the best is what people see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.metrics import confusion_matrix, dice_per_class, iou_per_class
from napari_unet.jobs import Score
from napari_unet.learning.samples import Samples

__all__ = ["ORDER", "PRETRAINED_ORDER", "choose", "log_loss", "score_candidate"]

ORDER = ("forest", "instant", "instant+forest", "fine-tuned", "fine-tuned+forest")
"""Candidates, simpler first: a tie goes to the earlier one."""
PRETRAINED_ORDER = ("instant", "instant+forest", "forest", *ORDER[3:])
"""The order with pretrained weights, which are to be trusted before the forest."""


def score_candidate(
    samples: Samples, probabilities: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Score:
    """Score probabilities (n, K) at the samples of ``mask`` (n,), all held out.

    Classes weigh the same however much of each is painted, and long strokes weigh as
    the square root of their length; classes that could not be held out do not count.
    """
    n_px = int(mask.sum())
    n_strokes = len(np.unique(samples.strokes[mask]))
    present = np.unique(samples.targets[mask])
    if len(present) < 2:
        return Score(None, n_px=n_px, n_strokes=n_strokes)
    weights = samples.weights[mask].astype(np.float64)
    targets = samples.targets[mask]
    for index in present:  # equal sums again, of what is held out
        weights[targets == index] /= weights[targets == index].sum()
    predicted = probabilities[mask].argmax(axis=1)
    matrix = confusion_matrix(
        targets,
        predicted,
        range(len(samples.values)),
        weights,
    )
    iou, dice = iou_per_class(matrix), dice_per_class(matrix)
    return Score(
        mean_iou=float(np.mean(iou[present])),
        iou={samples.values[i]: float(iou[i]) for i in present},
        dice={samples.values[i]: float(dice[i]) for i in present},
        n_px=n_px,
        n_strokes=n_strokes,
        per_stroke=_per_stroke(samples.strokes[mask], predicted == targets),
    )


def _per_stroke(
    strokes: NDArray[np.intp], is_right: NDArray[np.bool_]
) -> tuple[float, ...]:
    """Return the share of right pixels of each stroke, strokes in ascending order."""
    _, owner = np.unique(strokes, return_inverse=True)
    n_right = np.bincount(owner, weights=is_right)
    return tuple((n_right / np.bincount(owner)).tolist())


def log_loss(
    samples: Samples, probabilities: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    """Return the weighted cross-entropy at the samples of ``mask``; 0 when it is empty.

    Tells apart what is right on the same pixels, by how sure it is of them.
    """
    if not mask.any():
        return 0.0
    right = probabilities[mask, samples.targets[mask]]
    return float(-(samples.weights[mask] * np.log(np.maximum(right, 1e-6))).sum())


def choose(
    scores: dict[str, Score], min_gain: float, order: Sequence[str] = ORDER
) -> str:
    """Return the best candidate; a more complex one must win by more than chance.

    It must score ``min_gain`` more mean IoU, and be better stroke by stroke by more
    than one standard error: with few held-out strokes the best score is often luck.
    Where nothing could be held out, the first of ``order`` is trusted.
    """
    names = [name for name in order if name in scores]
    best = names[0]
    for name in names[1:]:
        mine, its = scores[name], scores[best]
        if mine.mean_iou is None or its.mean_iou is None:
            continue
        if mine.mean_iou >= its.mean_iou + min_gain and _is_beyond_chance(mine, its):
            best = name
    return best


def _is_beyond_chance(mine: Score, its: Score) -> bool:
    """Whether the gain per held-out stroke is more than its standard error."""
    gains = np.subtract(mine.per_stroke, its.per_stroke)
    error = gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    return bool(gains.mean() > error)
