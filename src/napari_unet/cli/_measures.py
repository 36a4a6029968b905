"""What ``napari-unet evaluate`` measures of a pair: classes, objects or membranes.

For each there is how a pair is scored, how the pairs are averaged, and what the table
shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain

if TYPE_CHECKING:
    import argparse

    import numpy as np

__all__ = ["Measure", "chosen_measure", "mean_scores"]

Score = dict[str, Any]

_MAX_MEMBRANE = 0.5  # membranes cover about a fifth of EM images of tissue
_OBJECT_COLUMNS = {
    "seg": "SEG",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "ap50": "AP 0.5",
    "map": "mean AP",
    "f1_50": "F1 0.5",
    "aji": "AJI",
    "n_true": "true",
    "n_predicted": "predicted",
}
_MEMBRANE_COLUMNS = {
    "v_rand": "V_Rand",
    "v_info": "V_Info",
    "warping_error": "warping error",
    "pixel_error": "pixel error",
    "foreground_iou": "cell IoU",
    "membrane_iou": "membrane IoU",
    "membrane": "membrane is",
}


@dataclass(frozen=True)
class Measure:
    """How pairs are scored, averaged and shown.

    ``score`` takes prediction and truth; ``mean`` takes the scores of several pairs and
    returns one of the same form; ``rows`` gives the table's rows for one score, without
    the first column, which is the file's name.
    """

    score: Callable[[np.ndarray, np.ndarray], Score]
    mean: Callable[[Sequence[Score]], Score]
    header: Sequence[str]
    rows: Callable[[Score], list[tuple[Any, ...]]]


def chosen_measure(args: argparse.Namespace) -> Measure:
    """Return what the options of the command ask for."""
    from napari_unet.core import metrics

    if args.instances:
        return Measure(
            lambda prediction, truth: metrics.evaluate_instances(
                prediction, truth, ignore=args.ignore
            ),
            _mean_of_objects,
            tuple(_OBJECT_COLUMNS.values()),
            lambda score: [tuple(score[key] for key in _OBJECT_COLUMNS)],
        )
    if args.em:
        return Measure(
            lambda prediction, truth: _score_membranes(
                prediction, truth, args.membrane
            ),
            _mean_of_membranes,
            tuple(_MEMBRANE_COLUMNS.values()),
            lambda score: [tuple(score[key] for key in _MEMBRANE_COLUMNS)],
        )
    return Measure(
        lambda prediction, truth: metrics.evaluate(
            prediction, truth, ignore=args.ignore
        ),
        mean_scores,
        ("class", "IoU", "Dice", "true px"),
        _class_rows,
    )


def mean_scores(scores: Sequence[Score]) -> Score:
    """Average each class over the pairs that have it, then over the classes.

    Parameters
    ----------
    scores
        What `napari_unet.core.metrics.evaluate` gave for each pair.

    Returns
    -------
    dict
        Of the same form.
    """
    classes: dict[int, Score] = {}
    for value in sorted({value for score in scores for value in score["classes"]}):
        ones = [
            score["classes"][value] for score in scores if value in score["classes"]
        ]
        classes[value] = {
            "iou": _mean([one["iou"] for one in ones]),
            "dice": _mean([one["dice"] for one in ones]),
            "n_px": sum(one["n_px"] for one in ones),
        }
    return {
        "classes": classes,
        "mean_iou": _mean([one["iou"] for one in classes.values()]),
        "mean_dice": _mean([one["dice"] for one in classes.values()]),
        "n_px": sum(score["n_px"] for score in scores),
    }


def _score_membranes(
    prediction: np.ndarray, truth: np.ndarray, membrane: int | None
) -> Score:
    """Score a pair, and ask where the lower value is hardly the membrane's."""
    from napari_unet.core.metrics import evaluate_em

    score = evaluate_em(prediction, truth, membrane=membrane)
    share = float((truth == score["membrane"]).mean())
    if membrane is None and share > _MAX_MEMBRANE:
        complain(
            f"the value {score['membrane']} was taken for the membrane and covers "
            f"{share:.0%} of the truth; if it means the cells, name the other value "
            "with --membrane"
        )
    return score


def _mean_of_objects(scores: Sequence[Score]) -> Score:
    """Average over the pairs; count the objects of all."""
    total: Score = _means(scores, [key for key in _OBJECT_COLUMNS if key[:2] != "n_"])
    precisions = [score["ap"] for score in scores]
    thresholds = precisions[0] if precisions else ()
    total["ap"] = _means(precisions, thresholds)
    for key in ("n_true", "n_predicted"):
        total[key] = sum(score[key] for score in scores)
    return total


def _mean_of_membranes(scores: Sequence[Score]) -> Score:
    """Average over the pairs; name the membrane's value where all have the same."""
    total = _means(scores, [key for key in _MEMBRANE_COLUMNS if key != "membrane"])
    values = {score["membrane"] for score in scores}
    total["membrane"] = values.pop() if len(values) == 1 else None
    return total


def _means(scores: Sequence[Mapping[Any, float]], keys: Any) -> Score:
    return {key: _mean([score[key] for score in scores]) for key in keys}


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what is a number; NaN where nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _class_rows(score: Score) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        (value, one["iou"], one["dice"], one["n_px"])
        for value, one in score["classes"].items()
    ]
    rows.append(("mean", score["mean_iou"], score["mean_dice"], score["n_px"]))
    return rows
