"""``project predict``: labels of a project's images, with the model of a round."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._cluster import add_scheduler, check_scheduler
from napari_unet.cli._console import naming
from napari_unet.cli._files import make_folder
from napari_unet.cli._instances import add_instances, instance_settings
from napari_unet.cli._options import add_device, add_json, add_progress
from napari_unet.cli._outputs import Outputs, plan_outputs
from napari_unet.cli._predict import add_format_and_resume, predict_all
from napari_unet.cli._predict_image import Task
from napari_unet.errors import ConfigError, ProjectError

if TYPE_CHECKING:
    from napari_unet.project import Project, ProjectImage

__all__ = ["add_parser"]


def add_parser(actions: Any) -> None:
    """Add the command to the parser."""
    parser = actions.add_parser(
        "predict",
        help="label a project's images",
        description="Label images of a project with the model of a round, also while "
        "it is open elsewhere. Labels go to DIR/predictions: NUMBER-NAME-labels.tif; "
        "objects that were found in older labels are removed there, or made anew. "
        "One bad or missing image does not stop the others: it is named on stderr, and "
        "the exit code is 3.",
        allow_abbrev=False,
    )
    parser.add_argument("project", type=Path, metavar="DIR", help="the project folder")
    parser.add_argument(
        "--round",
        default="newest",
        metavar="N|best|newest",
        help="whose model: a number, the newest (default), or the best, which has the "
        "highest score on held-out strokes (of other rounds those were others: a hint; "
        "the newest of equals)",
    )
    parser.add_argument(
        "--image",
        nargs="+",
        default=["all"],
        metavar="NUMBER|unfinished|all",
        help="images by number, those that are not marked as done, or all (default)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR2",
        help="another folder for the labels, made if missing",
    )
    add_format_and_resume(parser)
    add_scheduler(parser)
    add_instances(parser)
    add_device(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=_run, probabilities=False, three_axes=False, level=0)


def _run(args: argparse.Namespace) -> int:
    from napari_unet.cli._project_images import (
        chosen_images,
        file_stem,
        read_and_compare,
    )
    from napari_unet.project import Project

    settings = instance_settings(args)
    with Project.open(args.project, is_read_only=True) as project:
        images = chosen_images(project, args.image)
        model = _model(project, args.round)
        folder = _folder(args, project)
        paths = [_path(project, image) for image in images]
        outputs = plan_outputs(
            paths,
            f"{folder}/",
            model,
            with_objects=args.instances,
            folder_format=args.format,
            stems=[file_stem(image) for image in images],
        )
        check_scheduler(args, outputs)
        ranking = _Ranking(folder)
        tasks = [
            Task(
                path,
                outs,
                partial(ranking.read, project, image, read_and_compare),
                None if args.out else _stale_objects(outs),
            )
            for path, outs, image in zip(paths, outputs, images, strict=True)
        ]
        from napari_unet.core.memory import keep_freed_memory
        from napari_unet.learning import load

        keep_freed_memory()
        with naming(model):
            learner = load(model, device=args.device or "auto")
        learner.watch_uncertainty(ranking.watch)
        try:
            return predict_all(args, learner, tasks, settings)
        finally:
            ranking.note()


class _Ranking:
    """Notes how unsure each image's prediction is, beside the predictions."""

    def __init__(self, folder: Path) -> None:
        from napari_unet.learning.uncertain import UncertaintyWatch

        self.watch = UncertaintyWatch()
        self._folder = folder
        self._number: int | None = None

    def read(self, project: Project, image: ProjectImage, read: Any) -> Any:
        """Read an image, which is predicted next."""
        self.note()
        self._number = image.number
        return read(project, image)

    def note(self) -> None:
        """Note what was seen of the image before."""
        from napari_unet.project.notes import add_uncertainty

        mean, number = self.watch.mean(), self._number
        if number is not None and mean is not None:
            add_uncertainty(self._folder, number, mean)
        self.watch.reset()
        self._number = None


def _stale_objects(outs: Outputs) -> Path | None:
    """Return where objects of earlier labels may lie, if no new ones come there."""
    stem = outs.labels.stem.removesuffix("-labels")
    path = outs.labels.with_name(f"{stem}-objects.tif")
    return None if path == outs.objects else path


def _model(project: Project, which: str) -> Path:
    """Return the model that ``--round`` names."""
    rounds = project.rounds
    if which.isdecimal():
        return rounds.model(rounds.get(int(which)).number)
    if which not in ("best", "newest"):
        raise ConfigError(f"--round {which}: give a number, 'best' or 'newest'")
    if rounds.newest is None:
        raise ProjectError(
            f"the project {project.folder} has no model yet: 'napari-unet project "
            "train' makes one"
        )
    # where nothing was held out, no round is better than another
    found = rounds.best if which == "best" else None
    return rounds.model((found or rounds.newest).number)


def _folder(args: argparse.Namespace, project: Project) -> Path:
    from napari_unet.project import predictions_folder

    if args.out is None:
        return predictions_folder(project.folder)
    if args.out.suffix.lower() == ".zarr":
        raise ConfigError(
            f"--out {args.out} is one store: name a folder, with --format zarr"
        )
    make_folder(args.out)
    return Path(args.out)


def _path(project: Project, image: ProjectImage) -> Path:
    """Return where an image is, or what to call one that is nowhere."""
    try:
        return project.find(image.number)
    except ProjectError:
        return Path(image.absolute_path or image.path or image.name)
