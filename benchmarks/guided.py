"""Whether it helps to paint where the model is least sure.

A simulated annotator starts with one stroke per class and adds a few in each round: at
random places, in the regions to which *Next uncertain region* leads, or in the largest
errors, as many each time. What ``predict`` shows is scored after each round. Cases are
appended to ``--out`` as they are done; run it again, or several shards at once, and it
goes on from there.

    python benchmarks/guided.py --data FOLDER --out benchmarks/results/guided.jsonl
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
    settings = {
        **round_settings(args),
        "measure": args.measure,
    }
    n_failed = 0 if args.report else run(args, settings)
    records = [
        r
        for r in read_records(args, settings, "random")
        if {"guided", "corrective"} <= r.keys()
    ]
    if not records:
        print(f"{args.out} holds no case with these settings.", file=sys.stderr)
        return 1
    from _guided_report import report

    text = report(records)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "guided", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "guided")
    add_round_arguments(parser, n_rounds=4)
    parser.add_argument(
        "--measure",
        choices=["entropy", "flips"],
        default="entropy",
        help="how uncertainty is measured",
    )
    return parser.parse_args()


def run(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Run the cases of this shard that are not in the file; count failures."""
    from _cases import run_round_tasks
    from _guided import ARMS, run_arm

    return run_round_tasks(args, settings, ARMS, partial(run_arm, measure=args.measure))


if __name__ == "__main__":
    raise SystemExit(main())
