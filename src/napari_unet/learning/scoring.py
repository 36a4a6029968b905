"""How the gate judges: held-out scores of the instant stage and of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.advice import name_class
from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import LearnerConfig
from napari_unet.core.head import RidgeHead, softmax
from napari_unet.jobs import CANDIDATE_NAMES, Score
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.gate import (
    ORDER,
    PRETRAINED_ORDER,
    choose,
    log_loss,
    mix,
    score_candidate,
)
from napari_unet.learning.instant import (
    CrossValidation,
    HeadChoice,
    cross_validate,
    fit_head,
    held_out,
)
from napari_unet.learning.samples import Samples
from napari_unet.learning.trained_head import TrainedHead

__all__ = ["Tuned", "Verdict", "advise", "judge"]

Floats = NDArray[np.float32]
_MAX_TUNED_TILES = 24
_TUNED_BYTES = 250 * 2**20  # of maps; up to three snapshots live at a time
# Training on so few strokes that fewer than four check it made labels worse on average;
# at a smaller gain in log loss (a share), the true gain was as often below zero.
_FEWEST_STROKES = 4
_TUNED_GAIN = 0.2


@dataclass(frozen=True, eq=False)
class Tuned:
    """A snapshot of the fine-tuned network, and the head fitted to its features.

    The cache is its own, so that its maps go with it. Where a head was trained with the
    network, and for the same classes, it is not fitted: it has not seen held-out
    strokes either.
    """

    network: Network
    head: RidgeHead | None = None
    cache: FeatureCache = field(default_factory=lambda: FeatureCache(_TUNED_BYTES))
    trained: TrainedHead | None = None

    def fitted(self, samples: Samples, choice: HeadChoice) -> Tuned:
        """Return it with the head fitted to the samples of a bounded part of tiles."""
        return replace(self, head=self.fit(samples, choice))

    def fit(
        self, samples: Samples, choice: HeadChoice, without: int | None = None
    ) -> RidgeHead:
        """Return a head for its features, fitted without one fold of strokes."""
        if self.trained is not None and self.trained.values == samples.values:
            return self.trained.head
        part, _ = _within_few_tiles(samples)
        rows = slice(None) if without is None else ~held_out(part, without)
        n_scales = self.network.n_scales  # as many as it was trained with
        features = part.of_network(self.network, self.cache)
        return fit_head(
            part, features, self.network, replace(choice, n_scales=n_scales), rows
        )


@dataclass(frozen=True, eq=False)
class Verdict:
    """Scores, the choice, and why; ``validation`` is kept for the next judgement."""

    scores: dict[str, Score] = field(default_factory=dict)
    chosen: str = ""
    reason: str = ""
    choice: HeadChoice | None = None
    validation: CrossValidation | None = None
    tuned_at_samples: Floats | None = None


def judge(
    samples: Samples,
    previous: Verdict | None,
    *,
    start: Network,
    candidate: Tuned | None,
    current: Tuned | None,
    cache: FeatureCache,
    config: LearnerConfig,
    is_pretrained: bool,
) -> tuple[Verdict, Tuned | None]:
    """Score the candidates on strokes that none of them has seen, and choose.

    The instant candidates are compared over all folds. The network is trained without
    one fold, and is compared with them on that fold alone, its head fitted without it.

    Parameters
    ----------
    samples
        Annotated pixels.
    previous
        The last verdict on the same annotation; None when the annotation is new.
    start
        The network whose features the instant stage uses.
    candidate
        The newest snapshot of the network, None when it never trained.
    current
        The snapshot in use; it stays unless the newest is better.
    cache
        Of the start network's features.
    config
        Settings.
    is_pretrained
        Whether the start network is, and so is to be trusted before the forest.

    Returns
    -------
    Verdict
    Tuned or None
        The snapshot to keep, its head fitted to the samples.
    """
    validation = previous.validation if previous else None
    if validation is None:
        validation = cross_validate(
            samples,
            samples.of_network(start, cache),
            samples.of_filters(cache),
            start,
            config.instant,
            config.seed,
        )
    order = PRETRAINED_ORDER if is_pretrained else ORDER
    instant = {
        "forest": validation.forest,
        "instant": validation.head,
        "instant+forest": mix(validation.head, validation.forest),
    }
    gain = config.instant.min_gain
    scores = _score_all(samples, instant, validation.mask)
    chosen = best = choose(scores, gain, order)
    tuned, tuned_at_samples = candidate, None
    if candidate is not None:
        mask = _tuned_mask(samples) & validation.mask
        known = previous.tuned_at_samples if previous else None
        tuned, tuned_at_samples = _keep_better(
            samples, mask, candidate, current, known, validation.choice
        )
        tuned = tuned.fitted(samples, validation.choice)
        network = {
            "fine-tuned": tuned_at_samples,
            "fine-tuned+forest": mix(tuned_at_samples, validation.forest),
        }
        scores = _score_all(samples, {**instant, **network}, mask)
        n_strokes = samples.count_bundles(mask)
        if n_strokes >= _FEWEST_STROKES:
            gain = _needed_gain(n_strokes)
            chosen = choose(scores, gain, (best, _tuned_partner(best)))
    verdict = Verdict(
        scores=scores,
        chosen=chosen,
        reason=_reason(scores, chosen),
        choice=validation.choice,
        validation=validation,
        tuned_at_samples=tuned_at_samples,
    )
    return verdict, tuned


def _needed_gain(n_strokes: int) -> float:
    """Return the share of log loss that training must save on so many strokes.

    What is left to chance shrinks as their root grows.
    """
    return _TUNED_GAIN * math.sqrt(_FEWEST_STROKES / n_strokes)


def _tuned_partner(best: str) -> str:
    """Return the same candidate with the trained network in it.

    Like is compared with like: whether the forest should have a part in it was decided
    on more strokes than judge the training.
    """
    return best.replace("instant", "fine-tuned") if "instant" in best else ORDER[-1]


def _score_all(
    samples: Samples, candidates: dict[str, Floats], mask: NDArray[np.bool_]
) -> dict[str, Score]:
    return {
        name: score_candidate(samples, probabilities, mask)
        for name, probabilities in candidates.items()
    }


def _keep_better(
    samples: Samples,
    mask: NDArray[np.bool_],
    newest: Tuned,
    current: Tuned | None,
    known: Floats | None,
    choice: HeadChoice,
) -> tuple[Tuned, Floats]:
    """Return the better snapshot and its probabilities (n, K) at the samples.

    ``known`` are the current one's probabilities, where they are known already.
    """
    new = _held_out_probabilities(newest, samples, choice)
    if current is None or current is newest:
        return newest, new
    old = known
    if old is None:
        old = _held_out_probabilities(current, samples, choice)
    is_surer = log_loss(samples, old, mask) < log_loss(samples, new, mask)
    return (current, old) if is_surer else (newest, new)


def _within_few_tiles(samples: Samples) -> tuple[Samples, NDArray[np.intp]]:
    """Return the samples of a few tiles and their rows, so that time is bounded.

    The tiles with most samples, and of each class at least one.
    """
    if len(samples.groups) <= _MAX_TUNED_TILES:
        return samples, np.arange(len(samples.targets))
    groups = sorted(samples.groups, key=lambda group: -len(group.rows))
    chosen = groups[:_MAX_TUNED_TILES]
    for index in range(len(samples.values)):
        with_class = (g for g in groups if (samples.targets[g.rows] == index).any())
        first = next(with_class)
        if not any((samples.targets[g.rows] == index).any() for g in chosen):
            chosen.append(first)
    rows = np.sort(np.concatenate([group.rows for group in chosen]))
    return samples.only(tuple(chosen)), rows


def _tuned_mask(samples: Samples) -> NDArray[np.bool_]:
    """Return the samples (n,) at which the network's held-out score is measured."""
    part, rows = _within_few_tiles(samples)
    mask = np.zeros(len(samples.targets), bool)
    mask[rows] = held_out(part, HELD_OUT_FOLD)
    return mask


