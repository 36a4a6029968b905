"""``train --resume`` and ``--save-state``: a training that goes on in another run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import naming
from napari_unet.cli._files import refuse_overwriting
from napari_unet.cli._save_state import add_save_every
from napari_unet.errors import ConfigError, FileError

if TYPE_CHECKING:
    from napari_unet.learning import Learner

__all__ = ["add_resume", "check_state", "load_state", "refuse_settings", "save_state"]


def add_resume(parser: argparse.ArgumentParser, beginning: Any) -> None:
    """Add ``--save-state``, and ``--resume`` to the ways to begin."""
    beginning.add_argument(
        "--resume",
        type=Path,
        metavar="STATE",
        help="go on with a training that --save-state wrote, for --seconds or --steps "
        "more; with the same images, annotations and number of threads on a CPU, "
        "exactly as if it had not been stopped",
    )
    parser.add_argument(
        "--save-state",
        type=Path,
        metavar="STATE",
        help="also write what --resume needs (.safetensors), while training, at the "
        "end and on Ctrl-C; may be the file of --resume",
    )
    add_save_every(parser, "the file of --save-state")


def refuse_settings(args: argparse.Namespace, given: str, what: str) -> None:
    """Refuse options that a file brings with it.

    Raises
    ------
    ConfigError
        If one is given.
    """
    fixed = {
        "--annotation-mode": args.annotation_mode,
        "--recipe": args.recipe,
        "--architecture": args.architecture,
        "--dimensions": args.dimensions,
        "--downsample": args.downsample,
        "--config": args.config,
        "--seed": args.seed,
    }
    for option, value in fixed.items():
        if value is not None:
            raise ConfigError(
                f"{option} cannot be given together with {given}: {what} brings its "
                "own settings"
            )


def check_state(
    args: argparse.Namespace, outs: list[Path], inputs: Sequence[Path]
) -> None:
    """Put the file of ``--save-state`` to those that are written, if it may be.

    Raises
    ------
    FileError, ConfigError
        If it is another one that is read or written.
    """
    from napari_unet.export import model_path

    if args.save_state is None:
        return
    args.save_state = model_path(args.save_state)
    others = [path for path in inputs if path != args.resume]
    refuse_overwriting([*outs, args.save_state], others)
    outs.append(args.save_state)


def load_state(args: argparse.Namespace) -> Learner:
    """Return the learner whose training ``--resume`` names.

    Raises
    ------
    ConfigError
        If the file is a model without its training, or settings are given beside it.
    """
    from napari_unet.core.checkpoint import read_header
    from napari_unet.learning import load

    path: Path = args.resume
    refuse_settings(args, f"--resume {path}", "a training")
    if args.objects is not None:
        raise ConfigError(
            f"--objects cannot be given together with --resume {path}: a network that "
            "sees other sizes begins its training again; give it with --start"
        )
    with naming(path):
        if read_header(path).get("training") is None:
            raise ConfigError(
                f"{path} is a model without its training: go on from its weights with "
                f"--start {path}, or save a training with --save-state"
            )
        return load(path, device=args.device or "auto")


def save_state(args: argparse.Namespace, learner: Learner) -> None:
    """Write the training beside the model, where that is asked for.

    Raises
    ------
    FileError
        If it cannot be written; it says that the model was.
    """
    if args.save_state is None:
        return
    try:
        learner.save(args.save_state, with_training=True)
    except FileError as error:
        raise FileError(f"{error}; the model is in {args.out}") from error
