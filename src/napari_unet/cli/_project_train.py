"""``project train``: learn from all that is painted, and keep the model as a round."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain, naming
from napari_unet.cli._options import add_device, add_json, add_progress
from napari_unet.cli._save_state import add_save_every
from napari_unet.cli._training import (
    add_length,
    is_first_process,
    learn,
    report,
    speak_once,
)
from napari_unet.errors import FileError, NapariUnetError, ProjectError

if TYPE_CHECKING:
    from napari_unet.config import LearnerConfig
    from napari_unet.learning import Learner
    from napari_unet.project import Project, Round

__all__ = ["add_parser"]


def add_parser(actions: Any) -> None:
    """Add the command to the parser."""
    parser = actions.add_parser(
        "train",
        help="learn from all that is painted in a project",
        description="Learn from every annotated image of a project, with its settings, "
        "and keep the model as its newest round. It goes on where the last training "
        "ended, or was killed: exactly, if nothing was painted since. An image that is "
        "missing is named on stderr, the others are learned from, and the exit code is "
        "3. Ctrl-C ends the training and keeps what was learned. On several GPUs: "
        "torchrun --nproc-per-node N -m napari_unet.cli project train DIR",
        allow_abbrev=False,
    )
    parser.add_argument("project", type=Path, metavar="DIR", help="the project folder")
    add_length(parser)
    parser.add_argument(
        "--anew",
        action="store_true",
        help="begin from the start weights, not where the last training ended",
    )
    add_save_every(parser, "what the next training goes on from")
    add_device(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return speak_once(_train, args)


def _train(args: argparse.Namespace) -> int:
    from napari_unet.cli._project_images import annotated_images
    from napari_unet.project import Project

    # one process writes; it has the project for itself until the model is there
    with Project.open(args.project, is_read_only=not is_first_process()) as project:
        if next(annotated_images(project), None) is None:
            raise ProjectError(
                f"nothing is painted in the project {args.project}: paint in the "
                "viewer, or give 'project add' an --annotation"
            )
        from napari_unet.core.distributed import joined_team  # torch: not before

        with joined_team(args.device or project.record.learner.device) as team:
            learner = _make_learner(project, args.device, args.anew)
            n_images, failed = _annotate(project, learner)
            learn(args, learner, team, partial(_keep_state, project, learner))
            if team.is_first:
                _finish(args, project, learner, n_images, failed)
    return 3 if failed else 0


def _make_learner(project: Project, device: str | None, is_anew: bool) -> Learner:
    """Return a learner that is to learn all that is painted.

    One that goes on where the project's last training ended, if there is one and the
    settings are the same.
    """
    from napari_unet.cli._project_images import class_names
    from napari_unet.learning import Learner

    changes: dict[str, Any] = {"annotation_mode": project.record.mode}
    if device is not None:
        changes["device"] = device
    config = project.record.learner.model_copy(update=changes)
    learner = (None if is_anew else _last_training(project, config)) or Learner(config)
    learner.class_names |= class_names(project)
    return learner


def _last_training(project: Project, config: LearnerConfig) -> Learner | None:
    """Return the learner that was used last; None where it is not to go on."""
    from napari_unet.learning import load

    path = project.model_in_use
    if path is None:
        return None
    try:
        learner = load(path, device=config.device)
    except NapariUnetError as error:
        complain(f"{error}; training begins anew")
        return None
    if learner.config != config:
        complain("other settings than those of the last training: it begins anew")
        return None
    return learner


def _annotate(project: Project, learner: Learner) -> tuple[int, list[int]]:
    """Give the learner all that is painted.

    Returns how many images that was, and the numbers of those that cannot be read.
    """
    from napari_unet.cli._project_images import (
        annotated_images,
        read_and_compare,
    )

    n_images, failed = 0, []
    for image, labels, complete in annotated_images(project):
        try:
            found = read_and_compare(project, image)
            axes = image.axes or found.axes
            with naming(found.path):
                learner.annotate(
                    found.array,
                    labels,
                    key=str(image.number),
                    axes=axes,
                    complete=complete,
                    scale=found.voxel_size(axes),
                )
        except NapariUnetError as error:
            complain(str(error))
            failed.append(image.number)
            continue
        n_images += 1
    if n_images == 0:
        raise ProjectError(
            f"none of the {len(failed)} annotated images can be learned from: "
            "'project add --image' with the place where they are now finds them again"
        )
    if failed:
        total = n_images + len(failed)
        complain(f"{len(failed)} of {total} images are left out")
    return n_images, failed


def _finish(
    args: argparse.Namespace,
    project: Project,
    learner: Learner,
    n_images: int,
    failed: list[int],
) -> None:
    """Keep the model as a round, make room for it, and tell of it."""
    new = _keep_round(project, learner, n_images)
    gone = project.rounds.prune(project.record.max_rounds_mb * 1_000_000)
    project.log(f"learned from {n_images} images: round {new.number}")
    if gone:
        numbers = ", ".join(map(str, gone))
        complain(f"round {numbers} was deleted to keep within the project's disk space")
        project.log(f"deleted round {numbers} to make room")
    _keep_training(project, learner)
    learner.check_collapse()
    facts: dict[str, Any] = {
        "round": new.number,
        "model": project.rounds.model(new.number),
        "images": n_images,
    }
    if args.json:
        facts |= {"failed_images": failed, "deleted_rounds": gone}
    report(facts, learner, as_json=args.json)


def _keep_state(project: Project, learner: Learner) -> None:
    """Keep what is learned by now: the next training goes on from it after a kill."""
    learner.save(project.training_path, with_training=True)
    if project.record.round_in_use is not None:  # it went on from there
        project.change(round_in_use=None)


def _keep_training(project: Project, learner: Learner) -> None:
    """Keep what the next training goes on from; the round is there without it."""
    try:
        _keep_state(project, learner)
    except FileError as error:
        complain(f"{error}; the round is kept, but no training can go on from its end")


def _keep_round(project: Project, learner: Learner, n_images: int) -> Round:
    status = learner.status
    return project.rounds.add(
        learner.save,
        {
            "chosen": status.chosen,
            "scores": status.scores,
            "step": status.step,
            "seconds": status.seconds,
            "n_px": status.n_px,
            "n_strokes": status.n_strokes,
            "n_images": n_images,
        },
    )
