"""``napari-unet predict``: from a model and images to label files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._cluster import add_scheduler, check_scheduler, open_cluster
from napari_unet.cli._console import (
    cancel_on_interrupt,
    complain,
    naming,
    seconds_text,
    write_json,
)
from napari_unet.cli._files import make_folder, require_files
from napari_unet.cli._inputs import find_images
from napari_unet.cli._instances import (
    add_instances,
    instance_settings,
    say_objects,
)
from napari_unet.cli._options import (
    add_axes,
    add_device,
    add_files,
    add_json,
    add_level,
    add_progress,
)
from napari_unet.cli._outputs import Outputs, is_one_file, plan_outputs
from napari_unet.cli._predict_image import Task, predict_image
from napari_unet.errors import ClusterError, NapariUnetError

if TYPE_CHECKING:
    from napari_unet.config import InstanceConfig
    from napari_unet.learning import Learner

__all__ = ["add_format_and_resume", "add_parser", "predict_all", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "predict",
        help="label images with a model",
        description="Label images with a model. One bad image of several does not stop "
        "the others: it is named on stderr, and the exit code is 3. Of a folder, every "
        "image that lies in it is labelled. With --out NAME.zarr (or --format zarr) "
        "labels go to disk tile by tile, and objects block by block: images may be "
        "larger than the memory.",
        allow_abbrev=False,
    )
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL")
    add_files(parser, "--image", "images")
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE_OR_DIR",
        help="for one image the label file (.tif keeps the pixel size, .png does not), "
        "an OME-Zarr store (.zarr) or a folder; for several a folder, made if missing, "
        "which gets a file IMAGE-labels.tif for each",
    )
    add_format_and_resume(parser)
    parser.add_argument(
        "--probabilities",
        action="store_true",
        help="beside the labels, write each class's probability as a channel of a "
        "float32 TIFF, ...-probabilities.tif (axes CYX; ZCYX for a volume), or of "
        "...-probabilities.zarr",
    )
    parser.add_argument(
        "--three-axes",
        action="store_true",
        help="predict a volume's planes along z, y and x, and take the mean of their "
        "probabilities: three times the work, for voxels that are about cubes",
    )
    add_scheduler(parser)
    add_instances(parser)
    add_axes(parser)
    add_level(parser)
    add_device(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=run)


def add_format_and_resume(parser: argparse.ArgumentParser) -> None:
    """Add ``--format`` and ``--resume``."""
    parser.add_argument(
        "--format",
        choices=("tif", "zarr"),
        help="what a folder gets: TIFF files (default) or OME-Zarr stores",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run was stopped or killed: an OME-Zarr store from its last "
        "tile; results that are complete are left as they are, TIFF files whatever "
        "model made them",
    )


def run(args: argparse.Namespace) -> int:
    """Label every image; report those that failed and go on."""
    from napari_unet.cli._read import read_image
    from napari_unet.core.memory import keep_freed_memory
    from napari_unet.learning import load

    keep_freed_memory()
    settings = instance_settings(args)
    images = find_images(args.image)
    require_files([Path(args.model), *(images if len(images) == 1 else [])])
    outputs = plan_outputs(
        images,
        args.out,
        args.model,
        with_probabilities=args.probabilities,
        with_objects=args.instances,
        in_store=not args.three_axes,
        folder_format=args.format,
    )
    check_scheduler(args, outputs)
    if not is_one_file(args.out, len(images)):
        make_folder(Path(args.out))
    with naming(args.model):
        learner = load(args.model, device=args.device or "auto")
    tasks = [
        Task(image, outs, partial(read_image, image, args.axes, args.level))
        for image, outs in zip(images, outputs, strict=True)
    ]
    return predict_all(args, learner, tasks, settings)


def predict_all(
    args: argparse.Namespace,
    learner: Learner,
    tasks: Sequence[Task],
    settings: InstanceConfig | None,
) -> int:
    """Label images; report those that failed, go on, and return the exit code."""
    results: list[dict[str, Any]] = []
    n_failed = 0
    with open_cluster(args) as cluster, cancel_on_interrupt() as token:
        for number, task in enumerate(tasks, 1):
            title = f"{number}/{len(tasks)} {task.path.name} "
            try:
                with naming(task.path, task.outs.labels):
                    result = predict_image(
                        args, learner, task, settings, title, token, cluster
                    )
            except NapariUnetError as error:
                # what is wrong with the cluster is wrong for all that would follow
                if len(tasks) == 1 or isinstance(error, ClusterError):
                    raise
                complain(str(error))
                results.append({"image": task.path, "error": str(error)})
                n_failed += 1
                continue
            results.append(result)
            if not args.json:
                _say(task.path, task.outs, result)
    if args.json:
        write_json(results)
    if n_failed:
        complain(f"{n_failed} of {len(tasks)} images failed")
        return 2 if n_failed == len(tasks) else 3
    return 0


def _say(image: Path, outs: Outputs, result: dict[str, Any]) -> None:
    if result.get("was_there"):
        objects = ", with its objects as they are" if outs.objects else ""
        print(f"{image} -> {outs.labels}, which was there{objects}")
        return
    found = f", {say_objects(result)}" if "n_objects" in result else ""
    print(f"{image} -> {outs.labels}{found} in {seconds_text(result['seconds'])}")
