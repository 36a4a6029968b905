"""The gate: held-out strokes score each candidate; the best is what people see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import shown_value
from napari_unet.core.metrics import confusion_matrix, dice_per_class, iou_per_class
from napari_unet.inference.prediction import merge_border
from napari_unet.jobs import Score
from napari_unet.learning.samples import Samples, balance

__all__ = [
    "NETWORK_SHARE",
    "ORDER",
    "PRETRAINED_ORDER",
    "choose",
    "log_loss",
    "mix",
    "score_candidate",
]

Floats = NDArray[np.float32]

ORDER = ("forest", "instant", "instant+forest", "fine-tuned", "fine-tuned+forest")
"""Candidates, simpler first: a tie goes to the earlier one."""
PRETRAINED_ORDER = ("instant+forest", "instant", "forest", *ORDER[3:])
"""The order with pretrained weights: equal on average with the instant network alone,
both together are a hedge where the image is unlike those of the pretraining."""
NETWORK_SHARE = 0.85
"""Of the network in a mean with the forest, which is surer of whatever it says."""
_FOREST_GAIN = 0.5  # smaller ones never held on the validation images
_FOREST_IOU_GAIN = 0.2  # it is surer than the network, of what is wrong also
_LEAST = 1e-6  # probability; no single pixel may decide


def score_candidate(
    samples: Samples, probabilities: NDArray[np.float32], mask: NDArray[np.bool_]
) -> Score:
    """Score probabilities (n, K) at the samples of ``mask`` (n,), all held out.

    Classes weigh the same however much of each is painted, and long strokes weigh as
    the square root of their length; classes that could not be held out do not count.
    Classes are those of predictions, but the log loss is of what was to be learned: it
    tells candidates apart also where all held out is object, inside and border.
    """
    known = Score(
        None,
        n_px=int(mask.sum()),
        n_strokes=samples.count_bundles(mask),
        is_of_objects=samples.is_of_objects,
    )
    targets, predicted, values = _as_shown(samples, probabilities, mask)
    if len(np.unique(samples.targets[mask])) < 2:
        return known
    known = replace(known, log_loss=log_loss(samples, probabilities, mask))
    present = np.unique(targets)
    if len(present) < 2:
        return known
    weights = balance(samples.weights[mask], targets)
    matrix = confusion_matrix(targets, predicted, range(len(values)), weights)
    iou, dice = iou_per_class(matrix), dice_per_class(matrix)
    return replace(
        known,
        mean_iou=float(np.mean(iou[present])),
        iou={values[i]: float(iou[i]) for i in present},
        dice={values[i]: float(dice[i]) for i in present},
    )


def _as_shown(
    samples: Samples, probabilities: Floats, mask: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], tuple[int, ...]]:
    """Return true and predicted classes (n,) as people see them, and their values."""
    targets, held_out, values = (
        samples.targets[mask],
        probabilities[mask],
        samples.values,
    )
    if not samples.is_of_objects:
        return targets, held_out.argmax(axis=1), values
    maps = merge_border(held_out.T, values)
    place = [maps.values.index(int(shown_value(value))) for value in values]
    return np.array(place)[targets], maps.probabilities.argmax(axis=0), maps.values


def log_loss(
    samples: Samples, probabilities: NDArray[np.float32], mask: NDArray[np.bool_]
) -> float:
    """Return the mean cross-entropy at the samples of ``mask``; 0 when it is empty.

    Classes weigh the same. Tells apart what is right on the same pixels, by how sure it
    is of them.
    """
    if not mask.any():
        return 0.0
    targets = samples.targets[mask]
    weights = balance(samples.weights[mask], targets).astype(np.float64)
    right = np.maximum(probabilities[mask, targets], _LEAST)
    return float(-(weights * np.log(right)).sum() / weights.sum())


def choose(
    scores: dict[str, Score], min_gain: float, order: Sequence[str] = ORDER
) -> str:
    """Return the best candidate; one that comes later must be clearly surer.

    Its log loss must be lower by the share ``min_gain``. On a few strokes the IoU is
    often 1 for several candidates, and its differences are luck; how sure a candidate
    is of each held-out pixel tells more. Where nothing could be held out, the first of
    ``order`` is trusted. The forest alone must halve the log loss, and its IoU must be
    higher by 0.2: it is surer than a network of whatever it says, right or wrong, and
    so being sure alone is no reason to prefer it.
    """
    names = [name for name in order if name in scores]
    best = names[0]
    for name in names[1:]:
        mine, its = scores[name], scores[best]
        if name == "forest" and not _is_more_often_right(mine, its):
            continue
        needed = max(min_gain, _FOREST_GAIN) if name == "forest" else min_gain
        if mine.log_loss is None or its.log_loss is None:
            continue
        if mine.log_loss < (1 - needed) * its.log_loss:
            best = name
    return best


def _is_more_often_right(mine: Score, its: Score) -> bool:
    """Return whether one IoU is clearly above another."""
    if mine.mean_iou is None or its.mean_iou is None:
        return False
    return mine.mean_iou > its.mean_iou + _FOREST_IOU_GAIN


def mix(network: Floats, forest: Floats) -> Floats:
    """Return the probabilities of a network and the forest together."""
    share = np.float32(NETWORK_SHARE)
    return share * network + (1 - share) * forest
