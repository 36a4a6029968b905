"""The instant stage: closed-form head and forest, fitted anew at every stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import InstantConfig
from napari_unet.core.head import RidgeHead, softmax
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import log_loss
from napari_unet.learning.samples import Samples

__all__ = ["CrossValidation", "cross_validate", "fit_forest", "fit_head"]

Floats = NDArray[np.float32]
_MAX_FOREST_PX = 5000  # of one held-out fit; beyond, scores hardly change


def fit_head(
    samples: Samples, rows: NDArray[np.bool_] | slice, strength: float
) -> RidgeHead:
    """Fit the closed-form head to some of the samples."""
    return RidgeHead.fit(
        samples.network[rows],
        samples.targets[rows],
        len(samples.values),
        samples.weights[rows],
        strength,
    )


def fit_forest(
    samples: Samples,
    rows: NDArray[np.bool_] | slice,
    config: InstantConfig,
    seed: int,
) -> Forest:
    """Fit the random forest to some of the samples."""
    return Forest.fit(
        samples.filters[rows],
        samples.targets[rows],
        len(samples.values),
        samples.weights[rows],
        config,
        seed,
    )


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Probabilities at samples whose stroke the fit had not seen.

    ``head`` and ``forest`` have shape (n, K); rows outside ``mask`` (n,) could not be
    held out. ``strength`` is the ridge strength with the lowest held-out log loss.
    """

    mask: NDArray[np.bool_]
    head: Floats
    forest: Floats
    strength: float


def cross_validate(
    samples: Samples, config: InstantConfig, seed: int
) -> CrossValidation:
    """Hold out each fold of strokes in turn, whole strokes at a time.

    A class that has all its strokes in one fold stays in training there and is not
    scored, or the fit could not know it at all.
    """
    n, n_classes = len(samples.targets), len(samples.values)
    mask = np.zeros(n, bool)
    heads = np.zeros((len(config.ridge_strengths), n, n_classes), np.float32)
    forest = np.zeros((n, n_classes), np.float32)
    lean = config.model_copy(update={"n_trees": min(config.n_trees, 30)})
    for fold in np.unique(samples.folds):
        test = samples.folds == fold
        for index in range(n_classes):
            is_class = samples.targets == index
            if not (is_class & ~test).any():
                test &= ~is_class
        if not test.any():
            continue
        train = _thin(~test, samples.strokes)
        mask |= test
        for number, strength in enumerate(config.ridge_strengths):
            head = fit_head(samples, ~test, strength)
            heads[number, test] = softmax(head.logits(samples.network[test]))
        fitted = fit_forest(samples, train, lean, seed)
        forest[test] = fitted.probabilities(samples.filters[test])
    losses = [log_loss(samples, probabilities, mask) for probabilities in heads]
    best = int(np.argmin(losses))
    return CrossValidation(mask, heads[best], forest, config.ridge_strengths[best])


def _thin(rows: NDArray[np.bool_], strokes: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Keep an even part of the rows where there are many, and some of every stroke."""
    chosen = np.flatnonzero(rows)
    if len(chosen) <= _MAX_FOREST_PX:
        return rows
    thinned = np.zeros_like(rows)
    thinned[chosen[np.linspace(0, len(chosen) - 1, _MAX_FOREST_PX).astype(int)]] = True
    _, first = np.unique(strokes[chosen], return_index=True)
    thinned[chosen[first]] = True
    return thinned
