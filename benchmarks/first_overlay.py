"""How soon labels follow a stroke on a 512x512 view, in a warm process.

The first stroke on an image needs the network's features of the view; later ones find
them in the cache. As in the viewer, the labels are there before the gate has judged.
Both samples are used, mirrored to 512 px; needs no data.

    python benchmarks/first_overlay.py --out benchmarks/results/first_overlay.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from _runs import describe_origin, limit_threads

SIDE_PX = 512


def main() -> None:
    """Time first and later strokes on each sample, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    limit_threads(args.threads)
    from napari_unet.sample import SAMPLES

    result = {
        name: time_strokes(name, args.device, args.threads, args.repeats)
        for name in SAMPLES
    }
    print("| sample | stroke | median (s) | largest (s) |\n| --- | --- | ---: | ---: |")
    for name, rows in result.items():
        for stroke, seconds in rows.items():
            print(
                f"| {name} | {stroke} | {np.median(seconds):.2f} | {max(seconds):.2f} |"
            )
    if args.out:
        settings = {"device": args.device, "threads": args.threads, "side_px": SIDE_PX}
        record = {"seconds": result, "settings": settings, "origin": describe_origin()}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def time_strokes(
    name: str, device: str, n_threads: int, n_repeats: int
) -> dict[str, list[float]]:
    """Return the seconds from a stroke to labels of the view, first and later ones."""
    from _cases import warm_up

    from napari_unet import Learner, LearnerConfig
    from napari_unet.annotation.simulate import simulate_strokes
    from napari_unet.jobs import HeadFitted, finish
    from napari_unet.sample import load_sample

    config = LearnerConfig(device=device, n_threads=n_threads)
    warm_up(config)
    sample = load_sample(name)
    image, truth = _enlarge(sample.image), _enlarge(sample.truth)
    seconds: dict[str, list[float]] = {"first": [], "later": []}
    for seed in range(n_repeats):
        learner = Learner(config)
        for stroke, n_strokes in (("first", 1), ("later", 2)):
            annotation = simulate_strokes(truth, n_strokes, seed)
            started = time.perf_counter()
            learner.annotate(image, annotation, key="view")
            update = learner.update()
            next(event for event in update if isinstance(event, HeadFitted))
            for _ in learner.predict_tiles(image, key="view"):
                pass
            seconds[stroke].append(time.perf_counter() - started)
            finish(update)
    return seconds


def _enlarge(array: np.ndarray) -> np.ndarray:
    """Mirror and cut an array (Y, X, ...) to the view's size."""
    missing = [max(0, SIDE_PX - n) for n in array.shape[:2]]
    width = [(0, n) for n in missing] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, width, mode="symmetric")[:SIDE_PX, :SIDE_PX]


if __name__ == "__main__":
    main()
