"""What a corrective stroke is worth: rounds of looking, correcting, looking again.

A simulated annotator starts with one stroke per class and then adds, in each round, a
few strokes in the largest errors of what ``predict`` shows. Against it stands another
learner, which gets the same number of strokes at random places of random classes. The
forest is scored on both annotations, each round. Cases are appended to ``--out`` as
they are done; run it again, or several shards at once, and it goes on from there.

    python benchmarks/corrective.py --data FOLDER --out benchmarks/results/rounds.jsonl
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
        "fine_tune_s": args.fine_tune_s,
    }
    n_failed = 0 if args.report else run(args, settings)
    records = read_records(args, settings, "rounds")
    if not records:
        print(f"{args.out} holds no case with these settings.", file=sys.stderr)
        return 1
    from _rounds_report import report

    text = report(records)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "corrective", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "corrective")
    add_round_arguments(parser, n_rounds=5)
    parser.add_argument(
        "--fine-tune-s",
        type=float,
        default=0.0,
        help="seconds of fine-tuning in each round, the start included",
    )
    return parser.parse_args()


def run(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Run the cases of this shard that are not in the file; count failures."""
    from _cases import run_round_tasks
    from _rounds import run_rounds

    work = partial(run_rounds, fine_tune_s=args.fine_tune_s)
    return run_round_tasks(args, settings, ["rounds"], work)


if __name__ == "__main__":
    raise SystemExit(main())
