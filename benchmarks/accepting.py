"""What it does to labels and scores when predictions are accepted as annotation.

A simulated annotator starts with one stroke per class and adds a few in the largest
errors of what ``predict`` shows. After two rounds she accepts nothing, the objects that
are right, the whole plane with its errors, or what is sure, and goes on correcting.
Cases are appended to ``--out`` as they are done; run it again, or several shards at
once, and it goes on from there.

    python benchmarks/accepting.py --data FOLDER --markdown docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

from _runs import (
    add_arguments,
    add_round_arguments,
    limit_threads,
    put_between_marks,
    read_records,
    round_settings,
)


def main() -> int:
    """Run what is not done yet, then print the tables."""
    args = parse_arguments()
    limit_threads(args.threads)
    settings = {**round_settings(args), "steps": args.steps}
    n_failed = 0 if args.report else run(args, settings)
    records = [
        r
        for r in read_records(args, settings, "none")
        if {"objects", "plane", "above"} <= r.keys()
    ]
    if not records:
        print(f"{args.out} holds no case with these settings.", file=sys.stderr)
        return 1
    from _accepting_report import report

    text = report(records)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "accepting", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "accepting")
    add_round_arguments(parser, n_rounds=3, after="the acceptance")
    parser.add_argument(
        "--steps", type=int, default=0, help="of fine-tuning after the last round"
    )
    return parser.parse_args()


def run(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Run the cases of this shard that are not in the file; count failures."""
    from _accepting import ARMS, run_arm
    from _cases import run_round_tasks

    return run_round_tasks(args, settings, ARMS, partial(run_arm, steps=args.steps))


if __name__ == "__main__":
    raise SystemExit(main())
