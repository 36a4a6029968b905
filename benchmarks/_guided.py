"""One case of the guided benchmark: rounds of strokes where the model is least sure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from _cases import Case
from _data import Picture
from _judge import score_labels
from _strokes import add_random_strokes, count_strokes
from numpy.typing import NDArray

from napari_unet import Learner, LearnerConfig
from napari_unet.annotation.simulate import simulate_corrections, simulate_strokes
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import UncertaintyMeasure
from napari_unet.jobs import finish
from napari_unet.learning.uncertain import UncertaintyWatch

__all__ = ["ARMS", "add_guided_strokes", "run_arm"]

ARMS = ("random", "guided", "corrective")
Labels = NDArray[np.integer]
Record = dict[str, Any]
Add = Callable[[Learner, Labels, Labels, int], Labels]


def run_arm(
    case: Case,
    part: str,
    painted: Picture,
    other: Picture | None,
    *,
    n_rounds: int,
    n_strokes: int,
    measure: UncertaintyMeasure,
    config: LearnerConfig,
) -> Record:
    """Paint one stroke of each class, then ``n_strokes`` each round, as ``part`` says.

    *random*: at random places of random classes. *guided*: in the least certain regions
    that are not painted, each of a class drawn at random of those that are there.
    *corrective*: in the largest errors, which a person must find herself. Scores are
    IoU per class of what ``predict`` shows, under ``"guided@2"`` after two rounds.
    """
    config = config.model_copy(update={"seed": case.seed})
    pictures = {"same": painted} | ({"other": other} if other else {})
    learner, watch = Learner(config), UncertaintyWatch(measure)
    learner.watch_uncertainty(watch)
    annotation = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    result: Record = {"scores": {}, "ready_s": {}, f"n_{part}": []}
    for number in range(n_rounds + 1):
        learner.annotate(painted.image, annotation, axes=painted.axes, key="painted")
        labels = {
            where: finish(
                learner.predict_job(
                    picture.image,
                    axes=picture.axes,
                    key="painted" if where == "same" else None,
                )
            )
            for where, picture in pictures.items()
        }
        result["scores"][f"{part}@{number}"] = {
            where: score_labels(picture.truth, labels[where], learner.class_values)
            for where, picture in pictures.items()
        }
        result[f"n_{part}"].append(count_strokes(annotation))
        seed = 1000 * (case.seed + 1) + number
        if part == "guided":
            annotation = add_guided_strokes(
                watch, painted.truth, annotation, n_strokes, seed
            )
        elif part == "random":
            annotation = add_random_strokes(painted.truth, annotation, n_strokes, seed)
        else:
            annotation = simulate_corrections(
                painted.truth, labels["same"], annotation, n_strokes, seed
            )
    return result


def add_guided_strokes(
    watch: UncertaintyWatch,
    truth: Labels,
    annotation: Labels,
    n_strokes: int,
    seed: int,
) -> Labels:
    """Add a stroke in each of the least certain regions of the image *painted*.

    Where the truth knows nothing of a region, or has no room for a stroke, the next
    region gets it; where no region is left, a random place.
    """
    n_wanted = count_strokes(annotation) + n_strokes
    result = annotation
    for number in range(4 * n_strokes):
        found = watch.next_region("painted", TiledLabels.of(result))
        if found is None or count_strokes(result) >= n_wanted:
            break
        box = found.tile
        inside = np.zeros_like(truth)
        part = slice(box.y0, box.y1), slice(box.x0, box.x1)
        inside[part] = truth[part]
        if inside.any():
            result = add_random_strokes(inside, result, 1, seed * 100 + number)
    n_missing = n_wanted - count_strokes(result)
    return add_random_strokes(truth, result, max(n_missing, 0), seed)
