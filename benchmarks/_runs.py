"""What the benchmarks share: their command line, and files that a run goes on from.

A run is a list of tasks, each one part of one case. Every task that is done is one line
of JSON; lines of one case and the same settings are put together when they are read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _data import Row

__all__ = [
    "Task",
    "add_arguments",
    "add_round_arguments",
    "add_stroke_arguments",
    "base_settings",
    "limit_threads",
    "put_between_marks",
    "read_lines",
    "read_records",
    "read_sets",
    "round_settings",
    "run_tasks",
    "shard_of",
    "stroke_settings",
]

Record = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """One part of a case: what names it in the file and on the screen, and its work."""

    case: Record
    part: str
    title: str
    work: Callable[[], Record]


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options that all benchmarks have."""
    results = Path(__file__).parent / "results"
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument(
        "--out",
        type=Path,
        default=results / f"{name}.jsonl",
        help="lines of JSON; what is in it already is not run again",
    )
    parser.add_argument("--markdown", type=Path, help="page to put the tables into")
    parser.add_argument("--sets", nargs="+", help="only these sets")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--shard", default="0/1", help="i/n: every n-th case from i")
    parser.add_argument("--report", action="store_true", help="only print the tables")


def add_stroke_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of those that paint strokes on an image."""
    parser.add_argument("--window", type=int, default=768, help="largest side (px)")
    parser.add_argument(
        "--start", choices=["bundled", "scratch"], default="bundled", help="weights"
    )


def add_round_arguments(
    parser: argparse.ArgumentParser, n_rounds: int, after: str = "the start"
) -> None:
    """Add the options of those that paint in rounds; ``n_rounds`` is the default."""
    add_stroke_arguments(parser)
    parser.add_argument("--rounds", type=int, default=n_rounds, help=f"after {after}")
    parser.add_argument(
        "--strokes", type=int, default=3, help="strokes that a round adds, in all"
    )


def limit_threads(n_threads: int) -> None:
    """Tell the numerical libraries, which read this once, when they are loaded."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(n_threads)


def base_settings(args: argparse.Namespace, start: str = "bundled") -> Record:
    """Return what must be equal for cases to stand in one table."""
    from napari_unet import __version__
    from napari_unet.core.start import bundled_path

    path = bundled_path("compact") if start == "bundled" else None
    return {
        "weights": hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path else "",
        "data": args.data.resolve().name,
        "device": args.device,
        "threads": args.threads,
        "version": __version__,
    }


def stroke_settings(args: argparse.Namespace) -> Record:
    """Return the same, of those that paint strokes on an image."""
    settings = base_settings(args, args.start)
    return {**settings, "window_px": args.window, "start": args.start}


def round_settings(args: argparse.Namespace) -> Record:
    """Return the same, of those that paint in rounds."""
    settings = stroke_settings(args)
    return {**settings, "n_rounds": args.rounds, "n_strokes": args.strokes}


def read_sets(args: argparse.Namespace) -> dict[str, list[Row]]:
    """Return the sets that were asked for."""
    from _data import read_manifest

    sets = read_manifest(args.data)
    if unknown := set(args.sets or ()) - set(sets):
        raise SystemExit(f"no 2D set in {args.data}: {', '.join(sorted(unknown))}")
    return {name: sets[name] for name in args.sets or sets}


def shard_of(args: argparse.Namespace, items: Sequence[T]) -> Sequence[T]:
    """Return this shard's part of them."""
    first, n_shards = (int(number) for number in args.shard.split("/"))
    return items[first::n_shards]


def run_tasks(args: argparse.Namespace, settings: Record, tasks: Sequence[Task]) -> int:
    """Do what the file does not hold; count failures."""
    done = {_key(line) for line in read_lines(args.out, settings)}
    tasks = [t for t in tasks if _key({"case": t.case, "part": t.part}) not in done]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    origin = describe_origin()
    n_failed = 0
    for number, task in enumerate(tasks, start=1):
        started = time.perf_counter()
        try:
            result = task.work()
        except Exception:  # one bad case must not end a night's run
            traceback.print_exc()
            n_failed += 1
            continue
        line = {"case": task.case, "part": task.part, **result}
        line["wall_s"] = round(time.perf_counter() - started, 1)
        _append(args.out, {**line, "settings": settings, "origin": origin})
        print(
            f"{number}/{len(tasks)} {task.title}, {task.part}: {line['wall_s']} s",
            file=sys.stderr,
            flush=True,
        )
    return n_failed


def read_records(
    args: argparse.Namespace, settings: Record, main_part: str
) -> list[Record]:
    """Return the cases asked for, parts put together, in one order.

    A record is the line of ``main_part`` with scores and times of the other parts among
    its own; their other fields are under the name of the part. A part run twice
    counts as it was last.
    """
    parts: dict[str, dict[str, Record]] = {}
    for line in read_lines(args.out, settings):
        case = line["case"]
        if case["seed"] in args.seeds and (not args.sets or case["set"] in args.sets):
            parts.setdefault(_key(line)[0], {})[line["part"]] = line
    records = []
    for lines in parts.values():
        record = lines.pop(main_part, None)
        if record is None:
            continue
        for name, line in lines.items():
            record["scores"] |= line.get("scores", {})
            record["ready_s"] |= line.get("ready_s", {})
            record[name] = line
        records.append(record)
    return sorted(records, key=lambda r: (r["case"]["set"], r["case"]["seed"]))


def put_between_marks(path: Path, name: str, text: str) -> None:
    """Write the text into a page between its marks, or as a new page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = path.read_text(encoding="utf-8") if path.exists() else f"{begin}\n{end}\n"
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no lines '{begin}' and '{end}': add them first")
    head, tail = page.split(begin)[0], page.split(end)[1]
    path.write_text(f"{head}{begin}\n\n{text}\n{end}{tail}", encoding="utf-8")


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


def _key(line: Record) -> tuple[str, str]:
    return json.dumps(line["case"], sort_keys=True), line["part"]


def read_lines(path: Path, settings: Record) -> Iterator[Record]:
    """Yield the lines of a file that were run with these settings."""
    if not path.exists():
        return
    wanted = json.loads(json.dumps(settings))
    for text in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["settings"] == wanted and "part" in line:
            yield line


def _append(path: Path, line: Record) -> None:
    """Append one line in one write, so that shards can share the file."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, (json.dumps(line) + "\n").encode())
    finally:
        os.close(handle)
