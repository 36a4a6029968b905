"""Pretrain the bundled weights.

``python -m tools.pretrain --data FOLDER --out runs/compact --minutes 90``

goes on from ``--out`` where an earlier run stopped (``--start`` begins a run with the
package's own weights), and writes the log ``log.jsonl``,
the state ``state.pt`` and the file for the package, ``compact.safetensors``.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_unet.errors import NapariUnetError
from tools.pretrain.episodes import Episode
from tools.pretrain.export import export
from tools.pretrain.real import set_names
from tools.pretrain.stream import BatchStream
from tools.pretrain.training import Settings, Trainer, append
from tools.pretrain.validation import validation_episodes

_LOG_EVERY = 50
_SAVE_EVERY_S = 180.0
_WARM_UP_STEPS = 100
_GRID_PX = 32  # so that half size still fits the poolings


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of annotated images with a manifest.csv; none: procedural alone",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--start",
        type=Path,
        metavar="FILE",
        help="begin with an exported file, such as the package's, instead of random "
        "weights; a run that goes on from its own state does not read it",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=60.0,
        help="how long in all, earlier parts of the run included",
    )
    parser.add_argument(
        "--steps", type=int, help="how long in all, instead of --minutes"
    )
    parser.add_argument(
        "--cool",
        type=float,
        default=0.4,
        help="last share of that, in which the rate falls",
    )
    parser.add_argument("--batch", type=int, default=4, help="episodes a step")
    parser.add_argument(
        "--patch",
        type=int,
        nargs="+",
        default=[128],
        help="sides of patches (px), of which each step takes one at random",
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        help="processes that make episodes; each needs about 1.5 GB of memory",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    args = parser.parse_args()
    for name in ("minutes", "steps", "batch", "rate", "workers", "threads"):
        value = getattr(args, name)
        if value is not None and not 0 < value < math.inf:
            parser.error(f"--{name} must be above 0 and finite")
    if not 0 < args.cool <= 1:
        parser.error("--cool must be above 0 and at most 1")
    if any(side <= 0 or side % _GRID_PX for side in args.patch):
        parser.error(f"--patch must be multiples of {_GRID_PX} px")
    if args.data is not None and not (args.data / "manifest.csv").is_file():
        parser.error(f"--data: there is no manifest.csv in '{args.data}'")
    if args.start is not None and not args.start.is_file():
        parser.error(f"--start: there is no file '{args.start}'")
    return args


def main() -> None:
    """Train until the time is over."""
    args = parse()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    state, log = args.out / "state.pt", args.out / "log.jsonl"
    settings = Settings(
        seed=args.seed,
        batch=args.batch,
        patch_px=tuple(args.patch),
        learning_rate=args.rate,
    )
    trainer = Trainer(settings, torch.device(args.device))
    try:
        if state.exists():
            trainer.resume(state)
        elif args.start is not None:
            trainer.start_from(args.start)
    except (NapariUnetError, ValueError) as error:
        raise SystemExit(str(error)) from error
    # another seed after each resume, or the same episodes would come again
    fresh = replace(settings, seed=settings.seed + trainer.n_steps)
    stream = BatchStream(args.data, fresh, args.workers)
    validation = validation_episodes(args.data, max(settings.patch_px))
    said = {k: v for k, v in vars(args).items() if k not in ("data", "out", "start")}
    append(log, {"step": trainer.n_steps, "arguments": str(said)})
    batch = next(stream)  # the workers take their time to start
    began = saved = time.monotonic() - trainer.seconds
    recent: list[dict[str, float]] = []
    while (rate := rate_now(args, trainer)) > 0:
        recent.append(trainer.step(batch, rate))
        batch = next(stream)
        trainer.seconds = time.monotonic() - began
        if trainer.n_steps % _LOG_EVERY == 0:
            append(log, {"step": trainer.n_steps, "rate": rate, **means(recent)})
            recent = []
        if time.monotonic() - saved > _SAVE_EVERY_S:
            save(trainer, args.out, validation, args.data)
            saved = time.monotonic()
    stream.close()
    save(trainer, args.out, validation, args.data)


def rate_now(args: argparse.Namespace, trainer: Trainer) -> float:
    """Return the share of the learning rate: rising, falling at last, 0 at the end."""
    done = trainer.seconds / (60 * args.minutes)
    if args.steps is not None:
        done = trainer.n_steps / args.steps
    warm_up = (trainer.n_steps + 1) / _WARM_UP_STEPS
    return float(min(1.0, (1.0 - done) / args.cool, warm_up))


def means(logs: list[dict[str, float]]) -> dict[str, float]:
    """Return the means over steps, and how many were left out."""
    taken = [entry for entry in logs if entry]
    result = {k: float(np.mean([e[k] for e in taken])) for k in (taken or [{}])[0]}
    return result | {"n_skipped": len(logs) - len(taken)}


def save(
    trainer: Trainer, folder: Path, validation: list[Episode], data: Path | None
) -> None:
    """Validate; write the state, and the package's file where it got no worse."""
    scores = trainer.validate(validation)
    append(
        folder / "log.jsonl",
        {
            "step": trainer.n_steps,
            "hours": trainer.seconds / 3600,
            **{f"validation_{k}": v for k, v in scores.items()},
        },
    )
    score = (scores["same"] + scores["other"]) / 2
    if score >= trainer.best:
        trainer.best = score
        names = ["procedural", *(set_names(data) if data else [])]
        described = {"data": names, "validation": scores}
        export(trainer, folder / "compact.safetensors", described)
    trainer.save(folder / "state.pt")


if __name__ == "__main__":
    main()
