"""The instant stage: closed-form head and forest, fitted anew at every stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import InstantConfig
from napari_unet.core.head import RidgeHead, softmax
from napari_unet.learning.candidates import Network
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import log_loss
from napari_unet.learning.samples import Samples

__all__ = ["CrossValidation", "cross_validate", "fit_forest", "fit_head", "held_out"]

Floats = NDArray[np.float32]
_MAX_FOREST_PX = 5000  # of one held-out fit; beyond, scores hardly change
# of the head on a network without pretrained weights, whose features are standardised
_STRENGTH, _TEMPERATURE = 0.1, 6.0


def fit_head(
    samples: Samples,
    features: Floats,
    network: Network,
    factor: float,
    rows: NDArray[np.bool_] | slice = slice(None),
) -> RidgeHead:
    """Fit the closed-form head of a network to some of the samples.

    Parameters
    ----------
    samples
        Annotated pixels.
    features
        The network's, shape (n, F).
    network
        Whose prior says how strongly to regularise.
    factor
        Times the usual ridge strength.
    rows
        Which samples.
    """
    scale, strength, temperature = network.feature_scale, _STRENGTH, _TEMPERATURE
    if scale is not None:
        assert network.prior is not None
        n_strokes = samples.count_strokes(rows)
        strength = network.prior.strength_for(n_strokes)
        temperature = network.prior.temperature_for(n_strokes)
    return RidgeHead.fit(
        features[rows],
        samples.targets[rows],
        len(samples.values),
        samples.weights[rows],
        strength * factor,
        temperature,
        scale,
    )


def fit_forest(
    samples: Samples,
    filters: Floats,
    config: InstantConfig,
    seed: int,
    rows: NDArray[np.bool_] | slice = slice(None),
) -> Forest:
    """Fit the random forest to the filter features (n, G) of some of the samples."""
    return Forest.fit(
        filters[rows],
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
    held out. ``factor`` is the one on the ridge strength with the lowest held-out log
    loss.
    """

    mask: NDArray[np.bool_]
    head: Floats
    forest: Floats
    factor: float


def cross_validate(
    samples: Samples,
    deep: Floats,
    filters: Floats,
    network: Network,
    config: InstantConfig,
    seed: int,
) -> CrossValidation:
    """Hold out each fold of strokes in turn, whole strokes at a time.

    ``deep`` (n, F) and ``filters`` (n, G) are the samples' features. A class that has
    all its strokes in one fold stays in training there and is not scored, or the fit
    could not know it at all.
    """
    n, n_classes = len(samples.targets), len(samples.values)
    mask = np.zeros(n, bool)
    heads = np.zeros((len(config.ridge_factors), n, n_classes), np.float32)
    forest = np.zeros((n, n_classes), np.float32)
    lean = config.model_copy(update={"n_trees": min(config.n_trees, 30)})
    for fold in np.unique(samples.folds):
        test = held_out(samples, int(fold))
        if not test.any():
            continue
        mask |= test
        for number, factor in enumerate(config.ridge_factors):
            head = fit_head(samples, deep, network, factor, ~test)
            heads[number, test] = softmax(head.logits(deep[test]))
        train = _thin(~test, samples.strokes)
        fitted = fit_forest(samples, filters, lean, seed, train)
        forest[test] = fitted.probabilities(filters[test])
    losses = [log_loss(samples, probabilities, mask) for probabilities in heads]
    best = int(np.argmin(losses))
    return CrossValidation(mask, heads[best], forest, config.ridge_factors[best])


def held_out(samples: Samples, fold: int) -> NDArray[np.bool_]:
    """Return the samples of a fold (n,), but of classes that are nowhere else."""
    test: NDArray[np.bool_] = samples.folds == fold
    for index in range(len(samples.values)):
        is_class = samples.targets == index
        if not (is_class & ~test).any():
            test &= ~is_class
    return test


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
