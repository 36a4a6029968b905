"""How fast a large image is predicted, against the bare network and against MONAI.

All rows use the same network (the instant model with the bundled weights, fitted to
three strokes per class of the sample), the same head and the same pixels; each is the
fastest of ``--repeats``, taken in turns.

- *whole image*: ours, from a zarr array to an OME-Zarr store with all its levels;
- *without halo*: network and head alone, on tiles in memory, of the same size and with
  nothing around them: less is not possible, and seams would show;
- *with halo*: the same with the halo that a tile needs, and all of it computed;
- *MONAI*: its `sliding_window_inference` on the image in memory, with the same tile and
  halo, and constant blending;
- *nnU-Net*: the loop of its `nnUNetPredictor`, with the same tile and halo, and neither
  Gaussian weights nor mirroring; it adds logits up in 16 bit.

Needs MONAI, or nnU-Net, for its row (see `paper.py` in README.md for an environment),
and no data.

    python benchmarks/throughput.py --size 4096 --threads 1 2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from _runs import describe_origin, limit_threads
from _tables import table

WHOLE, BARE, HALO = "whole image", "without halo", "with halo"
MONAI, NNUNET = "MONAI", "nnU-Net"
GOALS = {BARE: 0.9, MONAI: 1.5}
"""How fast ours should be, as a multiple of each."""


def main() -> None:
    """Time each number of threads in a process of its own; print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=2048, help="side of the image (px)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tile", type=int, help="px; default: the setting's")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        limit_threads(args.threads[0])
        print(json.dumps(measure(args)))
        return
    results = {n: run_alone(args, n) for n in args.threads}
    print("\n".join(report(results, args.size)))
    if args.out:
        names = ("size", "repeats", "device", "tile")
        settings = {name: getattr(args, name) for name in names}
        record = {"seconds": results, "settings": settings, "origin": describe_origin()}
        args.out.write_text(json.dumps(record, indent=1) + "\n")


