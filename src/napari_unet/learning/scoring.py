"""How the gate judges: held-out scores of the instant stage and of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.annotations import name_class
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import LearnerConfig
from napari_unet.jobs import CANDIDATE_NAMES, Score
from napari_unet.learning.candidates import FeatureCache, Network, NetworkCandidate
from napari_unet.learning.gate import ORDER, choose, log_loss, score_candidate
from napari_unet.learning.instant import CrossValidation, cross_validate
from napari_unet.learning.samples import Samples

__all__ = ["Tuned", "Verdict", "advise", "judge"]

Floats = NDArray[np.float32]
_MAX_SCORED_TILES = 12


@dataclass(frozen=True, eq=False)
class Tuned:
    """A snapshot of the fine-tuned network; ``outputs`` are its channels' values."""

    network: Network
    outputs: tuple[int, ...]

    def knows(self, values: tuple[int, ...]) -> bool:
        """Whether it has a channel for each of these values."""
        return set(values) <= set(self.outputs)


@dataclass(frozen=True, eq=False)
class Verdict:
    """Scores, the choice, and why; ``validation`` is kept for the next judgement."""

    scores: dict[str, Score] = field(default_factory=dict)
    chosen: str = ""
    reason: str = ""
    strength: float = 0.0
    validation: CrossValidation | None = None
    tuned_at_samples: Floats | None = None


def judge(
    samples: Samples,
    previous: Verdict | None,
    *,
    candidate: Tuned | None,
    current: Tuned | None,
    cache: FeatureCache,
    config: LearnerConfig,
    is_pretrained: bool,
) -> tuple[Verdict, Tuned | None]:
    """Score the candidates on strokes that none of them has seen, and choose.

    The instant candidates are compared over all folds. The network is trained without
    one fold, and is compared with them on that fold alone.

    Parameters
    ----------
    samples
        Annotated pixels with features.
    previous
        The last verdict on the same annotation; None when the annotation is new.
    candidate
        The newest snapshot of the network, None when it never trained.
    current
        The snapshot in use; it stays unless the newest is at least as good.

    Returns
    -------
    Verdict
    Tuned or None
        The snapshot to keep.
    """
    validation = previous.validation if previous else None
    if validation is None:
        validation = cross_validate(samples, config.instant, config.seed)
    order = ORDER
    if is_pretrained:
        order = ("instant", "instant+forest", "forest", *ORDER[3:])
    both = (validation.head + validation.forest) / np.float32(2)
    instant = {"forest": validation.forest, "instant": validation.head}
    instant["instant+forest"] = both
    gain = config.instant.min_gain
    scores = _score_all(samples, instant, validation.mask)
    chosen = best = choose(scores, gain, order)
    tuned, tuned_at_samples = candidate, None
    if candidate is not None and candidate.knows(samples.values):
        mask = validation.mask & (samples.folds == HELD_OUT_FOLD)
        mask &= _within_scored_tiles(samples, mask)
        known = previous.tuned_at_samples if previous else None
        tuned, tuned_at_samples = _keep_better(
            samples, mask, cache, candidate, current, known
        )
        network = {
            "fine-tuned": tuned_at_samples,
            "fine-tuned+forest": (tuned_at_samples + validation.forest) / np.float32(2),
        }
        scores = _score_all(samples, {**instant, **network}, mask)
        chosen = choose(scores, gain, (best, *network))
    verdict = Verdict(
        scores=scores,
        chosen=chosen,
        reason=_reason(scores, chosen),
        strength=validation.strength,
        validation=validation,
        tuned_at_samples=tuned_at_samples,
    )
    return verdict, tuned


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
    cache: FeatureCache,
    newest: Tuned,
    current: Tuned | None,
    known: Floats | None,
) -> tuple[Tuned, Floats]:
    """Return the better snapshot and its probabilities (n, K) at the samples.

    ``known`` are the current one's probabilities, where they are known already.
    """
    new = _at_samples(newest, samples, mask, cache)
    if current is None or current is newest or not current.knows(samples.values):
        return newest, new
    old = known if known is not None else _at_samples(current, samples, mask, cache)
    return (current, old) if _is_better(samples, old, new, mask) else (newest, new)


def _is_better(
    samples: Samples, old: Floats, new: Floats, mask: NDArray[np.bool_]
) -> bool:
    """Whether the old snapshot scores more, or as much but surer of what is right."""
    ious = [score_candidate(samples, p, mask).mean_iou or 0.0 for p in (old, new)]
    if ious[0] != ious[1]:
        return ious[0] > ious[1]
    return log_loss(samples, old, mask) < log_loss(samples, new, mask)


def _within_scored_tiles(
    samples: Samples, mask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Limit scoring to a few tiles, so that its time is bounded."""
    rows = [group.rows[mask[group.rows]] for group in samples.groups]
    rows = sorted((r for r in rows if len(r)), key=len, reverse=True)
    kept = np.zeros_like(mask)
    for part in rows[:_MAX_SCORED_TILES]:
        kept[part] = True
    return kept


def _at_samples(
    tuned: Tuned, samples: Samples, mask: NDArray[np.bool_], cache: FeatureCache
) -> Floats:
    """Return the network's probabilities (n, K) at the samples of ``mask``."""
    result = np.zeros((len(samples.targets), len(samples.values)), np.float32)
    candidate = NetworkCandidate(tuned.network, tuned.outputs, samples.values, cache)
    for group in samples.groups:
        wanted = mask[group.rows]
        if wanted.any():
            result[group.rows[wanted]] = candidate.at_pixels(
                group.image.source, group.plane, group.tile, group.yx[wanted]
            )
    return result


def _reason(scores: dict[str, Score], chosen: str) -> str:
    """Say why this candidate is shown."""
    score = scores[chosen]
    name = CANDIDATE_NAMES[chosen]
    if score.mean_iou is None:
        return f"Showing the {name}; too few strokes to compare it with the others."
    others = {n: s.mean_iou or 0.0 for n, s in scores.items() if n != chosen}
    rival = max(others, key=lambda n: others[n])
    shown = f"Showing the {name}: held-out IoU {score.mean_iou:.2f} on {score.n_px} px"
    if others[rival] <= score.mean_iou:
        return f"{shown}, next best {CANDIDATE_NAMES[rival]} {others[rival]:.2f}."
    return (
        f"{shown}. The {CANDIDATE_NAMES[rival]} has {others[rival]:.2f}: not clearly "
        "more, on so few strokes."
    )


def advise(samples: Samples, score: Score | None, names: Mapping[int, str]) -> str:
    """Say what to paint, so that learning can be checked; '' where it can be."""
    if score is None:
        return ""
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
