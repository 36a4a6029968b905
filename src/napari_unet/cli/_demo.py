"""``napari-unet demo``: the whole loop on a sample, in a window or without one."""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from napari_unet.cli._console import complain
from napari_unet.cli._options import add_device, add_json, add_progress, seconds
from napari_unet.cli._screen import has_screen, window_system

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="show the loop on a sample: paint, learn, correct, export",
        description="With a screen, open napari with a sample, its strokes and the "
        "running loop. Without one, or with --headless, run the same loop with "
        "simulated strokes and corrections over three rounds, print a table, and write "
        "labels, an overlay picture, the curves and the model to a folder.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--headless",
        action="store_true",
        help="no window, also where there is a screen",
    )
    parser.add_argument(
        "--sample",
        choices=("nuclei", "tissue"),
        default="nuclei",
        help="default: nuclei",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="folder of the headless demo (default: demo-output)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=15.0,
        metavar="S",
        help="fine-tuning in each round of the headless demo (default: 15)",
    )
    add_device(parser)
    add_json(parser)
    add_progress(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the window, or run without one."""
    if not args.headless and has_screen():
        trouble = _trouble()
        if not trouble:
            # the window is another leaf of the house: a process of its own
            window = "napari_unet.widgets.demo"
            call = [sys.executable, "-m", window, "--sample", args.sample]
            code = subprocess.run(call, check=False).returncode
            # ended by a signal: as a shell says it
            return code if code >= 0 else 128 - code
        complain(f"{trouble}, so the demo runs without a window")
    from napari_unet.cli._rounds import run_headless

    return run_headless(args)


def _trouble() -> str:
    """Say why no window can open; '' where one can."""
    if find_spec("napari") is None:
        return "napari is not installed (pip install 'napari-unet[all]')"
    if window_system() is None:
        return "Qt cannot open a window here (see napari-unet doctor)"
    return ""
