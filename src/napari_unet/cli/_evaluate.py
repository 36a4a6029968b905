"""``napari-unet evaluate``: scores of label files against the truth."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_unet.cli._console import complain, naming, print_table, write_json
from napari_unet.cli._measures import Measure, chosen_measure, mean_scores
from napari_unet.cli._options import add_files, add_json, count
from napari_unet.errors import ConfigError, NapariUnetError

__all__ = ["add_parser", "mean_scores", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="compare labels with the truth: classes, objects or membranes",
        description="Compare label files with their truth: IoU and Dice per class and "
        "their mean. The values count as they are in the files. With several pairs, "
        "each class is averaged over the pairs that have it, then over the classes; "
        "scores of objects and of membranes are averaged over the pairs.",
        allow_abbrev=False,
    )
    add_files(parser, "--prediction", "predicted labels")
    add_files(parser, "--truth", "true labels, in the order of the predictions")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--instances",
        action="store_true",
        help="score objects, each with a number of its own, 0 for the background: SEG, "
        "panoptic quality, average precision at IoU 0.5 to 0.95, F1, AJI",
    )
    what.add_argument(
        "--em",
        action="store_true",
        help="score membranes between cells, two values in all: V_Rand and V_Info of "
        "ISBI 2012, warping error, pixel error, IoU",
    )
    parser.add_argument(
        "--membrane",
        type=count,
        metavar="VALUE",
        help="with --em: value of the membrane (default: the lower of the two)",
    )
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

    _check(args)
    measure = chosen_measure(args)
    n_pairs = len(args.truth)
    scores: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    for prediction, truth in zip(args.prediction, args.truth, strict=True):
        pair = {"prediction": prediction, "truth": truth}
        try:
            with naming(prediction, truth):
                score = measure.score(
                    read_labels(prediction).array, read_labels(truth).array
                )
        except NapariUnetError as error:
            if n_pairs == 1:
                raise
            complain(str(error))
            files.append(pair | {"error": str(error)})
            continue
        scores.append(score)
        files.append(pair | score)
    total = measure.mean(scores)
    if args.json:
        write_json(total | {"files": files})
    elif scores:
        _print(measure, files, total)
    n_failed = n_pairs - len(scores)
    if n_failed:
        complain(f"{n_failed} of {n_pairs} pairs failed")
        return 3 if scores else 2
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if len(args.prediction) != len(args.truth):
        raise ConfigError(
            f"--prediction names {len(args.prediction)} files and --truth "
            f"{len(args.truth)}: each prediction needs its truth, in the same order"
        )
    if args.em and args.ignore is not None:
        raise ConfigError(
            "--ignore does not go with --em: a hole in the image would part the cells; "
            "cut the unknown part off both images"
        )
    if args.membrane is not None and not args.em:
        raise ConfigError(
            "--membrane says which value is the membrane for --em; add --em"
        )


def _print(
    measure: Measure, files: Sequence[dict[str, Any]], total: dict[str, Any]
) -> None:
    named = [(Path(f["prediction"]).name, f) for f in files if "error" not in f]
    if len(named) > 1:
        named.append(("all", total))
    rows = [(name, *row) for name, score in named for row in measure.rows(score)]
    print_table(("prediction", *measure.header), rows)
