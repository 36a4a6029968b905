"""Scores of a learner's candidates on whole images."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from _data import Picture
from numpy.typing import NDArray

from napari_unet import Learner
from napari_unet.core.metrics import confusion_matrix, iou_per_class
from napari_unet.jobs import finish
from napari_unet.learning.gate import mix

__all__ = ["Judged", "score_labels"]


def score_labels(
    truth: NDArray[np.uint8], labels: NDArray[np.integer], values: Sequence[int]
) -> dict[int, float]:
    """Return the IoU of each painted class (``values``) that the truth holds.

    A class that is nowhere in the painted window cannot be known: its pixels in another
    image are left out, the same for every method.
    """
    iou = iou_per_class(confusion_matrix(truth, labels, values))
    present = set(np.unique(truth).tolist())
    return {v: float(iou[i]) for i, v in enumerate(values) if v in present}


class Judged:
    """Scores candidates, each predicted once per look and picture.

    A candidate named 'a+b' is put together of the probabilities of a and b, as in the
    learner: predicting the forest again for each would take longer than the learning.

    Attributes
    ----------
    scores
        IoU per class by key ("forest", "fine-tuned@10", "shown@10") and picture.
    ready_s
        Seconds from the first stroke to labels of the painted image, by key.
    shown, held_out
        The gate's choice and its scores, by second.
    """

    def __init__(self, learner: Learner, pictures: dict[str, Picture]) -> None:
        self._learner, self._pictures = learner, pictures
        self._parts: dict[tuple[str, str], NDArray[np.float32]] = {}
        self._paint_s: dict[str, float] = {}
        self._fresh: set[str] = set()
        self.scores: dict[str, dict[str, dict[int, float]]] = {}
        self.ready_s: dict[str, float] = {}
        self.shown: dict[str, str] = {}
        self.held_out: dict[str, dict[str, float | None]] = {}

    def look(self, candidates: Sequence[str], suffix: str, at_s: float = 0.0) -> None:
        """Score these candidates as they are now, ``at_s`` after the first stroke."""
        self._fresh.clear()
        for part in {part for name in candidates for part in name.split("+")}:
            if part in candidates or ("same", part) not in self._parts:
                self._predict(part)
        for name in candidates:
            self._note(name, name + suffix, at_s)

    def look_at_shown(self, second: float, at_s: float = 0.0) -> None:
        """Score what ``predict`` gives; what `look` just predicted stays as it is."""
        status, key = self._learner.status, f"{second:g}"
        for part in set(status.chosen.split("+")) - self._fresh:
            self._predict(part)
        self.shown[key] = status.chosen
        self.held_out[key] = {n: s.mean_iou for n, s in status.scores.items()}
        self._note(status.chosen, f"shown@{key}", at_s)

    def labels(self, where: str, name: str) -> NDArray[np.integer]:
        """Return what a candidate predicts."""
        total, *forest = (self._parts[where, part] for part in name.split("+"))
        if forest:
            total = mix(total, forest[0])
        values = np.array(self._learner.class_values, np.uint8)
        labels: NDArray[np.integer] = values[total.argmax(axis=0)]
        return labels

    def _predict(self, part: str) -> None:
        self._fresh.add(part)
        for where, picture in self._pictures.items():
            started = time.perf_counter()
            job = self._learner.predict_job(
                picture.image, axes=picture.axes, probabilities=True, candidate=part
            )
            self._parts[where, part] = finish(job)
            if where == "same":
                self._paint_s[part] = time.perf_counter() - started

    def _note(self, name: str, key: str, at_s: float) -> None:
        values = self._learner.class_values
        self.scores[key] = {
            where: score_labels(picture.truth, self.labels(where, name), values)
            for where, picture in self._pictures.items()
        }
        self.ready_s[key] = at_s + sum(self._paint_s[p] for p in name.split("+"))
