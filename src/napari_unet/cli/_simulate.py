"""``napari-unet simulate``: the simulated annotator."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_unet.cli._console import naming, write_json
from napari_unet.cli._files import refuse_overwriting
from napari_unet.cli._options import IMAGE_FILES, add_json, count, positive

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "simulate",
        help="paint strokes as a person would, from a complete truth",
        description="The simulated annotator: paint smooth strokes inside each class "
        "of a class map (0 unknown, 1 background, 2 and up the classes). The same seed "
        "gives the same strokes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--truth",
        type=Path,
        required=True,
        metavar="FILE",
        help=f"class map ({IMAGE_FILES})",
    )
    parser.add_argument(
        "--strokes", type=positive, required=True, metavar="N", help="strokes per class"
    )
    parser.add_argument("--seed", type=count, default=0, help="default: 0")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="annotation to write (.tif or .png)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Paint and write."""
    import numpy as np

    from napari_unet.annotation.simulate import simulate_strokes
    from napari_unet.cli._read import read_labels
    from napari_unet.export import check_label_suffix, check_writable, write_labels

    refuse_overwriting([args.out], [args.truth])
    truth = read_labels(args.truth)
    check_label_suffix(args.out)
    check_writable(args.out)
    with naming(args.truth):
        annotation = simulate_strokes(truth.array, args.strokes, args.seed)
    scale = truth.scale("TZYX"[-annotation.ndim :])
    write_labels(args.out, annotation, scale=scale, unit=truth.unit)
    values, n_px = np.unique(annotation[annotation > 0], return_counts=True)
    painted = dict(zip(values.tolist(), n_px.tolist(), strict=True))
    if args.json:
        write_json({"annotation": args.out, "n_px": painted})
    else:
        counts = ", ".join(f"{n} px of class {value}" for value, n in painted.items())
        print(f"{args.out}: {counts or 'nothing'}")
    return 0
