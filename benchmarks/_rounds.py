"""One case of the corrective benchmark: rounds of strokes on one image."""

from __future__ import annotations

from typing import Any

import numpy as np
from _cases import Case
from _data import Picture
from _judge import score_labels
from _strokes import add_random_strokes, count_strokes
from numpy.typing import NDArray

from napari_unet import Learner, LearnerConfig
from napari_unet.annotation.simulate import simulate_corrections, simulate_strokes
from napari_unet.jobs import finish

__all__ = ["run_rounds"]

Labels = NDArray[np.integer]
Record = dict[str, Any]


def run_rounds(
    case: Case,
    part: str,
    painted: Picture,
    other: Picture | None,
    *,
    n_rounds: int,
    n_strokes: int,
    fine_tune_s: float,
    config: LearnerConfig,
) -> Record:
    """Correct one learner and stroke another at random; return both scores, by round.

    Scores are IoU per class under ``"corrective@2"`` (what ``predict`` shows after two
    rounds of corrections), ``"random@2"``, and for the forest on the same strokes
    ``"corrective forest@2"``, ``"random forest@2"``.
    """
    config = config.model_copy(update={"seed": case.seed})
    pictures = {"same": painted} | ({"other": other} if other else {})
    start = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    learners = {name: Learner(config) for name in ("corrective", "random")}
    annotations = dict.fromkeys(learners, start)
    result: Record = {"scores": {}, "ready_s": {}, "n_strokes": [], "shown": {}}
    for number in range(n_rounds + 1):
        for name, learner in learners.items():
            learner.annotate(painted.image, annotations[name], axes=painted.axes)
            if fine_tune_s:
                finish(learner.fine_tune(seconds=fine_tune_s))
            labels = {
                where: learner.predict(picture.image, axes=picture.axes)
                for where, picture in pictures.items()
            }
            key = f"{name}@{number}"
            result["scores"][key] = _score(pictures, labels, learner)
            forest = {
                where: learner.predict(
                    picture.image, axes=picture.axes, candidate="forest"
                )
                for where, picture in pictures.items()
            }
            result["scores"][f"{name} forest@{number}"] = _score(
                pictures, forest, learner
            )
            result["shown"][key] = learner.status.chosen
            if name == "corrective":
                shown = labels["same"]
        n_before = count_strokes(annotations["corrective"])
        result["n_strokes"].append(n_before)
        seed = 1000 * (case.seed + 1) + number
        annotations["corrective"] = simulate_corrections(
            painted.truth, shown, annotations["corrective"], n_strokes, seed
        )
        # where the errors leave no room for more, the other gets no more either
        n_added = count_strokes(annotations["corrective"]) - n_before
        annotations["random"] = add_random_strokes(
            painted.truth, annotations["random"], n_added, seed
        )
    return result


def _score(
    pictures: dict[str, Picture], labels: dict[str, Labels], learner: Learner
) -> dict[str, dict[int, float]]:
    values = learner.class_values
    return {
        where: score_labels(picture.truth, labels[where], values)
        for where, picture in pictures.items()
    }
