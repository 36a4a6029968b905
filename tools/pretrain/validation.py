"""What pretraining is judged by: episodes from images that it left out.

``python -m tools.pretrain.validation --data FOLDER score FILE...`` compares exported
files on the same episodes; ``... copy OUT`` writes those images to a folder of their
own, for ``benchmarks/interactive.py``: what is tuned is tuned on them.
"""

from __future__ import annotations

import argparse
import csv
import shutil
from pathlib import Path

import numpy as np
import torch

from tools.pretrain.episodes import Episode, draw_episode
from tools.pretrain.procedural import draw_pair
from tools.pretrain.real import RealImages, validation_rows
from tools.pretrain.training import Settings, Trainer

__all__ = ["validation_episodes"]


def validation_episodes(data: Path | None, size: int, n: int = 48) -> list[Episode]:
    """Return the same ``n`` episodes each time, with patches of ``size`` px.

    From real images that training leaves out; without ``data``, procedural ones.
    """
    rng = np.random.default_rng(12345)
    real = RealImages(data, validation=True) if data else None
    episodes: list[Episode] = []
    number = 10**15
    while len(episodes) < n:
        pair = real.draw(rng, size) if real else draw_pair(number, size + 32)
        number += 1
        episode = draw_episode(rng, pair, size)
        if episode is not None:
            episodes.append(episode)
    return episodes


def main() -> None:
    """Score files, or copy the images."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.pretrain.validation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    commands = parser.add_subparsers(required=True)
    score = commands.add_parser("score", help="print mean IoU of exported files")
    score.add_argument("files", nargs="+", type=Path)
    score.add_argument("--patch", type=int, default=192, help="side of patches (px)")
    score.add_argument("--episodes", type=int, default=96)
    score.set_defaults(run=score_files)
    copy = commands.add_parser("copy", help="write the 2D images to a folder")
    copy.add_argument("out", type=Path)
    copy.set_defaults(run=copy_images)
    args = parser.parse_args()
    args.run(args)


def score_files(args: argparse.Namespace) -> None:
    """Print the mean IoU of each file on the same episodes."""
    episodes = validation_episodes(args.data, args.patch, args.episodes)
    for path in args.files:
        trainer = Trainer(Settings(), torch.device("cpu"))
        trainer.start_from(path)
        scores = trainer.validate(episodes)
        print(f"{path}: same {scores['same']:.3f}, other {scores['other']:.3f}")


def copy_images(args: argparse.Namespace) -> None:
    """Copy the planar images that training leaves out, with their manifest."""
    rows = [row for row in validation_rows(args.data) if row["axes"] != "ZYX"]
    for row in rows:
        for kind in ("images", "labels"):
            part = Path(row["set"]) / kind / f"{row['name']}.tif"
            (args.out / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(args.data / part, args.out / part)
    path = args.out / "manifest.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} images in {args.out}")


if __name__ == "__main__":
    main()
