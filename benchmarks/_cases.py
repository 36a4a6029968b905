"""One case of the interactive benchmark: strokes on an image, and all that follows."""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from _data import Picture, Row, read_picture
from _judge import Judged, score_labels
from _runs import Task, read_sets, run_tasks, shard_of
from numpy.typing import NDArray

from napari_unet import Learner, LearnerConfig
from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.jobs import HeadFitted, TilePredicted, finish

__all__ = [
    "Case",
    "plan_cases",
    "plan_tasks",
    "run_learner",
    "run_round_tasks",
    "run_scratch",
    "warm_up",
]

INSTANT = ("forest", "instant", "instant+forest")
TUNED = ("fine-tuned", "fine-tuned+forest")
Record = dict[str, Any]
Work = Callable[["Case", str, Picture, Picture | None], Record]
RoundWork = Callable[..., Record]


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


def plan_tasks(
    args: argparse.Namespace, cases: Sequence[Case], parts: Sequence[str], work: Work
) -> list[Task]:
    """Return the parts of this shard's cases."""
    rows = {
        (row.set, row.name): row for part in read_sets(args).values() for row in part
    }

    def do(case: Case, part: str) -> Record:
        painted = read_picture(args.data, rows[case.set, case.image], args.window)
        other = None
        if case.other:
            other = read_picture(args.data, rows[case.set, case.other], args.window)
        return work(case, part, painted, other)

    return [
        Task(
            asdict(case),
            part,
            f"{case.set} {case.image}, {case.n_strokes} strokes, seed {case.seed}",
            partial(do, case, part),
        )
        for case in shard_of(args, cases)
        for part in parts
    ]


def run_round_tasks(
    args: argparse.Namespace, settings: Record, parts: Sequence[str], work: RoundWork
) -> int:
    """Run the cases of this shard that begin with one stroke per class.

    ``work`` gets ``n_rounds``, ``n_strokes`` and ``config``, besides a case, a part and
    two pictures. Returns how many failed.
    """
    config = LearnerConfig(device=args.device, n_threads=args.threads, start=args.start)
    warm_up(config)
    work = partial(work, n_rounds=args.rounds, n_strokes=args.strokes, config=config)
    cases = plan_cases(read_sets(args), [1], args.seeds)
    return run_tasks(args, settings, plan_tasks(args, cases, parts, work))


def run_learner(
    case: Case,
    painted: Picture,
    other: Picture | None,
    times_s: Sequence[float],
    config: LearnerConfig,
) -> Record:
    """Paint, predict, fine-tune, predict; return scores and times, fit for JSON.

    Scores are IoU per class: of the first overlay (``"overlay"``), of the candidates
    alone (``"forest"``, ``"fine-tuned@10"``) and of what ``predict`` gives
    (``"shown@0"``, ``"shown@10"``), each on the image with strokes (``"same"``) and on
    the other one. ``ready_s`` has the seconds from the first stroke until labels of all
    of the painted image were there.
    """
    annotation = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    config = config.model_copy(update={"seed": case.seed})
    pictures = {"same": painted} | ({"other": other} if other else {})
    result: Record = {
        "n_px": int(np.count_nonzero(annotation)),
        "shape": list(painted.truth.shape),
        **_first_overlay(pictures, annotation, config),
    }
    learner, labels, labels_s = _first_labels(painted, annotation, config)
    result["labels_s"] = labels_s
    judged = Judged(learner, pictures)
    judged.look(INSTANT, "")
    judged.look_at_shown(0)
    # what is put together here must be what a user gets
    if not np.array_equal(labels, judged.labels("same", learner.status.chosen)):
        raise AssertionError(f"{case}: predict shows other labels than its candidate")
    judged.ready_s = dict.fromkeys(judged.scores, labels_s)
    judged.ready_s[result["overlay"]] = result["overlay_s"]
    tuned_s = {}
    for second, spent_s in _fine_tune(learner, times_s):
        tuned_s[f"{second:g}"] = spent_s
        judged.look(TUNED, f"@{second:g}", labels_s + spent_s)
        judged.look_at_shown(second, labels_s + spent_s)
    scores = {"overlay": result.pop("overlay_scores"), **judged.scores}
    return result | {
        "tuned_s": tuned_s,
        "scores": scores,
        "ready_s": {"overlay": result["overlay_s"], **judged.ready_s},
        "shown": judged.shown,
        "held_out": judged.held_out,
        "n_steps": learner.status.step,
    }


