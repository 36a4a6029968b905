"""Draws score against seconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from _curve import CURVES, comparable, curve
from _panel import HEIGHT, LEFT, WIDTH, Panel, Sheet
from _tables import SCORES, WHERE, Record, pick

__all__ = ["draw_curves"]

_ENTRY, _ROW = 145, 17
# Okabe and Ito's colours, which colour-blind people tell apart
_COLOURS = {
    "forest": (0, 158, 115),
    "instant": (86, 180, 233),
    "scratch": (204, 121, 167),
    "fine-tuned": (230, 159, 0),
    "shown": (40, 40, 40),
}
_TITLES = {"same": "image with the strokes", "other": "another image"}
_TICKS_S = (0.5, 2, 10, 60)


def draw_curves(records: Sequence[Record], path: Path) -> None:
    """Draw one diagram per number of strokes and image; all classes."""
    cases, methods = comparable(records)
    strokes = sorted({r["case"]["n_strokes"] for r in cases})
    curves = {
        (n, where, method): curve(pick(cases, n), method, where, SCORES["all classes"])
        for n in strokes
        for where in WHERE
        for method in methods
    }
    points = [point for line in curves.values() for point in line]
    if not points:
        return
    seconds = [point[0] for point in points] + list(_TICKS_S)
    values = [point[1] for point in points]
    span_s = (min(seconds) * 0.8, max(seconds) * 1.1)
    limits = (math.floor(min(values) * 20) / 20, math.ceil(max(values) * 20) / 20)
    n_columns = min(len(methods), (WIDTH * len(strokes) - LEFT) // _ENTRY)
    legend_px = _ROW * (math.ceil(len(methods) / n_columns) + 1) + 12
    sheet = Sheet(WIDTH * len(strokes), HEIGHT * len(WHERE) + legend_px)
    ticks = {second: f"{second:g} s" for second in _TICKS_S}
    for column, n in enumerate(strokes):
        for row, where in enumerate(WHERE):
            corner = (column * WIDTH, row * HEIGHT)
            panel = Panel(sheet, corner, span_s, limits, ticks)
            unit = "stroke" if n == 1 else "strokes"
            panel.frame(f"{n} {unit} per class, {_TITLES[where]}")
            for method in methods:
                panel.line(
                    curves[n, where, method],
                    _COLOURS[method],
                    width=3 if method == "shown" else 2,
                    # what does not learn with time goes on as it is
                    goes_on=method in ("forest", "instant"),
                )
    sheet.legend(
        "mean IoU against seconds since the first stroke",
        {CURVES[method]: _COLOURS[method] for method in methods},
        (n_columns, _ENTRY),
        HEIGHT * len(WHERE) + 4,
    )
    sheet.save(path)