def run_alone(args: argparse.Namespace, n_threads: int) -> dict[str, float]:
    """Return the seconds of each row with so many threads."""
    call = [sys.executable, __file__, "--child", "--threads", str(n_threads)]
    for name in ("size", "repeats", "device", "tile"):
        if getattr(args, name) is not None:
            call += [f"--{name}", str(getattr(args, name))]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Return the seconds of each row: the fastest of some."""
    from napari_unet.core.memory import keep_freed_memory

    keep_freed_memory()
    rows = Rows(args)
    calls: dict[str, Callable[[], None]] = {
        WHOLE: rows.whole,
        BARE: lambda: rows.bare(0),
        HALO: lambda: rows.bare(rows.halo_px),
    }
    if find_spec("monai"):
        calls[MONAI] = rows.monai
    if find_spec("nnunetv2"):
        calls[NNUNET] = rows.nnunet
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(args.repeats):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - started)
            print(f"{name}: {seconds[name][-1]:.1f} s", file=sys.stderr)
    return {name: min(values) for name, values in seconds.items()}


class Rows:
    """One network and one image, and the ways to bring them together."""

    def __init__(self, args: argparse.Namespace) -> None:
        from napari_unet import Learner, LearnerConfig
        from napari_unet.annotation.simulate import simulate_strokes
        from napari_unet.core.arrays import PlaneStack
        from napari_unet.core.source import ImageSource
        from napari_unet.sample import load_sample

        tiling = {"stream_tile_px": args.tile} if args.tile else {}
        config = LearnerConfig(
            device=args.device, n_threads=args.threads[0], tiling=tiling
        )
        self.learner = Learner(config)
        sample = load_sample("nuclei")
        strokes = simulate_strokes(sample.truth, 3, seed=0)
        self.learner.annotate(sample.image, strokes)
        self.learner.predict(sample.image[:64, :64])
        state = self.learner._state
        assert state.model is not None
        self.network, self.head = state.model.start, state.model.head
        self.tile_px = min(state.tiles.stream_px, args.size)
        self.halo_px = self.network.unet.halo_px << (self.network.n_scales - 1)
        n_times = -(-args.size // min(sample.image.shape))
        self.image = np.tile(sample.image, (n_times, n_times))[: args.size, : args.size]
        self.source = ImageSource("image", PlaneStack(self.image))
        state.model = state.model.using(None, "instant")

    def whole(self) -> None:
        """Predict from zarr to OME-Zarr."""
        import zarr

        from napari_unet.export import open_store
        from napari_unet.jobs import finish

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "image.zarr"
            image = zarr.create_array(path, data=self.image, chunks=(512, 512))
            job = self.learner.stream_job(
                image,
                lambda plan: open_store(Path(folder) / "o.zarr", plan),
                key="image",
                axes="YX",
            )
            finish(job)
            self.learner.forget("image")

    def bare(self, halo_px: int) -> None:
        """Run network and head on tiles that lie in memory, and keep their labels."""
        import torch

        size, side = self.image.shape[0], self.tile_px
        corners = [(y, x) for y in range(0, size, side) for x in range(0, size, side)]
        windows = [
            torch.from_numpy(
                self.source.read(
                    0, y - halo_px, y + side + halo_px, x - halo_px, x + side + halo_px
                )
            )
            for y, x in corners
        ]
        for window in windows:
            logits = self.logits(window[None])
            labels = logits[0, :, halo_px : -halo_px or None].softmax(0).argmax(0)
            labels.cpu().numpy()

    def monai(self) -> None:
        """Let MONAI cut the image into the same windows."""
        import torch
        from monai.inferers import sliding_window_inference

        size = self.image.shape[0]
        roi = min(self.tile_px + 2 * self.halo_px, size)
        pixels = torch.from_numpy(self.source.read(0, 0, size, 0, size))[None]
        overlap = max(2 * self.halo_px / roi - 1e-9, 0)
        with torch.inference_mode():
            logits = sliding_window_inference(
                pixels, (roi, roi), 1, self.logits, overlap=overlap, mode="constant"
            )
            logits[0].softmax(0).argmax(0).cpu().numpy()

    def nnunet(self) -> None:
        """Let nnU-Net's predictor cut the image into the same windows."""
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        size = self.image.shape[0]
        roi = min(self.tile_px + 2 * self.halo_px, size)
        pixels = torch.from_numpy(self.source.read(0, 0, size, 0, size))[:, None]
        device = torch.device(self.network.device)
        predictor = nnUNetPredictor(
            tile_step_size=min(1 - 2 * self.halo_px / roi + 1e-9, 1),
            use_gaussian=False,
            use_mirroring=False,
            device=device,
            allow_tqdm=False,
        )
        network = torch.nn.Module()
        network.forward = self.logits  # type: ignore[method-assign]
        predictor.network = network
        predictor.configuration_manager = SimpleNamespace(patch_size=(roi, roi))
        n_classes = len(self.head.bias)
        predictor.label_manager = SimpleNamespace(num_segmentation_heads=n_classes)
        logits = predictor.predict_sliding_window_return_logits(pixels)
        logits[:, 0].float().softmax(0).argmax(0).cpu().numpy()

    def logits(self, pixels: Any) -> Any:
        """Map normalised pixels (1, C, H, W) to logits (1, K, H, W)."""
        import torch
        from torch.nn import functional

        from napari_unet.inference.maps import TileMaps
        from napari_unet.inference.tiles import Tile

        unet, network = self.network.unet, self.network
        pixels = pixels.to(network.device)
        maps, cells = [], []
        with torch.inference_mode(), unet.standardised_once():
            for scale in (2**n for n in range(network.n_scales)):
                part = functional.avg_pool2d(pixels, scale) if scale > 1 else pixels
                part = part.contiguous(memory_format=torch.channels_last)
                found = unet.features(part)[: network.n_levels]
                maps += [each[0].float() for each in found]
                cells += [2**level * scale for level in range(network.n_levels)]
            tile = Tile(0, pixels.shape[2], 0, pixels.shape[3])
            corners = ((0, 0),) * len(maps)
            all_maps = TileMaps(tile, tuple(maps), tuple(cells), corners, pixels[0])
            return all_maps.project(self.head)[None]


def report(results: dict[int, dict[str, float]], size: int) -> list[str]:
    """Return the table in Markdown, and which goals are met."""
    rows, verdicts = [], []
    for n_threads, seconds in results.items():
        for name, value in seconds.items():
            ratio = value / seconds[WHOLE]
            speed = size**2 / 1e6 / value
            cells = (str(n_threads), name, f"{value:.1f}", f"{speed:.2f}")
            rows.append([*cells, f"{ratio:.2f}"])
            if name in GOALS:
                is_met = ratio >= GOALS[name]
                verdicts.append(
                    f"{n_threads} threads, ours against {name}: {ratio:.2f}; goal "
                    f"{GOALS[name]}: {'met' if is_met else 'NOT met'}."
                )
    header = ["threads", "what", "seconds", "Mpx/s", "its time / ours"]
    return [*table(header, rows), "", *verdicts]


if __name__ == "__main__":
    main()
