"""How good and how fast a coarser resolution is: downsampling by 1, 2, 4 and 8.

A simulated annotator paints an image; what the instant stage shows of it is scored in
full resolution, and the time from the strokes to labels of the whole image is taken.
Sets named ``NAME*N`` are enlarged N times before, strokes and all, as images are that
have more pixels than their optics resolve.

    python benchmarks/working_scale.py --data FOLDER --threads 1
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from _runs import (
    Task,
    add_arguments,
    add_stroke_arguments,
    limit_threads,
    put_between_marks,
    read_lines,
    run_tasks,
    shard_of,
    stroke_settings,
)

if TYPE_CHECKING:
    import numpy as np
    from _data import Row
    from numpy.typing import NDArray

Record = dict[str, Any]
_FACTORS = (1, 2, 4, 8)


def main() -> int:
    """Run what is not done yet, then print the table."""
    args = parse_arguments()
    limit_threads(args.threads)
    settings = stroke_settings(args) | {"n_strokes": args.strokes}
    n_failed = 0 if args.report else run_tasks(args, settings, plan(args))
    text = report(list(read_lines(args.out, settings)), args.sets, args.seeds)
    print(text)
    if args.markdown:
        put_between_marks(args.markdown, "working scale", text)
    return 1 if n_failed else 0


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser, "working_scale")
    add_stroke_arguments(parser)
    parser.add_argument("--strokes", type=int, default=3, help="of each class")
    return parser.parse_args()


def plan(args: argparse.Namespace) -> list[Task]:
    """Return the tasks of this shard: each set and seed, at each resolution."""
    from _data import read_manifest

    known = read_manifest(args.data)
    tasks = []
    for seed in args.seeds:
        for title in args.sets or known:
            name, _, times = title.partition("*")
            if name not in known:
                raise SystemExit(f"no 2D set {name} in {args.data}")
            rows = known[name]
            row = rows[seed % len(rows)]
            case = {"set": title, "seed": seed}
            tasks += [
                Task(
                    case,
                    str(n),
                    title,
                    partial(measure, args, row, int(times or 1), n, seed),
                )
                for n in _FACTORS
            ]
    return list(shard_of(args, tasks))


def measure(
    args: argparse.Namespace, row: Row, times: int, factor: int, seed: int
) -> Record:
    """Return IoU per class and seconds of one image at one resolution."""
    import numpy as np
    from _judge import score_labels

    from napari_unet import Learner, LearnerConfig
    from napari_unet.jobs import HeadFitted, finish

    image, truth, strokes = read_case(args, row, times, seed)
    config = LearnerConfig(
        device=args.device,
        n_threads=args.threads,
        seed=seed,
        start=args.start,
        downsampling=factor,
    )
    warm = np.random.default_rng(0).random((64, 64))
    labels = np.zeros(truth.shape, np.uint8)

    def show(image: Any, strokes: Any, axes: str, store: Any = None) -> None:
        learner = Learner(config)
        learner.annotate(image, strokes, axes=axes)
        for event in learner.update():
            if isinstance(event, HeadFitted):
                break
        finish(learner.predict_tiles(image, axes=axes, store=store))

    def store(_plane: int, tile: Any, found: Any) -> None:
        labels[tile.y0 : tile.y1, tile.x0 : tile.x1] = found.labels

    two = np.zeros(warm.shape, np.uint8)
    two[8:16], two[40:48] = 1, 2
    show(warm, two, "YX")
    started = time.perf_counter()
    show(image, strokes, row.axes, store)
    seconds = time.perf_counter() - started
    values = np.unique(strokes[strokes > 0]).tolist()
    iou = score_labels(truth, labels, values)
    return {
        "iou": {str(value): round(found, 4) for value, found in iou.items()},
        "seconds": round(seconds, 2),
        "shape": truth.shape,
    }


def read_case(
    args: argparse.Namespace, row: Row, times: int, seed: int
) -> tuple[NDArray[Any], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return image, truth and strokes, enlarged so many times."""
    import numpy as np
    from _data import read_picture
    from scipy.ndimage import zoom

    from napari_unet.annotation.simulate import simulate_strokes

    picture = read_picture(args.data, row, args.window // times)
    strokes = simulate_strokes(picture.truth, args.strokes, seed)
    if times == 1:
        return picture.image, picture.truth, strokes
    sizes = [1 if axis == "C" else times for axis in row.axes]
    # pixels are areas: the first one's middle moves inwards
    image = zoom(
        picture.image.astype(np.float32), sizes, order=1, grid_mode=True, mode="nearest"
    )
    block = np.ones((times, times), np.uint8)
    return image, np.kron(picture.truth, block), np.kron(strokes, block)


def report(lines: list[Record], sets: list[str] | None, seeds: list[int]) -> str:
    """Return the table, a row for each set, means over seeds."""
    iou: dict[str, dict[str, list[float]]] = {}
    seconds: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        case, part = line["case"], line["part"]
        if case["seed"] not in seeds or (sets and case["set"] not in sets):
            continue
        found = fmean(line["iou"].values())
        iou.setdefault(case["set"], {}).setdefault(part, []).append(found)
        mine = seconds.setdefault(case["set"], {})
        mine.setdefault(part, []).append(line["seconds"])
    names = [str(n) for n in _FACTORS]
    rows = [
        "| set | "
        + " | ".join(f"IoU at {n}" for n in names)
        + " | "
        + " | ".join(f"s at {n}" for n in names)
        + " |",
        "|---|" + "---|" * (2 * len(names)),
    ]
    for name in sorted(iou):
        cells = [_mean(iou[name], n, 3) for n in names]
        cells += [_mean(seconds[name], n, 1) for n in names]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, ""])


def _mean(found: dict[str, list[float]], part: str, n_digits: int) -> str:
    return f"{fmean(found[part]):.{n_digits}f}" if part in found else "-"


if __name__ == "__main__":
    raise SystemExit(main())
