"""What the commands say, and where: results on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CancelToken

__all__ = [
    "cancel_on_interrupt",
    "complain",
    "naming",
    "print_table",
    "progress_bar",
    "seconds_text",
    "write_json",
]


def complain(message: str) -> None:
    """Write one line on stderr."""
    # a sentence from elsewhere may hold line breaks
    print(f"napari-unet: {' '.join(message.split())}", file=sys.stderr)


@contextmanager
def naming(*paths: Path, kind: type[Exception] = NapariUnetError) -> Iterator[None]:
    """Name the first file in an expected error, of a kind, that names none of them."""
    try:
        yield
    except NapariUnetError as error:
        if not isinstance(error, kind):
            raise
        text = str(error)
        if any(str(path) in text for path in paths):
            raise
        raise type(error)(f"{paths[0]}: {text}") from error


def write_json(value: Any) -> None:
    """Write a value on stdout as JSON, with null for what is not a number."""
    print(json.dumps(_plain(value), indent=2))


def _plain(value: Any) -> Any:
    """Return a value in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def progress_bar(args: argparse.Namespace, total: float | None, unit: str) -> Any:
    """Return a tqdm bar on stderr: for a person at a terminal, or with --progress."""
    from tqdm import tqdm

    is_shown = getattr(args, "progress", False) or sys.stderr.isatty()
    return tqdm(
        total=total,
        unit=unit,
        file=sys.stderr,
        disable=not is_shown,
        leave=False,
        dynamic_ncols=True,
        bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
    )


@contextmanager
def cancel_on_interrupt(*, is_patient: bool = False) -> Iterator[CancelToken]:
    """Give a token that Ctrl-C cancels; a second Ctrl-C ends the program as usual.

    ``is_patient``: not even then.
    """
    token = CancelToken()

    def cancel(*_: object) -> None:
        token.cancel()
        if not is_patient:
            signal.signal(signal.SIGINT, previous)

    try:
        previous = signal.signal(signal.SIGINT, cancel)
    except ValueError:
        # not on the main thread: whoever called there has their own way to stop
        yield token
        return
    try:
        yield token
    finally:
        signal.signal(signal.SIGINT, previous)


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under their header; text to the left, numbers to the right."""
    cells = [list(header), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    is_text = [all(isinstance(row[i], str) for row in rows) for i in range(len(header))]
    for row in cells:
        aligned = [
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(row, widths, is_text, strict=True)
        ]
        print("  ".join(aligned).rstrip())


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def seconds_text(seconds: float) -> str:
    """Return a duration as people write it: "0.31 s", "48 s", "2 min 5 s"."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
