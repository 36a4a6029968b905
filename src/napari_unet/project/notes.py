"""Plain lines of JSON in a project: corrections, times of work, uncertainty.

A line that cannot be read, as the last one after a crash, is left out. Nothing depends
on them: a project without them is whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_unet.annotation.corrective import Correction

__all__ = [
    "CORRECTIONS",
    "INTERACTIONS",
    "UNCERTAINTY",
    "add_corrections",
    "add_lines",
    "add_uncertainty",
    "read_corrections",
    "read_lines",
    "read_uncertainty",
]

CORRECTIONS = "corrections.jsonl"
INTERACTIONS = "interactions.jsonl"
UNCERTAINTY = "uncertainty.jsonl"
"""Beside the predictions that it is of."""
_MAX_BYTES = 2**26


def add_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append lines; where that fails, none. A file of 64 MB gets no more."""
    with suppress(OSError):
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            return
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are objects; nothing where there is no file."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            with suppress(ValueError):
                line = json.loads(text)
                if isinstance(line, dict):
                    yield line


def add_corrections(folder: Path, corrections: Iterable[Correction]) -> None:
    """Append corrections to a project's file of them."""
    lines = (
        {
            "time": found.time_s,
            "image": found.image,
            "number": found.number,
            "plane": found.plane,
            "y": found.y,
            "x": found.x,
            "predicted_px": {str(v): n for v, n in found.n_predicted.items()},
            "painted_px": [[a, b, n] for (a, b), n in found.n_painted.items()],
        }
        for found in corrections
    )
    add_lines(folder / CORRECTIONS, lines)


def read_corrections(folder: Path) -> list[Correction]:
    """Return the corrections of a project, as far as they can be read."""
    found = []
    for line in read_lines(folder / CORRECTIONS):
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            found.append(_correction(line))
    return found


def add_uncertainty(folder: Path, number: int, mean: float) -> None:
    """Note in a folder of predictions how unsure an image's is, 0..1."""
    add_lines(folder / UNCERTAINTY, [{"number": number, "mean": round(mean, 4)}])


def read_uncertainty(folder: Path) -> dict[int, float]:
    """Return the newest mean uncertainty of each image, by its number."""
    found = {}
    for line in read_lines(folder / UNCERTAINTY):
        number, mean = line.get("number"), line.get("mean")
        if isinstance(number, int) and isinstance(mean, float) and 0 <= mean <= 1:
            found[number] = mean
    return found


def _correction(line: dict[str, Any]) -> Correction:
    time_s, number = float(line["time"]), line["number"]
    if not math.isfinite(time_s):
        raise ValueError("a time that is none")
    return Correction(
        time_s=time_s,
        image=str(line["image"]),
        number=None if number is None else int(number),
        plane=int(line["plane"]),
        y=int(line["y"]),
        x=int(line["x"]),
        n_predicted={int(v): int(n) for v, n in line["predicted_px"].items()},
        n_painted={(int(a), int(b)): int(n) for a, b, n in line["painted_px"]},
    )
