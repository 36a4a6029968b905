"""The program's own methods: networks trained through the public `Learner`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from _paper_data import Sample, smallest_px, targets_of
from _paper_scores import score
from numpy.typing import NDArray

from napari_unet import Learner, LearnerConfig
from napari_unet.core.hypercolumn import patch_sizes
from napari_unet.core.unet import UNet
from napari_unet.jobs import finish

__all__ = ["OURS", "run_own"]

Record = dict[str, Any]


OURS: dict[str, dict[str, Any]] = {
    "compact": {},
    "scratch": {"start": "scratch"},
    "paper": {"recipe": "paper"},
    "paper-16": {"recipe": "paper", "base_channels": 16},
}
"""What the learner is told; all else is the program's default."""


def run_own(
    name: str,
    kind: str,
    train: Sequence[Sample],
    annotations: Sequence[NDArray[Any]],
    test: Sequence[Sample],
    *,
    budget_px: float,
    config: dict[str, Any],
) -> Record:
    """Train a learner on the annotations; return measures on the tested images.

    ``"network"`` is the fine-tuned network alone, ``"shown"`` what ``predict`` gives,
    which the gate chooses from it, the instant stage and the forest.
    """
    mode = "objects" if kind == "instance" else "strokes"
    learner = Learner(LearnerConfig(**config, **OURS[name], annotation_mode=mode))
    for sample, part in zip(train, annotations, strict=True):
        if part.any():
            learner.annotate(sample.image, part, key=sample.name, axes="YX")
    started, cpu_s = time.perf_counter(), time.process_time()
    finish(learner.update())
    learned = {int(v) for p in annotations for v in np.unique(targets_of(kind, p))}
    patch_px, n_patches = _step_size(learner, len(learned - {0}))
    n_steps = max(1, round(budget_px / (n_patches * patch_px**2)))
    finish(learner.fine_tune(steps=n_steps))
    train_s = time.perf_counter() - started
    cpu_s = time.process_time() - cpu_s
    chosen = learner.status.chosen
    found, seconds = {}, time.perf_counter()
    for title, candidate in (("network", "fine-tuned"), ("shown", None)):
        if candidate == chosen:
            continue  # what is shown is the network
        predictions = [
            finish(
                learner.predict_maps_job(sample.image, axes="YX", candidate=candidate)
            )
            for sample in test
        ]
        found[title] = score(kind, test, predictions, smallest_px(annotations))
    found.setdefault("network", found["shown"])
    return {
        "scores": found,
        "chosen": chosen,
        "n_steps": n_steps,
        "batch": n_patches,
        "patch_px": patch_px,
        "mpx": n_steps * n_patches * patch_px**2 / 1e6,
        "train_s": round(train_s, 1),
        "train_cpu_s": round(cpu_s, 1),
        "steps_s": round(learner.status.seconds, 1),
        "test_s": round(time.perf_counter() - seconds, 1),
    }


def _step_size(learner: Learner, n_classes: int) -> tuple[int, int]:
    """Return the side of a patch's output (px) and the patches of a step.

    ``n_classes`` are learned, the border between objects among them.
    """
    config = learner.config
    unet = UNet(config.unet_config(1, n_classes))
    n_scales = 1 if config.recipe == "paper" else max(learner.status.n_scales, 1)
    side = patch_sizes(unet, config.fine_tune.patch_px, n_scales)[1]
    least = 1 if config.recipe == "paper" else n_classes
    return side, max(config.fine_tune.batch_size, least)
