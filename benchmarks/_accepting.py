"""One case of the accepting benchmark: strokes, an acceptance, then corrections."""

from __future__ import annotations

from typing import Any

import numpy as np
from _cases import Case
from _data import Picture
from _judge import score_labels
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet import Learner, LearnerConfig
from napari_unet.annotation.simulate import simulate_corrections, simulate_strokes
from napari_unet.jobs import finish

__all__ = ["ARMS", "N_BEFORE", "accept", "run_arm"]

ARMS = ("none", "objects", "plane", "above")
N_BEFORE = 2
"""Rounds of corrections before anything is accepted."""
SURE = 0.9  # as in the dock
_RIGHT = 0.9
Labels = NDArray[np.integer]
Record = dict[str, Any]


def run_arm(
    case: Case,
    part: str,
    painted: Picture,
    other: Picture | None,
    *,
    n_rounds: int,
    n_strokes: int,
    steps: int,
    config: LearnerConfig,
) -> Record:
    """Correct, accept what ``part`` says of the prediction, and correct again.

    Scores are IoU per class of what ``predict`` shows, under ``"plane@3"`` for the
    third round; ``held_out`` has the mean IoU that the dock would show then. ``"@2+"``
    is after the acceptance, before the next correction.
    """
    config = config.model_copy(update={"seed": case.seed})
    pictures = {"same": painted} | ({"other": other} if other else {})
    learner = Learner(config)
    strokes = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    accepted = np.zeros_like(strokes)
    result: Record = {"scores": {}, "ready_s": {}, "held_out": {}, "n_held_out": {}}

    def look(key: str, n_steps: int = 0) -> Labels:
        annotation = np.where(strokes > 0, strokes, accepted)
        learner.annotate(painted.image, annotation, axes=painted.axes, key="painted")
        if n_steps:
            finish(learner.fine_tune(steps=n_steps))
        labels = {
            where: learner.predict(picture.image, axes=picture.axes)
            for where, picture in pictures.items()
        }
        result["scores"][f"{part}@{key}"] = {
            where: score_labels(picture.truth, labels[where], learner.class_values)
            for where, picture in pictures.items()
        }
        score = learner.status.score
        result["held_out"][key] = score.mean_iou if score else None
        result["n_held_out"][key] = score.n_strokes if score else 0
        return labels["same"]

    for number in range(N_BEFORE + n_rounds + 1):
        shown = look(f"{number}")
        if number == N_BEFORE:
            probabilities = finish(
                learner.predict_job(
                    painted.image, axes=painted.axes, probabilities=True
                )
            )
            accepted = accept(part, shown, probabilities.max(axis=0), painted.truth)
            result["n_accepted_px"] = int(np.count_nonzero(accepted))
            result["n_wrong_px"] = int(
                np.count_nonzero((accepted > 0) & (accepted != painted.truth))
            )
            shown = look(f"{number}+")
        if number < N_BEFORE + n_rounds:
            seed = 1000 * (case.seed + 1) + number
            strokes = simulate_corrections(
                painted.truth, shown, strokes, n_strokes, seed
            )
    if steps:
        look("tuned", steps)
    return result


def accept(
    arm: str, shown: Labels, confidence: NDArray[np.floating], truth: Labels
) -> Labels:
    """Return what is accepted of a prediction (Y, X), and 0 elsewhere.

    *objects*: connected regions, except of the background, of which nine tenths are
    right. *plane*: everything, with its errors. *above*: where it is sure.
    """
    if arm == "plane":
        return shown.copy()
    if arm == "above":
        return np.where(confidence >= SURE, shown, 0)
    accepted = np.zeros_like(shown)
    if arm == "objects":
        for value in np.unique(shown[shown > 1]):
            regions, n = ndimage.label(shown == value)
            right = ndimage.mean(truth == value, regions, range(n + 1))
            is_right = np.asarray(right) >= _RIGHT
            is_right[0] = False
            accepted[is_right[regions]] = value
    return accepted
