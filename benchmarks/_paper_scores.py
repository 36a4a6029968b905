"""From probabilities to objects and measures, the same for every method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from _paper_data import Sample
from numpy.typing import NDArray

from napari_unet.config import InstanceConfig
from napari_unet.core.metrics import evaluate_em, evaluate_instances
from napari_unet.inference.instances import split_objects
from napari_unet.inference.prediction import Prediction

__all__ = ["MEASURES", "score"]

_EM = {
    "v_rand": "V_Rand",
    "v_info": "V_Info",
    "warping_error": "warping error",
    "pixel_error": "pixel error",
    "foreground_iou": "foreground IoU",
}
_OBJECTS = {
    "seg": "SEG",
    "pq": "PQ",
    "f1_50": "F1@0.5",
    "ap50": "AP50",
    "map": "AP 0.5..0.95",
    "aji": "AJI",
    "foreground_iou": "foreground IoU",
}
MEASURES: dict[str, dict[str, str]] = {"semantic": _EM, "instance": _OBJECTS}
"""Measures and their titles, by the kind of the truth; errors are best when small."""


def score(
    kind: str,
    samples: Sequence[Sample],
    predictions: Sequence[Prediction],
    min_size_px: int = 10,
) -> dict[str, float]:
    """Return a method's measures on the tested images.

    Parameters
    ----------
    kind
        'semantic': membranes, measured in each section and averaged. 'instance':
        objects of all images together, each counting the same.
    samples
        Tested images.
    predictions
        Of each: 1 background or membrane, 2 object or cell, and the border's
        probability where the method knows it.
    min_size_px
        Smaller ones are no objects.
    """
    found: dict[str, Any]
    if kind == "semantic":
        labels = np.stack([prediction.labels for prediction in predictions])
        truth = np.stack([sample.truth for sample in samples])
        found = evaluate_em(labels, truth + 1, membrane=1)
    else:
        settings = InstanceConfig(min_size_px=min_size_px)
        objects = [
            split_objects(
                p.labels, p.probabilities, border=p.border, settings=settings
            ).labels
            for p in predictions
        ]
        truth = _in_one([sample.truth for sample in samples])
        found = evaluate_instances(_in_one(objects), truth)
        is_found = np.concatenate([part.ravel() for part in objects]) > 0
        is_true = truth > 0
        union = np.count_nonzero(is_found | is_true)
        found["foreground_iou"] = np.count_nonzero(is_found & is_true) / max(union, 1)
    return {name: float(found[name]) for name in MEASURES[kind]}


def _in_one(parts: Sequence[NDArray[np.integer]]) -> NDArray[np.int64]:
    """Return the pixels of several images in a row, objects numbered apart."""
    rows, n_before = [], 0
    for part in parts:
        row = part.ravel().astype(np.int64)
        rows.append(np.where(row > 0, row + n_before, 0))
        n_before += int(row.max(initial=0))
    return np.concatenate(rows)
