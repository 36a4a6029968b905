"""``napari-unet project ...``: the projects of the viewer, without the viewer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_unet.cli import (
    _project_add,
    _project_export,
    _project_predict,
    _project_rounds,
    _project_status,
    _project_train,
)
from napari_unet.cli._options import add_json

__all__ = ["add_parser"]


def add_parser(commands: Any) -> None:
    """Add the command, with commands of its own, to the parser."""
    parser = commands.add_parser(
        "project",
        help="make, train, predict and export a project folder",
        description="A project is a folder with what was painted on many images, their "
        "classes and settings, and the models of each round. The viewer opens the same "
        "folder: annotate on one computer, train on another.",
        allow_abbrev=False,
    )
    actions = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="action"
    )
    _project_add.add_parsers(actions)
    _project_status.add_parser(actions)
    _project_train.add_parser(actions)
    _project_predict.add_parser(actions)
    _project_export.add_parser(actions)
    _project_rounds.add_parser(actions)
    _add_rescue(actions)


def _add_rescue(actions: Any) -> None:
    rescue = actions.add_parser(
        "rescue",
        help="save what can be read of damaged annotations",
        description="Make a project's annotations anew from what can be read of them. "
        "The damaged file stays beside the new one.",
        allow_abbrev=False,
    )
    rescue.add_argument("project", type=Path, metavar="DIR", help="the project folder")
    add_json(rescue)
    rescue.set_defaults(run=_rescue)


def _rescue(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from napari_unet.cli._console import complain, write_json
    from napari_unet.project.rescue import rescue_annotations

    rescued = rescue_annotations(args.project)
    if args.json:
        write_json(asdict(rescued))
    else:
        kept = ""
        if rescued.damaged is not None:
            kept = f"; the damaged file is kept as {rescued.damaged}"
        print(
            f"{rescued.n_layers} annotations with {rescued.n_tiles} blocks of pixels "
            f"were read{kept}"
        )
    if not rescued.n_tiles:
        complain(
            "nothing that was painted could be read: take a backup, if there is one"
        )
        return 3
    return 0
