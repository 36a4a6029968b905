"""How good the labels are after so many strokes and so many seconds.

On each 2D set of a data folder (see `_data.py`) a simulated annotator paints one image.
Compared are the random forest alone, the instant stage (what the gate shows before any
fine-tuning), and what ``predict`` shows after some seconds of fine-tuning, by mean IoU
over classes on that image and on another one of the set. Cases are appended to
``--out`` as they are done; run it again, or several shards at once, and it goes on from
there.

    python benchmarks/interactive.py --data FOLDER --out benchmarks/results/run.jsonl
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any


def main() -> int:
    """Run what is not done yet, then print the tables."""
    args = parse_arguments()
    # numerical libraries read this once, when they are loaded
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    settings = describe_settings(args)
    n_failed = 0 if args.report else run(args, settings)
    records = [
        record
        for record in read_records(args.out, settings)
        if record["case"]["n_strokes"] in args.strokes
        and record["case"]["seed"] in args.seeds
        and (not args.sets or record["case"]["set"] in args.sets)
    ]
    if not records:
        print(f"{args.out} holds no case with these settings.", file=sys.stderr)
        return 1
    from _report import put_between_marks, report

    text = report(records, args.candidates)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "results" / "interactive.jsonl",
        help="one line of JSON per case; cases in it are not run again",
    )
    parser.add_argument("--markdown", type=Path, help="page to put the tables into")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--strokes", nargs="+", type=int, default=[1, 3, 8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--times",
        nargs="*",
        type=float,
        default=[10, 60],
        help="seconds of fine-tuning, since its start, after which to look",
    )
    parser.add_argument("--window", type=int, default=768, help="largest side (px)")
    parser.add_argument(
        "--start", choices=["bundled", "scratch"], default="bundled", help="weights"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th case from i")
    parser.add_argument(
        "--candidates", action="store_true", help="show every candidate in the tables"
    )
    parser.add_argument("--report", action="store_true", help="only print the tables")
    return parser.parse_args()


def describe_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what must be equal for cases to stand in one table."""
    from napari_unet import __version__

    return {
        "data": args.data.resolve().name,
        "times_s": args.times,
        "window_px": args.window,
        "start": args.start,
        "threads": args.threads,
        "version": __version__,
    }


def run(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Run the cases of this shard that are not in the file; return how many failed."""
    from _cases import plan_cases, run_case, warm_up
    from _data import read_manifest, read_picture

    from napari_unet import LearnerConfig

    sets = read_manifest(args.data)
    if unknown := set(args.sets or ()) - set(sets):
        raise SystemExit(f"no 2D set in {args.data}: {', '.join(sorted(unknown))}")
    sets = {name: sets[name] for name in args.sets or sets}
    first, n_shards = (int(part) for part in args.shard.split("/"))
    cases = plan_cases(sets, args.strokes, args.seeds)[first::n_shards]
    done = [record["case"] for record in read_records(args.out, settings)]
    cases = [case for case in cases if asdict(case) not in done]
    config = LearnerConfig(device="cpu", n_threads=args.threads, start=args.start)
    rows = {(name, row.name): row for name in sets for row in sets[name]}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    origin = describe_origin()
    warm_up(config)
    n_failed = 0
    for number, case in enumerate(cases, start=1):
        painted, other = (
            read_picture(args.data, rows[case.set, name], args.window) if name else None
            for name in (case.image, case.other)
        )
        assert painted is not None
        started = time.perf_counter()
        try:
            result = run_case(case, painted, other, args.times, config)
        except Exception:  # one bad case must not end a night's run
            traceback.print_exc()
            n_failed += 1
            continue
        wall_s = round(time.perf_counter() - started, 1)
        record = {"case": asdict(case), **result, "wall_s": wall_s}
        append(args.out, {**record, "settings": settings, "origin": origin})
        print(f"{number}/{len(cases)} {_one_line(record)}", file=sys.stderr, flush=True)
    return n_failed


def _one_line(record: dict[str, Any]) -> str:
    case, scores = record["case"], record["scores"]
    shown = {"forest": "forest"} | {f"shown@{t}": f"{t} s" for t in record["shown"]}
    means = [
        f"{title} "
        + "/".join(f"{fmean(iou.values()):.3f}" for iou in scores[key].values())
        for key, title in shown.items()
    ]
    return (
        f"{case['set']} {case['image']}, {case['n_strokes']} strokes, seed "
        f"{case['seed']}: {', '.join(means)} ({record['wall_s']} s)"
    )


def describe_origin() -> dict[str, str]:
    """Return commit, machine and library versions, to say where figures come from."""
    import torch

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def append(path: Path, record: dict[str, Any]) -> None:
    """Append one line in one write, so that shards can share the file."""
    line = (json.dumps(record) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def read_records(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cases of a file that were run with these settings, in one order."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    wanted = json.loads(json.dumps(settings))
    records = [json.loads(line) for line in lines]
    mine = [r for r in records if r["settings"] == wanted]
    return sorted(mine, key=lambda r: (r["case"]["set"], r["case"]["seed"]))


if __name__ == "__main__":
    raise SystemExit(main())
