"""Score against seconds since the first stroke."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median

from _tables import SCORES, WHERE, Record, Score, by_set, mean_of, number, pick, table

__all__ = ["CURVES", "comparable", "curve", "curve_tables"]

CURVES = {
    "forest": "forest",
    "instant": "instant network",
    "scratch": "U-Net from scratch",
    "fine-tuned": "fine-tuned network",
    "shown": "what is shown",
}
"""Methods that have a curve, and their titles."""

_AT_S = (0.5, 2.0, 10.0, 60.0)
# these go on getting better: nothing is known beyond their last look
_TUNED = ("scratch", "fine-tuned", "shown")


def comparable(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """Return the methods that were run, and the cases that all of them have."""
    methods = [m for m in CURVES if any(_keys(record, m) for record in records)]
    cases = [r for r in records if all(_keys(r, m) for m in methods)]
    return cases, methods


def curve(
    records: Sequence[Record], method: str, where: str, score: Score
) -> list[tuple[float, float]]:
    """Return (seconds, score): median over cases, and mean over sets.

    A point is labels of the whole painted image; before its first one a method has
    nothing to show.
    """
    points = []
    for key in _keys(records[0], method) if records else []:
        value = mean_of(by_set(records, key, where, score))
        if value is not None:
            points.append((median(r["ready_s"][key] for r in records), value))
    return points


def curve_tables(records: Sequence[Record], strokes: list[int]) -> list[str]:
    """Return one table per number of strokes: scores at fixed seconds."""
    lines = [
        "From the first stroke on, with everything that happens until labels of the "
        "whole painted image are there: features, fit, gate, fine-tuning, prediction; "
        "the process is warm. The picture has points at the median of the measured "
        "times. The tables interpolate each case between its own points, on a "
        "logarithmic scale of time; a method that was not ready in a case has no "
        "score there, and *k of n* says so where it was ready in some cases only (the "
        "mean is then over these alone, so compare it with care). *Instant*, "
        "*fine-tuned* and *from scratch* are these networks alone, whatever the gate "
        "thinks of them. All classes.",
    ]
    cases, methods = comparable(records)
    score = SCORES["all classes"]
    for n in strokes:
        mine = pick(cases, n)
        if not mine:
            continue
        header = [f"{n} strokes per class", "first labels (median)"]
        rows = []
        for method in methods:
            first = median(r["ready_s"][_keys(r, method)[0]] for r in mine)
            cells = [_cell(mine, method, second, score) for second in _AT_S]
            rows.append([CURVES[method], f"{first:.2f} s", *cells])
        lines += ["", *table([*header, *(f"{s:g} s" for s in _AT_S)], rows)]
    return lines


def _keys(record: Record, method: str) -> list[str]:
    """Return the scores that are points of a method's curve, in order of time."""
    scores = record["scores"]
    if method in ("forest", "instant"):
        return [method] if method in scores else []
    keys = [key for key in scores if key.partition("@")[0] == method]
    keys.sort(key=lambda key: float(key.partition("@")[2]))
    return ["overlay", *keys] if method == "shown" else keys


def _cell(records: Sequence[Record], method: str, second: float, score: Score) -> str:
    """Write the scores of a method at a time, and in how many cases it was ready."""
    cells, n_ready = [], 0
    for where in WHERE:
        found: dict[str, list[float]] = {}
        for record in records:
            value = _value_at(record, method, where, second, score)
            if value is not None:
                found.setdefault(record["case"]["set"], []).append(value)
        n_ready = n_ready or sum(len(values) for values in found.values())
        cells.append(number(mean_of({k: fmean(v) for k, v in found.items()})))
    if not n_ready:
        return "-"
    text = " / ".join(cells)
    is_all = n_ready == len(records)
    return text if is_all else f"{text} ({n_ready} of {len(records)})"


def _value_at(
    record: Record, method: str, where: str, second: float, score: Score
) -> float | None:
    """Return the score at a time, None before the first and after the last look."""
    points: list[tuple[float, float]] = []
    for key in _keys(record, method):
        value = score(record["scores"][key].get(where, {}))
        if value is None:
            return None
        points.append((record["ready_s"][key], value))
    if not points or second < points[0][0]:
        return None
    for (start, low), (end, high) in pairwise(points):
        if start <= second < end:
            share = math.log(second / start) / math.log(end / start)
            return low + share * (high - low)
    return points[-1][1] if method not in _TUNED else None
