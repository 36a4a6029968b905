"""One case of the interactive benchmark: strokes on an image, and all that follows."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from _data import Picture, Row
from numpy.typing import NDArray

from napari_unet import Learner, LearnerConfig
from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.core.metrics import confusion_matrix, iou_per_class
from napari_unet.jobs import HeadFitted, finish

__all__ = ["Case", "plan_cases", "run_case", "warm_up"]

INSTANT = ("forest", "instant", "instant+forest")
TUNED = ("fine-tuned", "fine-tuned+forest")


@dataclass(frozen=True)
class Case:
    """Paint ``image`` of a set and judge on it and on ``other``, where there is one."""

    set: str
    image: str
    other: str | None
    n_strokes: int
    seed: int


def plan_cases(
    sets: dict[str, list[Row]], strokes: Sequence[int], seeds: Sequence[int]
) -> list[Case]:
    """Return all cases, seed by seed, so that a part of a run covers all sets.

    Each seed takes the next image of the set, in an order that depends on the set's
    name alone, and judges on the one after it.
    """
    cases = []
    for seed in seeds:
        for n_strokes in strokes:
            for name, rows in sets.items():
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                order = rng.permutation(len(rows))
                image = rows[order[seed % len(rows)]].name
                other = rows[order[(seed + 1) % len(rows)]].name
                second = other if len(rows) > 1 else None
                cases.append(Case(name, image, second, n_strokes, seed))
    return cases


def run_case(
    case: Case,
    painted: Picture,
    other: Picture | None,
    times_s: Sequence[float],
    config: LearnerConfig,
) -> dict[str, Any]:
    """Paint, predict, fine-tune, predict; return scores and times, fit for JSON.

    Scores are IoU per class: of the candidates alone (``"forest"``,
    ``"fine-tuned@10"``) and of what ``predict`` gives (``"shown@0"``, ``"shown@10"``),
    each on the image with strokes (``"same"``) and on the other one.
    """
    annotation = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    config = config.model_copy(update={"seed": case.seed})
    result: dict[str, Any] = {
        "n_px": int(np.count_nonzero(annotation)),
        "overlay_s": _time_overlay(painted, annotation, config),
        "shape": list(painted.truth.shape),
    }
    started = time.perf_counter()
    learner = Learner(config)
    learner.annotate(painted.image, annotation, axes=painted.axes)
    labels = learner.predict(painted.image, axes=painted.axes)
    result["labels_s"] = time.perf_counter() - started
    pictures = {"same": painted} | ({"other": other} if other else {})
    judged = _Judged(learner, pictures)
    judged.add(INSTANT, "", 0)
    # what is put together here must be what a user gets
    if not np.array_equal(labels, judged.labels("same", learner.status.chosen)):
        raise AssertionError(f"{case}: predict shows other labels than its candidate")
    spent_s = 0.0
    result["tuned_s"] = {}
    for until_s in times_s:
        # the last step and the last scoring go over the time: the next part pays
        started = time.perf_counter()
        finish(learner.fine_tune(seconds=max(until_s - spent_s, 0.1)))
        spent_s += time.perf_counter() - started
        result["tuned_s"][f"{until_s:g}"] = spent_s
        judged.add(TUNED, f"@{until_s:g}", until_s)
    return result | {
        "scores": judged.scores,
        "shown": judged.shown,
        "held_out": judged.held_out,
        "n_steps": learner.status.step,
    }


class _Judged:
    """Scores candidates, each predicted once per picture.

    A candidate named 'a+b' is the mean of the probabilities of a and b, as in the
    learner: predicting the forest again for each would take longer than the learning.
    """

    def __init__(self, learner: Learner, pictures: dict[str, Picture]) -> None:
        self._learner, self._pictures = learner, pictures
        self._parts: dict[tuple[str, str], NDArray[np.float32]] = {}
        self.scores: dict[str, dict[str, dict[int, float]]] = {}
        self.shown: dict[str, str] = {}
        self.held_out: dict[str, dict[str, float | None]] = {}

    def add(self, candidates: Sequence[str], suffix: str, at_s: float) -> None:
        """Score these candidates and the shown one as they are now."""
        for part in {name.split("+")[0] for name in candidates if "+" not in name}:
            for where, picture in self._pictures.items():
                job = self._learner.predict_job(
                    picture.image,
                    axes=picture.axes,
                    probabilities=True,
                    candidate=part,
                )
                self._parts[where, part] = finish(job)
        for name in candidates:
            self.scores[name + suffix] = self._score(name)
        status, key = self._learner.status, f"{at_s:g}"
        self.shown[key] = status.chosen
        self.held_out[key] = {n: s.mean_iou for n, s in status.scores.items()}
        self.scores[f"shown@{key}"] = self._score(status.chosen)

    def labels(self, where: str, name: str) -> NDArray[np.integer]:
        """Return what a candidate predicts."""
        parts = [self._parts[where, part] for part in name.split("+")]
        total = parts[0] if len(parts) == 1 else sum(parts) / np.float32(len(parts))
        values = np.array(self._learner.class_values, np.uint8)
        labels: NDArray[np.integer] = values[total.argmax(axis=0)]
        return labels

    def _score(self, name: str) -> dict[str, dict[int, float]]:
        return {
            where: _iou(picture.truth, self.labels(where, name), self._learner)
            for where, picture in self._pictures.items()
        }


def _iou(
    truth: NDArray[np.uint8], labels: NDArray[np.integer], learner: Learner
) -> dict[int, float]:
    """Return the IoU of each painted class that the truth holds.

    A class that is nowhere in the painted window cannot be known: its pixels in another
    image are left out, the same for every method.
    """
    values = learner.class_values
    iou = iou_per_class(confusion_matrix(truth, labels, values))
    present = set(np.unique(truth).tolist())
    return {v: float(iou[i]) for i, v in enumerate(values) if v in present}


def _time_overlay(
    painted: Picture, annotation: NDArray[Any], config: LearnerConfig
) -> float:
    """Return the seconds from new strokes on a new image to labels of all of it.

    As in the viewer: shown as soon as there is a fit, before the gate has judged.
    """
    started = time.perf_counter()
    learner = Learner(config)
    learner.annotate(painted.image, annotation, axes=painted.axes)
    for event in learner.update():
        if isinstance(event, HeadFitted):
            finish(learner.predict_tiles(painted.image, axes=painted.axes))
            break
    return time.perf_counter() - started


def warm_up(config: LearnerConfig) -> None:
    """Load and compile what is loaded and compiled at first use."""
    y, x = np.mgrid[:96, :96]
    truth = (1 + ((y // 24 + x // 24) % 2)).astype(np.uint8)
    learner = Learner(config)
    learner.annotate(truth * 50, simulate_strokes(truth, 3, 0))
    learner.predict(truth * 50)
    finish(learner.fine_tune(steps=2))
