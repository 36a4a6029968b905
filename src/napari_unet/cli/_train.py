"""``napari-unet train``: from images and annotations to a model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._annotation import (
    add_annotation_mode,
    add_interpolate,
    annotate,
    check_interpolate,
    complete_files,
)
from napari_unet.cli._console import naming
from napari_unet.cli._files import (
    find_twice,
    refuse_overwriting,
    require_files,
)
from napari_unet.cli._map_classes import add_map_classes
from napari_unet.cli._options import (
    OBJECTS,
    add_axes,
    add_device,
    add_dimensions,
    add_downsample,
    add_files,
    add_json,
    add_level,
    add_objects,
    add_progress,
    class_name,
    count,
)
from napari_unet.cli._resume import (
    add_resume,
    check_state,
    load_state,
    refuse_settings,
    save_state,
)
from napari_unet.cli._settings import learner_settings
from napari_unet.cli._training import add_length, learn, report, speak_once
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from napari_unet.core.distributed import Team
    from napari_unet.learning import Learner

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        help="learn from images and their annotations, write a model",
        description="Learn from images and their sparse annotations (0 not annotated, "
        "1 background, 2 and up the classes), and write the best of what was learned "
        "to a model file. Ctrl-C ends the training and keeps what was learned. On "
        "several GPUs: torchrun --nproc-per-node N -m napari_unet.cli train ...",
        allow_abbrev=False,
    )
    add_files(parser, "--image", "images")
    add_files(parser, "--annotation", "annotations, in the order of the images")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="MODEL",
        help="model file to write (.safetensors)",
    )
    add_annotation_mode(parser)
    add_map_classes(parser)
    add_interpolate(parser)
    add_length(parser)
    parser.add_argument(
        "--recipe",
        choices=("strokes", "paper"),
        help="strokes (default): from a few strokes; paper: unet2015 as the paper "
        "trained it, from completely painted images, for GPUs",
    )
    parser.add_argument(
        "--architecture",
        choices=("compact", "unet2015"),
        help="compact (default): learns on a laptop; unet2015: the paper's, for GPUs",
    )
    add_dimensions(parser)
    add_downsample(parser)
    beginning = parser.add_mutually_exclusive_group()
    beginning.add_argument(
        "--start",
        default=None,
        metavar="bundled|scratch|FILE",
        help="start from the weights in the package (default), from random ones, from "
        "those of a network that fits (.safetensors, .pt), or go on with a model file",
    )
    add_resume(parser, beginning)
    parser.add_argument(
        "--seed", type=count, help="of every random choice (default: 0)"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings as JSON; options win"
    )
    parser.add_argument(
        "--classes",
        nargs="+",
        type=class_name,
        default=[],
        metavar="VALUE=NAME",
        help="names of classes, saved with the model",
    )
    parser.add_argument(
        "--curves", type=Path, metavar="FILE", help="write loss and scores as CSV"
    )
    add_objects(parser)
    add_axes(parser)
    add_level(parser)
    add_device(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train and write the model."""
    return speak_once(_run, args)


def _run(args: argparse.Namespace) -> int:
    from napari_unet.export import model_path

    args.out = model_path(args.out)
    _check_files(args)
    from napari_unet.core.distributed import joined_team  # torch: files come first

    with joined_team(_device(args)) as team:
        _train(args, team)
    return 0


def _device(args: argparse.Namespace) -> str:
    """Return the device that was asked for, in the call or in its settings."""
    return learner_settings(args.config, {"device": args.device}).device


def _train(args: argparse.Namespace, team: Team) -> None:
    """Train; the first process of several writes the model and tells of it."""
    from napari_unet.export import replace_file

    learner = _make_learner(args)
    if args.objects is not None:
        learner.set_scales(OBJECTS[args.objects])
    learner.class_names |= dict(args.classes)
    annotate(args, learner)
    session = learn(args, learner, team, _saving(args, learner))
    if not team.is_first:
        return
    learner.save(args.out)
    save_state(args, learner)  # much larger: the model is there if it finds no room
    learner.check_collapse()
    if args.curves:
        with replace_file(args.curves) as temporary:
            temporary.write_text(session.curve.csv(), encoding="utf-8")
    report({"model": args.out}, learner, as_json=args.json)


def _saving(args: argparse.Namespace, learner: Learner) -> Callable[[], None] | None:
    """Return what writes the state of ``--save-state``, if it is asked for."""
    if args.save_state is None:
        return None
    return partial(learner.save, args.save_state, with_training=True)


def _check_files(args: argparse.Namespace) -> None:
    """Find out now what could not be read together or written after the training."""
    from napari_unet.export import check_writable

    if len(args.image) != len(args.annotation):
        raise ConfigError(
            f"--image names {len(args.image)} files and --annotation "
            f"{len(args.annotation)}: each image needs its annotation, in the same "
            "order"
        )
    check_interpolate(args)
    twice = find_twice(args.image)
    if twice is not None:
        raise ConfigError(f"--image names {twice} twice; put its strokes into one file")
    outs = [path for path in (args.out, args.curves) if path is not None]
    read = [*args.image, *args.annotation, *complete_files(args)]
    inputs = list(read)
    if args.resume is not None:
        inputs.append(args.resume)
    if args.config is not None:
        inputs.append(args.config)
    if _is_file(args.start):
        inputs.append(Path(args.start))
    require_files(read)
    refuse_overwriting(outs, inputs)
    check_state(args, outs, inputs)
    for path in outs:
        check_writable(path)


def _is_file(start: str | None) -> bool:
    """Whether ``--start`` names a model file."""
    return start not in (None, "bundled", "scratch")


def _make_learner(args: argparse.Namespace) -> Learner:
    from napari_unet.core.start_file import is_learner_file
    from napari_unet.learning import Learner, load

    start = args.start
    if args.resume is not None:
        return load_state(args)
    is_weights = _is_file(start) and not is_learner_file(start)
    if _is_file(start) and not is_weights:
        refuse_settings(args, f"--start {start}", "a model file")
        with naming(Path(start)):
            return load(start, device=args.device or "auto")
    options = {
        "annotation_mode": args.annotation_mode,
        "device": args.device,
        "recipe": args.recipe,
        "architecture": args.architecture,
        "dimensions": args.dimensions,
        "downsampling": args.downsample,
        "start": None if is_weights else start,
        "seed": args.seed,
    }
    learner = Learner(learner_settings(args.config, options))
    if is_weights:
        learner.start_from(start)
    return learner
