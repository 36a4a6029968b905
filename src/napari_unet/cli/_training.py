"""What `train` and `project train` share: how long, by how many, and what is said."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import (
    cancel_on_interrupt,
    complain,
    seconds_text,
    write_json,
)
from napari_unet.cli._fine_tune import fine_tune
from napari_unet.cli._options import count, seconds
from napari_unet.cli._save_state import Every
from napari_unet.errors import NapariUnetError

if TYPE_CHECKING:
    from napari_unet.core.distributed import Team
    from napari_unet.learning import Learner
    from napari_unet.session import Session

__all__ = ["add_length", "is_first_process", "learn", "report", "speak_once"]

_DEFAULT_SECONDS = 60.0


def add_length(parser: argparse.ArgumentParser) -> None:
    """Add ``--seconds`` and ``--steps``."""
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--seconds",
        type=seconds,
        metavar="S",
        help="seconds of fine-tuning; 0: only what is fitted at once (default: "
        f"{_DEFAULT_SECONDS:g})",
    )
    length.add_argument(
        "--steps", type=count, metavar="N", help="steps of fine-tuning instead"
    )


def speak_once(
    run: Callable[[argparse.Namespace], int], args: argparse.Namespace
) -> int:
    """Run; of several processes that torchrun started, only the first one speaks."""
    if is_first_process():
        return run(args)
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        try:
            return run(args)
        except NapariUnetError:
            return 2


def is_first_process() -> bool:
    """Whether this process is the first that torchrun started, or alone."""
    return os.environ.get("RANK", "0") == "0"


def learn(
    args: argparse.Namespace,
    learner: Learner,
    team: Team,
    save: Callable[[], None] | None = None,
) -> Session:
    """Fine-tune for ``--seconds`` or ``--steps``; Ctrl-C keeps what was learned.

    ``save`` is called every ``--save-every`` seconds, in the first process.
    """
    n_seconds = args.seconds
    if n_seconds is None and args.steps is None:
        n_seconds = _DEFAULT_SECONDS
    saving = Every(args.save_every, save) if save and team.is_first else None
    # torchrun passes Ctrl-C on to each process, which has heard it already
    with cancel_on_interrupt(is_patient=team.size > 1) as token:
        session = fine_tune(args, learner, n_seconds, args.steps, token, saving=saving)
    if token.cancelled and team.is_first:
        complain("training was interrupted; what was learned so far is kept")
    return session


def report(facts: Mapping[str, Any], learner: Learner, *, as_json: bool) -> None:
    """Print what was learned, behind some facts such as where the model is."""
    status = learner.status
    if as_json:
        classes = {
            value: learner.class_names.get(value) for value in learner.class_values
        }
        write_json({**facts, "classes": classes, **dataclasses.asdict(status)})
        return
    from napari_unet.session import CANDIDATE_NAMES, others_text, sight_text

    for name, value in facts.items():
        print(f"{name:10} {value}")
    print(f"uses       {CANDIDATE_NAMES.get(status.chosen, status.chosen)}")
    if status.score is not None and status.score.text:
        print(f"score      {status.score.text}")
        print(f"others     {others_text(status.scores, status.chosen)}")
    if status.n_scales:
        factor = learner.config.downsampling
        print(f"sees       {sight_text(status.n_scales, status.reach_px, factor)}")
    print(f"fine-tuned {status.step} steps in {seconds_text(status.seconds)}")
    painted = f"{status.n_strokes} strokes"
    if status.n_objects:
        painted = f"{status.n_objects} objects and the background"
    print(f"painted    {status.n_px} px in {painted}")
    if status.reason:
        print(f"because    {status.reason}")
    if status.advice:
        print(f"advice     {status.advice}")
