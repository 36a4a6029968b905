"""How much faster two worker processes predict a large image than one process alone.

Zarr to OME-Zarr, as `napari-unet predict`, with the model that three strokes per class
of the sample give; each process has one thread. The workers are those of
``--scheduler local``; four tiles are predicted beforehand, because a cluster is there
already when it is used, and its workers have loaded torch. One more run of two workers
has one of them killed (``kill -9``) after a quarter of the tiles. All labels are
compared.

On a machine that is busy with other work, look at the CPU seconds: those of the program
and its workers in all, without a worker that was killed.

Needs distributed (`pip install -e '.[distributed]'`), and no data.

    python benchmarks/cluster.py --size 4096 --out benchmarks/results/cluster.json
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _runs import describe_origin, limit_threads
from _tables import table

ALONE, TWO, KILLED = "one process", "two workers", "two workers, one killed"
GOAL = 1.7
"""How many times faster two workers should be."""


def main() -> None:
    """Time the three ways in turns; print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=4096, help="side of the image (px)")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--tile", type=int, help="px; default: the setting's")
    parser.add_argument("--out", type=Path, help="JSON to write")
    args = parser.parse_args()
    limit_threads(1)
    seconds = measure(args)
    print("\n".join(report(seconds, args.size)))
    if args.out:
        settings = {name: getattr(args, name) for name in ("size", "repeats", "tile")}
        record = {"seconds": seconds, "settings": settings, "origin": describe_origin()}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def measure(args: argparse.Namespace) -> dict[str, list[float]]:
    """Return seconds and CPU seconds of each row, of its fastest run."""
    from napari_unet.config import ClusterConfig
    from napari_unet.inference.cluster import connect

    case = Case(args)
    seconds: dict[str, list[float]] = {}
    for _ in range(args.repeats):
        for name in (ALONE, TWO, KILLED):
            config = ClusterConfig(address="local:2", answer_s=300)
            with nullcontext() if name == ALONE else connect(config) as cluster:
                if cluster is not None:  # two tiles for each worker
                    side_px = 2 * case.tile_px
                    case.run(case.image[:side_px, :side_px], cluster)
                kill = partial(_kill_one, cluster) if name == KILLED else None
                cpu_s = _cpu_s(cluster)
                spent, labels = case.run(case.image, cluster, kill)
                used = _cpu_s(cluster)
                cpu_s = sum(used[pid] - cpu_s.get(pid, 0) for pid in used)
            if case.expected is None:
                case.expected = labels
            if not np.array_equal(labels, case.expected):
                raise SystemExit(f"{name}: other labels than those of one process")
            seconds[name] = min([spent, cpu_s], seconds.get(name, [spent, cpu_s]))
            print(f"{name}: {spent:.1f} s, CPU {cpu_s:.1f} s", flush=True)
    return seconds


def _cpu_s(cluster: Any) -> dict[int, float]:
    """Return the CPU seconds of this process and the workers, by process."""
    found = {os.getpid(): time.process_time()}
    if cluster is not None:
        used = cluster.client.run(lambda: (os.getpid(), time.process_time()))
        found |= dict(used.values())
    return found


def _kill_one(cluster: Any) -> None:
    pids = cluster.client.run(os.getpid)
    os.kill(min(pids.values()), signal.SIGKILL)


class Case:
    """A model, and an image that repeats the sample."""

    def __init__(self, args: argparse.Namespace) -> None:
        from napari_unet import Learner, LearnerConfig
        from napari_unet.annotation.simulate import simulate_strokes
        from napari_unet.sample import load_sample

        tiling = {"stream_tile_px": args.tile} if args.tile else {}
        config = LearnerConfig(device="cpu", n_threads=1, tiling=tiling)
        self.learner = Learner(config)
        self.tile_px = config.tiling.stream_tile_px
        sample = load_sample("nuclei")
        strokes = simulate_strokes(sample.truth, 3, seed=0)
        self.learner.annotate(sample.image, strokes)
        self.learner.predict(sample.image[:64, :64])
        n_times = -(-args.size // min(sample.image.shape))
        self.image = np.tile(sample.image, (n_times, n_times))[: args.size, : args.size]
        self.expected: np.ndarray[Any, Any] | None = None

    def run(
        self, pixels: Any, cluster: Any, kill: Callable[[], None] | None = None
    ) -> tuple[float, np.ndarray[Any, Any]]:
        """Predict; return the seconds and the labels."""
        import zarr

        from napari_unet.export import open_store
        from napari_unet.jobs import Progress

        with tempfile.TemporaryDirectory() as folder:
            path, out = Path(folder) / "image.zarr", Path(folder) / "o.zarr"
            image = zarr.create_array(path, data=pixels, chunks=(512, 512))
            started = time.monotonic()
            job = self.learner.stream_job(
                image,
                partial(open_store, out),
                key="image",
                axes="YX",
                cluster=cluster,
                open_image=partial(zarr.open_array, path, mode="r"),
            )
            for event in job:
                is_tile = isinstance(event, Progress) and event.what == "predict"
                if kill and is_tile and event.done >= event.total / 4:
                    kill()
                    kill = None
            spent = time.monotonic() - started
            self.learner.forget("image")
            return spent, np.asarray(zarr.open_array(out / "0", mode="r")[...])


def report(seconds: dict[str, list[float]], size: int) -> list[str]:
    """Return the table in Markdown, and whether the goal is met."""
    rows = [
        [name, f"{s:.1f}", f"{cpu_s:.1f}", f"{seconds[ALONE][0] / s:.2f}"]
        for name, (s, cpu_s) in seconds.items()
    ]
    ratio = seconds[ALONE][0] / seconds[TWO][0]
    verdict = "met" if ratio >= GOAL else "NOT met"
    return [
        f"{size:,} x {size:,} px; all labels are the same.",
        "",
        *table(["what", "seconds", "CPU seconds", "times as fast"], rows),
        "",
        f"Two workers are {ratio:.2f} times as fast; goal {GOAL}: {verdict}.",
    ]


if __name__ == "__main__":
    main()
