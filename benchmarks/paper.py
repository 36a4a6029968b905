"""Trained on complete annotations: the paper's recipe, ours, and other libraries.

Each of five sets of a data folder (see `_paper_data.py`) is halved. Networks are
trained on the first half, completely annotated or in part, and measured on the rest.
All get the same targets, the same number of training pixels (steps x patches x output
pixels) and the same way from labels and probabilities to objects. How the border
becomes a part of the objects before that differs, see README.md. What is done is
appended to ``--out``; run it again, or several shards at once, and it goes on from
there.

    python benchmarks/paper.py --data FOLDER --threads 1
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _runs import (
    Task,
    add_arguments,
    base_settings,
    limit_threads,
    put_between_marks,
    read_lines,
    read_sets,
    run_tasks,
    shard_of,
)

if TYPE_CHECKING:
    from _data import Row

Record = dict[str, Any]


def main() -> int:
    """Run what is not done yet, then print the tables and draw the curve."""
    args = parse_arguments()
    limit_threads(args.threads)
    settings = {**base_settings(args), "budget_mpx": args.budget_mpx}
    from _paper_data import SETS

    args.sets = args.sets or list(SETS)
    n_failed = 0 if args.report else run(args, settings)
    lines = [
        line
        for line in read_lines(args.out, settings)
        if line["case"]["set"] in args.sets and line["case"]["seed"] in args.seeds
    ]
    if not lines:
        print(f"{args.out} holds nothing with these settings.", file=sys.stderr)
        return 1
    from _paper_curve import draw_curve
    from _paper_report import report

    picture = args.curve
    if picture is None and args.markdown:
        picture = args.markdown.parent / "images" / "paper-curve.png"
    link = ""
    if picture and draw_curve(lines, picture):
        page = args.markdown or args.out
        link = Path(os.path.relpath(picture, page.parent)).as_posix()
    text = report(lines, link)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "paper", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "paper")
    parser.add_argument(
        "--methods", nargs="+", help="only these; default: all that are installed"
    )
    parser.add_argument(
        "--fractions",
        nargs="+",
        type=float,
        default=[1.0],
        help="parts of the training half that are annotated, such as 1 0.25 0.05 0.01",
    )
    parser.add_argument(
        "--budget-mpx",
        type=float,
        default=10.0,
        help="training pixels of each method, in millions: 10 take the compact network "
        "about two minutes on one CPU thread",
    )
    parser.add_argument(
        "--paper-mpx",
        type=float,
        help="the same, for the paper's network at full width alone: it is slow on a "
        "CPU; the tables show it",
    )
    parser.add_argument("--curve", type=Path, help="picture to draw")
    return parser.parse_args()


def run(args: argparse.Namespace, settings: Record) -> int:
    """Run what this shard has to do and the file does not hold; count failures."""
    import torch
    from _paper_ours import OURS
    from _paper_peers import PEERS, installed

    torch.set_num_threads(args.threads)
    known = [*OURS, *installed()]
    methods = args.methods or known
    if absent := [name for name in methods if name not in known]:
        advice = "not installed" if set(absent) <= set(PEERS) else "no such method"
        raise SystemExit(f"{', '.join(absent)}: {advice}; there are {', '.join(known)}")
    sets = read_sets(args)
    tasks = [
        Task(
            {"set": name, "fraction": fraction, "seed": seed},
            method,
            f"{name}, {fraction:.0%} annotated, seed {seed}",
            partial(run_one, args, sets[name], method, fraction, seed),
        )
        for seed in args.seeds
        for fraction in sorted(args.fractions, reverse=True)
        for method in methods
        for name in args.sets
    ]
    return run_tasks(args, settings, shard_of(args, tasks))


def run_one(
    args: argparse.Namespace,
    rows: list[Row],
    method: str,
    fraction: float,
    seed: int,
) -> Record:
    """Train one method on the training half of a set and measure it on the rest."""
    from _paper_data import keep_part, read_half, split
    from _paper_ours import OURS, run_own
    from _paper_training import run_peer

    train_rows, test_rows = split(rows[0].set, rows)
    train, test = (read_half(args.data, half) for half in (train_rows, test_rows))
    annotations = keep_part(train, fraction, seed)
    budget_mpx = args.budget_mpx
    if method == "paper" and args.paper_mpx is not None:
        budget_mpx = args.paper_mpx
    kind, budget_px = rows[0].kind, budget_mpx * 1e6
    if method in OURS:
        config = {"device": args.device, "n_threads": args.threads, "seed": seed}
        result = run_own(
            method, kind, train, annotations, test, budget_px=budget_px, config=config
        )
    else:
        result = run_peer(
            method,
            kind,
            train,
            annotations,
            test,
            budget_px=budget_px,
            seed=seed,
            device=args.device,
        )
    return {
        **result,
        "kind": kind,
        "train": [sample.name for sample in train],
        "test": [sample.name for sample in test],
        "n_annotated_px": sum(int((part > 0).sum()) for part in annotations),
    }


if __name__ == "__main__":
    raise SystemExit(main())
