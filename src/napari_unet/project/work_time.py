"""Minutes of painting, from the log of interactions that a person switched on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["BREAK_S", "painting_seconds"]

BREAK_S = 30.0
"""So long between two strokes is looking and choosing; longer is a break."""


def painting_seconds(lines: Iterable[Mapping[str, Any]]) -> dict[int | str, float]:
    """Return seconds of painting for each image, by its number in the project.

    Strokes count from their start to their end, and what lies between two strokes on
    the same image counts where it is at most `BREAK_S`. An image without a number is
    under its name. Lines that say something else, or nonsense, are left out.
    """
    strokes: dict[int | str, list[tuple[float, float]]] = {}
    for line in lines:
        start, end = line.get("start"), line.get("end")
        number, name = line.get("number"), line.get("image")
        if line.get("event") != "paint":
            continue
        if not isinstance(start, (int, float)) or not isinstance(end, (int, float)):
            continue
        of = number if isinstance(number, int) else str(name)
        if 0 <= end - start < float("inf"):
            strokes.setdefault(of, []).append((float(start), float(end)))
    return {of: _seconds(sorted(found)) for of, found in strokes.items()}


def _seconds(strokes: list[tuple[float, float]]) -> float:
    total, last = 0.0, strokes[0][0]
    for start, end in strokes:
        gap = start - last
        total += gap if 0 < gap <= BREAK_S else 0.0
        total += max(end - max(start, last), 0.0)
        last = max(last, end)
    return total
