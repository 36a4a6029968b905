"""Peak memory and time of a prediction from zarr to OME-Zarr, at several sizes.

Each size runs in a fresh process: an image of uint16 that is mostly empty (chunks that
are not on disk), with the sample here and there, and the model that three strokes per
class give at once. Peak memory is the largest resident size less what the process had
once everything was imported and the model loaded. ``--fraction`` predicts only the
upper part of the rows, for machines on which 1600 megapixels would take too long; the
levels are then built of all of it all the same.

    python benchmarks/memory.py --sizes 4096 16384 40960 --fraction 0.05
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _runs import describe_origin, limit_threads
from _tables import table

GOAL_MB = 1500
_BLOCK_PX = 8192  # the sample lies in the corner of each such square


def main() -> None:
    """Run every size, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="share of the rows to predict"
    )
    parser.add_argument("--candidate", default="instant", help="or instant+forest")
    parser.add_argument("--tile", type=int, help="px; default: the setting's")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    limit_threads(args.threads)
    if args.child:
        print(json.dumps(measure(args, args.child)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(args, Path(folder))
        rows = [run_alone(args, size, model) for size in args.sizes]
    print("\n".join(report(rows)))
    if args.out:
        settings = {
            name: getattr(args, name)
            for name in ("device", "threads", "fraction", "candidate", "tile")
        }
        record = {"rows": rows, "settings": settings, "origin": describe_origin()}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def make_model(args: argparse.Namespace, folder: Path) -> Path:
    """Save a model that is fitted to strokes on the sample; return its file."""
    from napari_unet import Learner, LearnerConfig
    from napari_unet.annotation.simulate import simulate_strokes
    from napari_unet.sample import load_sample

    tiling = {"stream_tile_px": args.tile} if args.tile else {}
    config = LearnerConfig(device=args.device, n_threads=args.threads, tiling=tiling)
    learner = Learner(config)
    sample = load_sample("nuclei")
    learner.annotate(sample.image, simulate_strokes(sample.truth, 3, seed=0))
    learner.predict(sample.image[:64, :64])
    learner.save(folder / "model.safetensors")
    return folder / "model.safetensors"


def run_alone(args: argparse.Namespace, size: int, model: Path) -> dict[str, Any]:
    """Measure one size in a process of its own."""
    call = [sys.executable, __file__, "--child", str(model), "--sizes", str(size)]
    for name in ("fraction", "candidate", "threads", "device"):
        call += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{size}: {row}", file=sys.stderr)
    return row


def measure(args: argparse.Namespace, model: Path) -> dict[str, Any]:
    """Predict an image of the first size; return memory and times."""
    from dataclasses import replace

    from napari_unet.core.memory import keep_freed_memory
    from napari_unet.export import open_store
    from napari_unet.jobs import Progress
    from napari_unet.learning import load

    (size,) = args.sizes
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        image = make_image(Path(folder) / "image.zarr", size)
        learner = load(model, device=args.device)
        imported_mb = resident_mb()
        state = learner._state
        assert state.model is not None
        state.model = replace(state.model, chosen=args.candidate)
        n_rows = size * args.fraction
        job = learner.stream_job(
            image,
            lambda plan: Band(open_store(Path(folder) / "o.zarr", plan), n_rows),
            key="image",
            axes="YX",
        )
        started = time.perf_counter()
        first, last, levels_s = 0.0, 0.0, 0.0
        n_tiles = 0
        for event in job:
            if isinstance(event, Progress) and event.what == "predict":
                last = time.perf_counter()
                first = first or last
                n_tiles += 1
            levels_s = time.perf_counter() - last
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    n_mpx = size * min(
        size, -(-n_rows // state.tiles.stream_px) * state.tiles.stream_px
    )
    return {
        "size_px": size,
        "tile_px": state.tiles.stream_px,
        "n_tiles": n_tiles,
        "imported_mb": round(imported_mb),
        "peak_mb": round(peak_mb - imported_mb),
        "predict_s": round(last - started, 1),
        "s_per_mpx": round((last - started) / (n_mpx / 1e6), 3),
        "levels_s": round(levels_s, 1),
    }


def make_image(path: Path, size: int) -> Any:
    """Return a zarr array (size, size) of which few chunks are on disk."""
    import zarr

    from napari_unet.sample import load_sample

    sample = load_sample("nuclei").image.astype("uint16")
    image = zarr.create_array(
        path, shape=(size, size), chunks=(512, 512), dtype="uint16"
    )
    height, width = sample.shape
    for y in range(0, size, _BLOCK_PX):
        for x in range(0, size, _BLOCK_PX):
            image[y : y + height, x : x + width] = sample
    return image


class Band:
    """A store in which all below some row counts as done."""

    def __init__(self, store: Any, n_rows: float) -> None:
        self.store, self.n_rows = store, n_rows
        self.tile_px = store.tile_px
        self.write, self.finish = store.write, store.finish

    def is_done(self, index: tuple[int, ...], tile: Any) -> bool:
        """Whether a tile is in it, or not wanted."""
        return bool(tile.y0 >= self.n_rows or self.store.is_done(index, tile))


def resident_mb() -> float:
    """Return the resident size of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def report(rows: list[dict[str, Any]]) -> list[str]:
    """Return the table in Markdown."""
    header = [
        "image",
        "tiles",
        "peak above imports (MB)",
        "predict (s/Mpx)",
        "levels (s)",
    ]
    lines = [
        [
            f"{row['size_px']:,} x {row['size_px']:,}",
            str(row["n_tiles"]),
            f"{row['peak_mb']:,}",
            f"{row['s_per_mpx']:.2f}",
            f"{row['levels_s']:.1f}",
        ]
        for row in rows
    ]
    largest = max(row["peak_mb"] for row in rows)
    kept = "kept" if largest < GOAL_MB else "NOT kept"
    verdict = f"Largest peak {largest:,} MB; goal below {GOAL_MB:,} MB: {kept}."
    return [*table(header, lines), "", verdict]


if __name__ == "__main__":
    main()
