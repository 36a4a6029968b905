"""Pretrain the bundled weights.

``python -m tools.pretrain --data FOLDER --out runs/compact --minutes 90``

goes on from ``--out`` where an earlier run stopped, and writes the log ``log.jsonl``,
the state ``state.pt`` and the file for the package, ``compact.safetensors``.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tools.pretrain.episodes import Episode, draw_episode
from tools.pretrain.export import export
from tools.pretrain.procedural import draw_pair
from tools.pretrain.real import RealImages, set_names
from tools.pretrain.stream import BatchStream
from tools.pretrain.training import Settings, Trainer, append

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
        "--minutes", type=float, default=60.0, help="how long; the rate falls at last"
    )
    parser.add_argument(
        "--steps", type=int, help="how long, instead of --minutes: the same on any day"
    )
    parser.add_argument(
        "--cool", type=float, default=0.4, help="share of that in which it falls"
    )
    parser.add_argument("--batch", type=int, default=4, help="episodes a step")
    parser.add_argument(
        "--crop",
        type=int,
        nargs="+",
        default=[128],
        help="sides of crops (px), of which each step takes one at random",
    )
    parser.add_argument("--rate", type=float, default=1e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="makers of episodes")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    args = parser.parse_args()
    if args.steps is not None and args.steps <= 0:
        parser.error("--steps must be above 0")
    if args.minutes <= 0 or not 0 < args.cool <= 1:
        parser.error("--minutes must be above 0, and --cool above 0 and at most 1")
    if any(crop <= 0 or crop % _GRID_PX for crop in args.crop):
        parser.error(f"--crop must be multiples of {_GRID_PX} px")
    if args.data is not None and not (args.data / "manifest.csv").is_file():
        parser.error(f"--data: there is no manifest.csv in '{args.data}'")
    return args


def validation_episodes(data: Path | None, size: int, n: int = 48) -> list[Episode]:
    """Return the same episodes each time: real ones that training leaves out."""
    rng = np.random.default_rng(12345)
    real = RealImages(data, validation=True) if data else None
    episodes = []
    for number in itertools.count():
        if len(episodes) == n:
            return episodes
        pair = real.draw(rng, size) if real else draw_pair(10**15 + number)
        episode = draw_episode(rng, pair, size)
        if episode is not None:
            episodes.append(episode)
    return episodes


def main() -> None:
    """Train until the time is over."""
    args = parse()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    state, log = args.out / "state.pt", args.out / "log.jsonl"
    settings = Settings(
        seed=args.seed,
        batch=args.batch,
        crop_px=tuple(args.crop),
        learning_rate=args.rate,
    )
    trainer = Trainer(settings, torch.device(args.device))
    if state.exists():
        trainer.resume(state)
    # another seed after each resume, or the same episodes would come again
    fresh = replace(settings, seed=settings.seed + trainer.n_steps)
    stream = BatchStream(args.data, fresh, args.workers)
    validation = validation_episodes(args.data, max(settings.crop_px))
    said = {k: v for k, v in vars(args).items() if k not in ("data", "out")}
    append(log, {"step": trainer.n_steps, "arguments": str(said)})
    batch = next(stream)  # the workers take their time to start
    began = saved = time.monotonic()
    first_step, recent = trainer.n_steps, []
    while True:
        n_done = trainer.n_steps - first_step
        spent = (time.monotonic() - began) / (60 * args.minutes)
        if args.steps is not None:
            spent = n_done / args.steps
        rate = min(1.0, (1.0 - spent) / args.cool, (n_done + 1) / _WARM_UP_STEPS)
        if rate <= 0:
            break
        recent.append(trainer.step(batch, rate))
        batch = next(stream)
        if trainer.n_steps % _LOG_EVERY == 0:
            means = {k: float(np.mean([r[k] for r in recent])) for k in recent[0]}
            append(log, {"step": trainer.n_steps, "rate": rate, **means})
            recent = []
        if time.monotonic() - saved > _SAVE_EVERY_S:
            save(trainer, args.out, validation, args.data)
            saved = time.monotonic()
    save(trainer, args.out, validation, args.data)


def save(
    trainer: Trainer, folder: Path, validation: list[Episode], data: Path | None
) -> None:
    """Validate and write state and package file."""
    scores = trainer.validate(validation)
    append(
        folder / "log.jsonl",
        {
            "step": trainer.n_steps,
            "hours": trainer.seconds / 3600,
            **{f"validation_{k}": v for k, v in scores.items()},
        },
    )
    trainer.save(folder / "state.pt")
    names = ["procedural", *(set_names(data) if data else [])]
    described = {"data": names, "validation": scores}
    export(trainer, folder / "compact.safetensors", described)


if __name__ == "__main__":
    main()
