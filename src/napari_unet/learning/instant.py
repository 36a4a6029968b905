"""The instant stage: closed-form head and forest, fitted anew at every stroke."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.config import InstantConfig
from napari_unet.core.head import RidgeHead, softmax
from napari_unet.learning.candidates import Network
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import log_loss
from napari_unet.learning.samples import Samples, balance

__all__ = [
    "CrossValidation",
    "HeadChoice",
    "cross_validate",
    "first_choice",
    "fit_forest",
    "fit_head",
    "held_out",
]

Floats = NDArray[np.float32]
_USUAL_SCALES = 2
# log loss that another head must save, so that it is not chosen by chance
_CLEARLY = 0.05
_MAX_FOREST_PX = 5000  # of one held-out fit; beyond, scores hardly change
# of the head on a network without pretrained weights, whose features are standardised
_STRENGTH, _TEMPERATURE = 0.1, 6.0


@dataclass(frozen=True)
class HeadChoice:
    """How the head is fitted.

    ``factor``, chosen by held-out strokes, multiplies the usual ridge strength;
    ``n_scales`` is how many sizes of the image it sees.
    """

    factor: float
    n_scales: int


def first_choice(network: Network, config: InstantConfig) -> HeadChoice:
    """Return what to begin with: as set, or what suits most images."""
    n_scales = config.n_scales or min(_USUAL_SCALES, network.n_scales)
    return HeadChoice(config.ridge_factors[0], n_scales)


def fit_head(
    samples: Samples,
    features: Floats,
    network: Network,
    choice: HeadChoice,
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
    choice
        How strongly, and at how many scales.
    rows
        Which samples.
    """
    scale = network.trust(choice.n_scales)
    strength, temperature = _STRENGTH, _TEMPERATURE
    if scale is not None:
        assert network.prior is not None
        n_strokes = samples.count_strokes(rows)
        strength = network.prior.strength_for(n_strokes)
        temperature = network.prior.temperature_for(n_strokes)
    return RidgeHead.fit(
        features[rows],
        samples.targets[rows],
        len(samples.values),
        balance(samples.weights[rows], samples.targets[rows]),
        strength * choice.factor,
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
        balance(samples.weights[rows], samples.targets[rows]),
        config,
        seed,
    )


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """Probabilities at samples whose stroke the fit had not seen.

    ``head`` and ``forest`` have shape (n, K); rows outside ``mask`` (n,) could not be
    held out. ``choice`` is the head with the lowest held-out log loss.
    """

    mask: NDArray[np.bool_]
    head: Floats
    forest: Floats
    choice: HeadChoice


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
    shape = len(samples.targets), len(samples.values)
    folds = [held_out(samples, int(fold)) for fold in np.unique(samples.folds)]
    folds = [test for test in folds if test.any()]
    mask = np.zeros(shape[0], bool)
    forest = np.zeros(shape, np.float32)
    lean = config.model_copy(update={"n_trees": min(config.n_trees, 30)})
    for test in folds:
        mask |= test
        train = _thin(~test, samples.strokes)
        fitted = fit_forest(samples, filters, lean, seed, train)
        forest[test] = fitted.probabilities(filters[test])

    def probabilities(choice: HeadChoice) -> Floats:
        result = np.zeros(shape, np.float32)
        for test in folds:
            head = fit_head(samples, deep, network, choice, ~test)
            result[test] = softmax(head.logits(deep[test]))
        return result

    best = first_choice(network, config)
    head = probabilities(best)
    if not folds:
        return CrossValidation(mask, head, forest, best)
    least = log_loss(samples, head, mask)
    for factor in config.ridge_factors[1:]:
        choice = replace(best, factor=factor)
        other = probabilities(choice)
        loss = log_loss(samples, other, mask)
        if loss < (1 - _CLEARLY) * least:
            best, head, least = choice, other, loss
    return CrossValidation(mask, head, forest, best)


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
