"""The parser and the exit codes.

0: done; 1: a bug, with its traceback; 2: a wrong call or file, with one line on stderr;
3: some of several files (or checks) failed, and the others went on; 130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

# every command imports what it needs when it runs: --help must not wait for torch
from napari_unet.cli import (
    _demo,
    _doctor,
    _evaluate,
    _export,
    _export_model,
    _info,
    _measure,
    _predict,
    _project,
    _simulate,
    _train,
)
from napari_unet.cli._console import complain
from napari_unet.errors import NapariUnetError

__all__ = ["build_parser", "main"]

_COMMANDS = (
    _train,
    _predict,
    _project,
    _evaluate,
    _export,
    _measure,
    _simulate,
    _info,
    _export_model,
    _doctor,
    _demo,
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one line, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        import napari_unet

        print(f"napari-unet {napari_unet.__version__}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="napari-unet",
        description="Segment images with a U-Net that learns from a few strokes.",
        epilog="Exit codes: 0 done, 1 a bug, 2 a wrong call or file, 3 some of several "
        "files or checks failed.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="command"
    )
    for module in _COMMANDS:
        module.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv
        The arguments behind the program's name; None: those of this process.

    Returns
    -------
    int
        The exit code; see this module's docstring. A bug propagates.
    """
    try:
        try:
            args = build_parser().parse_args(argv)
            code: int = args.run(args)
        finally:
            # here, where a reader who left can still be met calmly
            sys.stdout.flush()
    except NapariUnetError as error:
        complain(str(error))
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _is_memory_error(error):
            raise
        complain("memory ran out: close other programs, or work on a smaller image")
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 130
    except BrokenPipeError:
        # whoever read our output has seen enough; Python must not complain at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _is_memory_error(error: Exception) -> bool:
    """Whether memory ran out; torch's own error for it is a RuntimeError."""
    torch = sys.modules.get("torch")  # whoever raised it has imported it
    kinds = () if torch is None else (torch.OutOfMemoryError,)
    return isinstance(error, (MemoryError, *kinds))
