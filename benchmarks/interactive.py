"""How good the labels are after so many strokes and so many seconds.

On each 2D set of a data folder (see `_data.py`) a simulated annotator paints one image.
Compared are the random forest alone, the instant stage (what the gate shows before any
fine-tuning), what ``predict`` shows after some seconds of fine-tuning, the same network
from random weights, and other programs (`peers.py`) where they are installed, by mean
IoU over classes on that image and on another one of the set. Cases are appended to
``--out`` as they are done; run it again, or several shards at once, and it goes on from
there.

    python benchmarks/interactive.py --data FOLDER --out benchmarks/results/run.jsonl
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _runs import (
    add_arguments,
    add_stroke_arguments,
    limit_threads,
    put_between_marks,
    read_records,
    read_sets,
    run_tasks,
    stroke_settings,
)

if TYPE_CHECKING:
    from _cases import Case
    from _data import Picture

    from napari_unet import LearnerConfig


def main() -> int:
    """Run what is not done yet, then print the tables and draw the curve."""
    args = parse_arguments()
    limit_threads(args.threads)
    settings = stroke_settings(args)
    n_failed = 0 if args.report else run(args, settings)
    records = [
        record
        for record in read_records(args, settings, "learner")
        if record["case"]["n_strokes"] in args.strokes
    ]
    if not records:
        print(f"{args.out} holds no case with these settings.", file=sys.stderr)
        return 1
    from _plot import draw_curves
    from _report import report

    picture = args.curve
    if picture is None and args.markdown:
        picture = args.markdown.parent / "images" / "interactive-curve.png"
    link = ""
    if picture:
        draw_curves(records, picture)
        page = args.markdown or args.out
        link = Path(os.path.relpath(picture, page.parent)).as_posix()
    text = report(records, link, args.candidates)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "interactive", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "interactive")
    add_stroke_arguments(parser)
    parser.add_argument("--strokes", nargs="+", type=int, default=[1, 3, 8])
    parser.add_argument(
        "--times",
        nargs="*",
        type=float,
        default=[2, 10, 60],
        help="seconds of fine-tuning, since its start, after which to look; a file may "
        "hold longer runs of some cases",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=["learner", "scratch", "peers"],
        default=["learner", "scratch", "peers"],
        help="what to run now; the tables show all that the file holds",
    )
    parser.add_argument(
        "--curve",
        type=Path,
        help="picture to draw; beside --markdown: images/interactive-curve.png",
    )
    parser.add_argument(
        "--candidates", action="store_true", help="show every candidate in the tables"
    )
    return parser.parse_args()


def run(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Run the parts of this shard that are not in the file; count failures."""
    from _cases import plan_cases, plan_tasks, warm_up
    from peers import installed_peers

    from napari_unet import LearnerConfig

    cases = plan_cases(read_sets(args), args.strokes, args.seeds)
    parts = [name for name in args.parts if name != "peers"]
    if "peers" in args.parts:
        parts += installed_peers()
    config = LearnerConfig(device=args.device, n_threads=args.threads, start=args.start)
    warm_up(config)
    work = partial(run_part, config=config, times_s=args.times)
    return run_tasks(args, settings, plan_tasks(args, cases, parts, work))


def run_part(
    case: Case,
    part: str,
    painted: Picture,
    other: Picture | None,
    *,
    config: LearnerConfig,
    times_s: list[float],
) -> dict[str, Any]:
    """Run one part of a case."""
    from _cases import run_learner, run_scratch
    from peers import run_peer

    if part == "learner":
        return run_learner(case, painted, other, times_s, config)
    if part == "scratch":
        return run_scratch(case, painted, other, times_s, config)
    return run_peer(part, case, painted, other)


if __name__ == "__main__":
    raise SystemExit(main())