def run_scratch(
    case: Case,
    painted: Picture,
    other: Picture | None,
    times_s: Sequence[float],
    config: LearnerConfig,
) -> Record:
    """Fine-tune the same network from random weights on the same strokes.

    Its scores are named ``"scratch@10"``. Without pretrained weights the first overlay
    is the forest's: this is where the forest's own time comes from.
    """
    annotation = simulate_strokes(painted.truth, case.n_strokes, case.seed)
    config = config.model_copy(update={"seed": case.seed, "start": "scratch"})
    pictures = {"same": painted} | ({"other": other} if other else {})
    overlay = _first_overlay(pictures, annotation, config)
    learner, _, labels_s = _first_labels(painted, annotation, config)
    judged = Judged(learner, pictures)
    result: Record = {"scores": {}, "ready_s": {}, "tuned_s": {}}
    if overlay["overlay"] == "forest":
        result["ready_s"]["forest"] = overlay["overlay_s"]
    for second, spent_s in _fine_tune(learner, times_s):
        result["tuned_s"][f"{second:g}"] = spent_s
        judged.look(["fine-tuned"], "", labels_s + spent_s)
        for kind, values in (("scores", judged.scores), ("ready_s", judged.ready_s)):
            result[kind][f"scratch@{second:g}"] = values["fine-tuned"]
    return result | {"n_steps": learner.status.step}


def _fine_tune(
    learner: Learner, times_s: Sequence[float]
) -> Iterator[tuple[float, float]]:
    """Fine-tune; yield at each of these times, with the seconds that it really took."""
    spent_s = 0.0
    for until_s in times_s:
        # the last step and the last scoring go over the time: the next part pays
        started = time.perf_counter()
        finish(learner.fine_tune(seconds=max(until_s - spent_s, 0.1)))
        spent_s += time.perf_counter() - started
        yield until_s, spent_s


def _first_labels(
    painted: Picture, annotation: NDArray[Any], config: LearnerConfig
) -> tuple[Learner, NDArray[Any], float]:
    """Return a learner, what `predict` gives, and the seconds: gate included."""
    started = time.perf_counter()
    learner = Learner(config)
    learner.annotate(painted.image, annotation, axes=painted.axes)
    labels = learner.predict(painted.image, axes=painted.axes)
    return learner, labels, time.perf_counter() - started


def _first_overlay(
    pictures: dict[str, Picture], annotation: NDArray[Any], config: LearnerConfig
) -> Record:
    """Return the seconds from new strokes on a new image to labels of all of it.

    As in the viewer: shown as soon as there is a fit, before the gate has judged.
    """
    painted = pictures["same"]
    started = time.perf_counter()
    learner = Learner(config)
    learner.annotate(painted.image, annotation, axes=painted.axes)
    update = learner.update()
    next(event for event in update if isinstance(event, HeadFitted))
    labels, candidate = _overlay(learner, painted)
    seconds = time.perf_counter() - started
    scores = {"same": score_labels(painted.truth, labels, learner.class_values)}
    if "other" in pictures:
        labels, _ = _overlay(learner, pictures["other"])
        truth = pictures["other"].truth
        scores["other"] = score_labels(truth, labels, learner.class_values)
    update.close()
    return {"overlay_s": seconds, "overlay": candidate, "overlay_scores": scores}


def _overlay(learner: Learner, picture: Picture) -> tuple[NDArray[Any], str]:
    """Return labels and the candidate they are from, with the model as it is."""
    labels, candidate = np.zeros_like(picture.truth), ""
    for event in learner.predict_tiles(picture.image, axes=picture.axes):
        if isinstance(event, TilePredicted):
            height, width = event.labels.shape
            rows, columns = (
                slice(event.y, event.y + height),
                slice(event.x, event.x + width),
            )
            labels[rows, columns] = event.labels
            candidate = event.candidate
    return labels, candidate


def warm_up(config: LearnerConfig) -> None:
    """Load and compile what is loaded and compiled at first use."""
    y, x = np.mgrid[:96, :96]
    truth = (1 + ((y // 24 + x // 24) % 2)).astype(np.uint8)
    learner = Learner(config)
    learner.annotate(truth * 50, simulate_strokes(truth, 3, 0))
    learner.predict(truth * 50)
    finish(learner.fine_tune(steps=2))
