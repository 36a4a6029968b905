"""The headless demo: three rounds of painting, learning and correcting."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.simulate import simulate_corrections, simulate_strokes
from napari_unet.cli._console import (
    cancel_on_interrupt,
    print_table,
    seconds_text,
    write_json,
)
from napari_unet.cli._files import make_folder
from napari_unet.cli._fine_tune import fine_tune
from napari_unet.config import LearnerConfig
from napari_unet.core.metrics import evaluate
from napari_unet.errors import FileError
from napari_unet.export import (
    check_writable,
    overlay_picture,
    replace_file,
    write_labels,
    write_picture,
)
from napari_unet.jobs import HeadFitted, finish
from napari_unet.sample import Sample, load_sample
from napari_unet.session import CANDIDATE_NAMES, Session

if TYPE_CHECKING:
    from napari_unet.learning import Learner

__all__ = ["Round", "run_headless"]

N_ROUNDS = 3
_FIRST_STROKES = 3  # per class
_CORRECTIONS = 6  # over all classes
_FILES = {
    "labels": "labels.tif",
    "annotation": "annotation.tif",
    "overlay": "overlay.png",
    "curves": "curves.png",
    "numbers": "curves.csv",
    "model": "model.safetensors",
}


@dataclass(frozen=True)
class Round:
    """One turn of the loop; scores are mean IoU against the sample's truth."""

    number: int
    n_px: int
    first_overlay_s: float
    forest: float
    instant: float
    fine_tuned: float | None
    shown: str
    shown_score: float
    seconds: float
    """Seconds of fine-tuning so far."""


def run_headless(args: argparse.Namespace) -> int:
    """Run the rounds, print the table, write the results."""
    from napari_unet.learning import Learner

    started = time.monotonic()
    make_folder(args.out)
    _refuse_files_of_others(args.out)
    check_writable(args.out / _FILES["labels"])
    sample = load_sample(args.sample)
    learner = Learner(LearnerConfig.model_validate({"device": args.device or "auto"}))
    learner.class_names |= sample.class_names
    if not args.json:
        print(f"{sample.title}: {sample.source} ({sample.licence})")
        print(
            f"{learner.status.device}; 3 rounds of {seconds_text(args.seconds)}",
            flush=True,
        )
    session = Session()
    annotation = simulate_strokes(sample.truth, _FIRST_STROKES, seed=0)
    rounds: list[Round] = []
    labels = np.zeros_like(sample.truth)
    with cancel_on_interrupt() as token:
        for number in range(1, N_ROUNDS + 1):
            if number > 1:
                annotation = simulate_corrections(
                    sample.truth, labels, annotation, _CORRECTIONS, seed=number
                )
            first_overlay_s = _paint(learner, sample, annotation)
            fine_tune(args, learner, args.seconds, None, token, session)
            labels = learner.predict(sample.image)
            rounds.append(
                _score(learner, sample, session, annotation, number, first_overlay_s)
            )
            if token.cancelled:
                break
    files = _write(args.out, learner, sample, session, annotation, labels, rounds)
    _report(args, rounds, files, time.monotonic() - started)
    return 130 if token.cancelled else 0


def _refuse_files_of_others(folder: Path) -> None:
    """Refuse a folder with some of our file names: a demo writes all of them."""
    there = [name for name in _FILES.values() if (folder / name).exists()]
    if there and len(there) < len(_FILES):
        raise FileError(
            f"{folder} holds {there[0]}, which is from no earlier demo; name another "
            "folder"
        )


def _paint(learner: Learner, sample: Sample, annotation: NDArray[Any]) -> float:
    """Hand the strokes over; return the seconds until the first overlay.

    As in the viewer, it is predicted before the gate has judged.
    """
    started = time.monotonic()
    learner.annotate(sample.image, annotation, key=sample.name)
    update = learner.update()
    for event in update:
        if isinstance(event, HeadFitted):
            finish(learner.predict_tiles(sample.image, key=sample.name))
            break
    seconds = time.monotonic() - started
    finish(update)
    return seconds


def _score(
    learner: Learner,
    sample: Sample,
    session: Session,
    annotation: NDArray[Any],
    number: int,
    first_overlay_s: float,
) -> Round:
    """Compare every candidate with the truth, which the learner never sees."""
    status = learner.status

    def iou(candidate: str | None) -> float:
        labels = learner.predict(sample.image, candidate=candidate)
        score: float = evaluate(labels, sample.truth)["mean_iou"]
        return score

    return Round(
        number=number,
        n_px=int(np.count_nonzero(annotation)),
        first_overlay_s=first_overlay_s,
        forest=iou("forest"),
        instant=iou("instant"),
        fine_tuned=iou("fine-tuned") if status.step else None,
        shown=status.chosen,
        shown_score=iou(None),
        seconds=session.seconds,
    )


def _write(
    folder: Path,
    learner: Learner,
    sample: Sample,
    session: Session,
    annotation: NDArray[Any],
    labels: NDArray[Any],
    rounds: list[Round],
) -> dict[str, Path]:
    """Write everything that a person would take away; return the files."""
    from napari_unet.cli._plot import curves_picture

    files = {what: folder / name for what, name in _FILES.items()}
    write_labels(files["labels"], labels, class_names=sample.class_names)
    write_labels(files["annotation"], annotation, class_names=sample.class_names)
    write_picture(files["overlay"], overlay_picture(sample.image, labels))
    scores = {
        "forest": [(r.seconds, r.forest) for r in rounds],
        "instant": [(r.seconds, r.instant) for r in rounds],
        "fine-tuned": [
            (r.seconds, r.fine_tuned) for r in rounds if r.fine_tuned is not None
        ],
    }
    write_picture(files["curves"], curves_picture(session.curve, scores))
    with replace_file(files["numbers"]) as temporary:
        temporary.write_text(session.curve.csv(), encoding="utf-8")
    learner.save(files["model"])
    return files


def _report(
    args: argparse.Namespace,
    rounds: list[Round],
    files: dict[str, Path],
    seconds: float,
) -> None:
    if args.json:
        write_json(
            {"rounds": [asdict(r) for r in rounds], "files": files, "seconds": seconds}
        )
        return
    header = (
        "round",
        "painted px",
        "first overlay s",
        "instant",
        "fine-tuned",
        "forest",
    )
    rows = [
        (
            r.number,
            r.n_px,
            round(r.first_overlay_s, 2),
            r.instant,
            r.fine_tuned,
            r.forest,
            r.shown_score,
            CANDIDATE_NAMES.get(r.shown, r.shown),
        )
        for r in rounds
    ]
    print_table((*header, "shown", "that is"), rows)
    print("Scores: mean IoU on the whole image against its truth.")
    print(f"Done in {seconds_text(seconds)}. Look into {args.out}:")
    for what, path in files.items():
        print(f"  {path.name:18} {what}")
