"""``napari-unet evaluate``: IoU and Dice of label files against the truth."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_unet.cli._console import complain, naming, print_table, write_json
from napari_unet.cli._options import add_files, add_json, count
from napari_unet.errors import ConfigError, NapariUnetError

__all__ = ["add_parser", "mean_scores", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="compare labels with the truth: IoU and Dice",
        description="Compare label files with their truth: IoU and Dice per class and "
        "their mean. The values count as they are in the files. With several pairs, "
        "each class is averaged over the pairs that have it, then over the classes.",
        allow_abbrev=False,
    )
    add_files(parser, "--prediction", "predicted labels")
    add_files(parser, "--truth", "true labels, in the order of the predictions")
    parser.add_argument(
        "--ignore",
        type=count,
        metavar="VALUE",
        help="leave out pixels whose truth has this value, such as 0 for unknown",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score every pair; report those that failed and go on."""
    from napari_unet.cli._read import read_labels
    from napari_unet.core.metrics import evaluate

    if len(args.prediction) != len(args.truth):
        raise ConfigError(
            f"--prediction names {len(args.prediction)} files and --truth "
            f"{len(args.truth)}: each prediction needs its truth, in the same order"
        )
    n_pairs = len(args.truth)
    scores: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for prediction, truth in zip(args.prediction, args.truth, strict=True):
        pair = {"prediction": prediction, "truth": truth}
        try:
            with naming(prediction, truth):
                score = evaluate(
                    read_labels(prediction).array,
                    read_labels(truth).array,
                    ignore=args.ignore,
                )
        except NapariUnetError as error:
            if n_pairs == 1:
                raise
            complain(str(error))
            files.append(pair | {"error": str(error)})
            continue
        scores.append(score)
        files.append(pair | score)
    total = mean_scores(scores)
    if args.json:
        write_json(total | {"files": files})
    elif scores:
        _print(files, total)
    n_failed = n_pairs - len(scores)
    if n_failed:
        complain(f"{n_failed} of {n_pairs} pairs failed")
        return 3 if scores else 2
    return 0


def mean_scores(scores: Sequence[dict[str, Any]]) -> dict[str, Any]:
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
    classes: dict[int, dict[str, Any]] = {}
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


def _mean(values: Sequence[float]) -> float:
    """Return the mean of what is a number; NaN where nothing is."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _print(files: Sequence[dict[str, Any]], total: dict[str, Any]) -> None:
    rows: list[Sequence[Any]] = []
    named = [(Path(f["prediction"]).name, f) for f in files if "classes" in f]
    if len(named) > 1:
        named.append(("all", total))
    for name, score in named:
        for value, one in score["classes"].items():
            rows.append((name, value, one["iou"], one["dice"], one["n_px"]))
        rows.append(
            (name, "mean", score["mean_iou"], score["mean_dice"], score["n_px"])
        )
    print_table(("prediction", "class", "IoU", "Dice", "true px"), rows)
