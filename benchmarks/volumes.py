"""How good the labels of a volume are after strokes in three of its planes.

On each 3D set of a data folder a simulated annotator paints the planes at a quarter,
half and three quarters. Compared on the other planes, by mean IoU over classes, are a
random forest on 3D filters, the instant stage plane by plane and along three axes, and
the network fine-tuned for as many steps plane by plane (2d), with the next planes as
channels (2.5d), and in 3D (3d).

    python benchmarks/volumes.py --data FOLDER --out benchmarks/results/volumes.jsonl
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from _runs import (
    Task,
    add_arguments,
    base_settings,
    limit_threads,
    put_between_marks,
    read_lines,
    run_tasks,
    shard_of,
)

if TYPE_CHECKING:
    import numpy as np
    from _volumes import Volume
    from numpy.typing import NDArray

Record = dict[str, Any]
_DIMENSIONS = ("2d", "2.5d", "3d")
_COLUMNS = ("forest 3D", "instant", "three axes", *_DIMENSIONS)


def main() -> int:
    """Run what is not done yet, then print the table."""
    args = parse_arguments()
    limit_threads(args.threads)
    settings = base_settings(args) | {
        "window_px": args.window,
        "n_strokes": args.strokes,
        "steps": args.steps,
    }
    n_failed = 0 if args.report else run_tasks(args, settings, plan(args))
    text = report(list(read_lines(args.out, settings)), args.sets, args.seeds)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "volumes", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "volumes")
    parser.add_argument("--window", type=int, default=160, help="largest side (px)")
    parser.add_argument(
        "--strokes", type=int, default=4, help="of each class in each painted plane"
    )
    parser.add_argument("--steps", type=int, default=100, help="of fine-tuning")
    return parser.parse_args()


def plan(args: argparse.Namespace) -> list[Task]:
    """Return the tasks of this shard: for each set and seed the forest and networks."""
    from _volumes import list_volumes, paint, read_volume

    tasks = []
    volumes = list_volumes(args.data)
    if unknown := set(args.sets or ()) - set(volumes):
        raise SystemExit(f"no 3D set in {args.data}: {', '.join(sorted(unknown))}")
    for seed in args.seeds:
        for name in args.sets or volumes:
            case = {"set": name, "seed": seed}

            def load(
                line: dict[str, str] = volumes[name], seed: int = seed
            ) -> tuple[Volume, NDArray[np.uint8]]:
                volume = read_volume(args.data, line, args.window)
                return volume, paint(volume, args.strokes, seed)

            tasks.append(Task(case, "forest", name, partial(_forest, load, seed)))
            tasks += [
                Task(case, d, name, partial(_learner, load, seed, d, args))
                for d in _DIMENSIONS
            ]
    return list(shard_of(args, tasks))


def _forest(load: Callable[[], Any], seed: int) -> Record:
    from _volumes import predict_forest

    volume, annotation = load()
    labels = predict_forest(volume, annotation, seed)
    return {"scores": {"forest 3D": _score(volume, annotation, labels)}}


def _learner(
    load: Callable[[], Any], seed: int, dimensions: str, args: argparse.Namespace
) -> Record:
    from napari_unet import Learner, LearnerConfig
    from napari_unet.jobs import finish

    volume, annotation = load()
    config = LearnerConfig(
        device=args.device, n_threads=args.threads, seed=seed, dimensions=dimensions
    )
    learner = Learner(config)
    learner.annotate(volume.image, annotation, axes="ZYX", scale=volume.scale)
    finish(learner.update())

    def score(candidate: str) -> dict[str, float]:
        labels = learner.predict(volume.image, axes="ZYX", candidate=candidate)
        return _score(volume, annotation, labels)

    scores = {}
    if dimensions == "2d":  # the same for all
        scores = {"instant": score("instant")}
        if (volume.anisotropy or 1) <= 2:
            job = learner.predict_maps_job(
                volume.image, axes="ZYX", candidate="instant", three_axes=True
            )
            labels = finish(job).labels
            scores["three axes"] = _score(volume, annotation, labels)
    started = time.perf_counter()
    finish(learner.fine_tune(steps=args.steps))
    seconds = time.perf_counter() - started
    scores[dimensions] = score("fine-tuned")
    status = learner.status
    held_out = {name: s.mean_iou for name, s in status.scores.items()}
    return {
        "scores": scores,
        "seconds": round(seconds, 1),
        "chosen": status.chosen,
        "held_out": held_out,
    }


def _score(
    volume: Volume, annotation: NDArray[np.uint8], labels: NDArray[np.integer]
) -> dict[str, float]:
    """Return the IoU of each painted class on the planes without strokes."""
    import numpy as np
    from _judge import score_labels

    is_judged = ~annotation.any(axis=(1, 2))
    values = np.unique(annotation[annotation > 0]).tolist()
    found = score_labels(volume.truth[is_judged], labels[is_judged], values)
    return {str(value): round(iou, 4) for value, iou in found.items()}


def report(lines: list[Record], sets: list[str] | None, seeds: list[int]) -> str:
    """Return the table, a row for each set, means over seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    n_seconds: dict[str, list[float]] = {}
    for line in lines:
        case = line["case"]
        if case["seed"] not in seeds or (sets and case["set"] not in sets):
            continue
        of_set = found.setdefault(case["set"], {})
        for key, iou in line["scores"].items():
            of_set.setdefault(key, []).append(fmean(iou.values()))
        if "seconds" in line:
            n_seconds.setdefault(line["part"], []).append(line["seconds"])
    rows = [
        "| set | " + " | ".join(_COLUMNS) + " | 3d - forest 3D | 3d - 2d |",
        "|" + "---|" * (len(_COLUMNS) + 3),
    ]
    for name, scores in sorted(found.items()):
        mean = {key: fmean(values) for key, values in scores.items()}
        cells = [f"{mean[key]:.3f}" if key in mean else "-" for key in _COLUMNS]
        for other in ("forest 3D", "2d"):
            both = "3d" in mean and other in mean
            cells.append(f"{mean['3d'] - mean[other]:+.3f}" if both else "-")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    times = ", ".join(f"{d} {fmean(n_seconds[d]):.0f} s" for d in n_seconds)
    return "\n".join([*rows, "", f"Fine-tuning took on average: {times}.", ""])


if __name__ == "__main__":
    raise SystemExit(main())