def _held_out_probabilities(
    tuned: Tuned, samples: Samples, choice: HeadChoice
) -> Floats:
    """Return probabilities (n, K) at the fold that the network has not seen, else 0."""
    part, rows = _within_few_tiles(samples)
    test = held_out(part, HELD_OUT_FOLD)
    result = np.zeros((len(samples.targets), len(samples.values)), np.float32)
    if test.any():
        head = tuned.fit(samples, choice, without=HELD_OUT_FOLD)
        features = part.of_network(tuned.network, tuned.cache)
        result[rows[test]] = softmax(head.logits(features[test]))
    return result


def _reason(scores: dict[str, Score], chosen: str) -> str:
    """Say why this candidate is shown; its name and the scores stand beside it."""
    score = scores[chosen]
    if score.mean_iou is None and score.log_loss is not None:
        return "No background was held out for an IoU: how sure each one is decides."
    if score.mean_iou is None:
        what = "objects" if score.is_of_objects else "strokes"
        return f"Too few {what} to compare it with the others."
    others = {n: s.mean_iou or 0.0 for n, s in scores.items() if n != chosen}
    rival = max(others, key=lambda n: others[n])
    if others[rival] <= score.mean_iou:
        return "None of the others scores higher."
    return f"The {CANDIDATE_NAMES[rival]} scores higher, but not clearly so."


def advise(samples: Samples, score: Score | None, names: Mapping[int, str]) -> str:
    """Say what to paint, so that learning can be checked; '' where it can be."""
    if score is None:
        return ""
    if samples.is_of_objects:
        return _advise_objects(samples)
    counts = {
        value: len(np.unique(samples.strokes[samples.targets == index]))
        for index, value in enumerate(samples.values)
    }
    single = [name_class(value, names) for value, n in counts.items() if n < 2]
    if not single:
        return ""
    return (
        f"Paint a second stroke of {' and '.join(single)}, apart from the first, so "
        "that learning can be checked."
    )


def _advise_objects(samples: Samples) -> str:
    """Say what is missing where objects are annotated; those that touch count as one.

    Touching objects are held out together, so that the fold tells, and not the number.
    """
    background = [value == BACKGROUND for value in samples.values]
    is_background = np.array(background)[samples.targets]
    wanted = []
    if len(np.unique(samples.folds[~is_background])) < 2:
        wanted.append("another object, apart from the first")
    if any(background) and len(np.unique(samples.folds[is_background])) < 2:
        wanted.append("background at a second place")
    if not wanted:
        return ""
    return f"Paint {' and '.join(wanted)}, so that learning can be checked."
