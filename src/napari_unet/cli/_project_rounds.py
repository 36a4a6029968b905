"""``project rounds``: the models of a project, which to keep, and notes on them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import write_json
from napari_unet.cli._options import add_json, positive
from napari_unet.errors import ConfigError

if TYPE_CHECKING:
    from napari_unet.project import Rounds

__all__ = ["add_parser"]

_MAX_NOTE = 2000


def add_parser(actions: Any) -> None:
    """Add the command to the parser."""
    parser = actions.add_parser(
        "rounds",
        help="list a project's models; keep, delete or note something on one",
        description="List the rounds of a project: the model that each ended with, and "
        "its score on held-out strokes.",
        allow_abbrev=False,
    )
    parser.add_argument("project", type=Path, metavar="DIR", help="the project folder")
    change = parser.add_mutually_exclusive_group()
    change.add_argument(
        "--delete", type=positive, metavar="N", help="delete a round and its model"
    )
    change.add_argument(
        "--pin", type=positive, metavar="N", help="never delete it to save space"
    )
    change.add_argument(
        "--unpin", type=positive, metavar="N", help="take that back again"
    )
    change.add_argument(
        "--note", nargs=2, metavar=("N", "TEXT"), help="note something on a round"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from napari_unet.cli._project_status import print_rounds, round_facts
    from napari_unet.project import Project

    changes = (args.delete, args.pin, args.unpin, args.note)
    is_read_only = all(change is None for change in changes)
    with Project.open(args.project, is_read_only=is_read_only) as project:
        _change(args, project.rounds)
        if args.json:
            write_json([round_facts(r) for r in project.rounds])
        elif len(project.rounds):
            print_rounds(project)
        else:
            print("no rounds: 'napari-unet project train' makes one")
    return 0


def _change(args: argparse.Namespace, rounds: Rounds) -> None:
    if args.delete is not None:
        if rounds.get(args.delete).is_pinned:
            raise ConfigError(
                f"round {args.delete} is pinned: --unpin {args.delete} before"
            )
        rounds.delete(args.delete)
    for number, is_pinned in ((args.pin, True), (args.unpin, False)):
        if number is not None:
            rounds.change(number, is_pinned=is_pinned)
    if args.note is not None:
        number, text = args.note
        if not number.isdecimal():
            raise ConfigError(f"--note {number}: give the number of a round, then text")
        if len(text) > _MAX_NOTE:
            raise ConfigError(
                f"the note has {len(text)} letters: {_MAX_NOTE} can be kept"
            )
        rounds.change(int(number), note=text)
