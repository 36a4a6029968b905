"""Draws each set's own measure against the annotated part of the training half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from _panel import HEIGHT, WIDTH, Panel, Sheet
from _paper_data import SETS
from _paper_report import best_peer, rows_of, values_of
from _tables import Record

__all__ = ["draw_curve", "points_of"]

_OURS, _PEER = (40, 40, 40), (213, 94, 0)
_N_COLUMNS = 3
_LEGEND_PX = 60


def draw_curve(lines: Sequence[Record], path: Path) -> bool:
    """Draw one diagram per set that was run with a part; False where there is none."""
    partial = {x["case"]["set"] for x in lines if x["case"]["fraction"] < 1}
    curves = {name: points_of(lines, name) for name in SETS if name in partial}
    if not curves:
        return False
    points = [p for pair in curves.values() for line in pair for p in line]
    fractions = sorted({x for x, _ in points})
    values = [y for _, y in points]
    span = (fractions[0] * 0.8, fractions[-1] * 1.25)
    limits = (math.floor(min(values) * 20) / 20, math.ceil(max(values) * 20) / 20)
    ticks = {fraction: f"{fraction:.0%}" for fraction in fractions}
    n_rows = math.ceil(len(curves) / _N_COLUMNS)
    sheet = Sheet(WIDTH * min(len(curves), _N_COLUMNS), HEIGHT * n_rows + _LEGEND_PX)
    for number, (name, (ours, peer)) in enumerate(curves.items()):
        row, column = divmod(number, _N_COLUMNS)
        panel = Panel(sheet, (column * WIDTH, row * HEIGHT), span, limits, ticks)
        panel.frame(f"{SETS[name].title}: {SETS[name].measure}")
        panel.line(peer, _PEER)
        panel.line(ours, _OURS, width=3)
    sheet.legend(
        "each set's own measure against the annotated part",
        {"compact, bundled weights": _OURS, "best peer": _PEER},
        (2, WIDTH // 2),
        HEIGHT * n_rows + 4,
    )
    sheet.save(path)
    return True


def points_of(
    lines: Sequence[Record], name: str
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return (part, mean over seeds) of what we show and of the best peer.

    The peer is one for all parts: the best, fully annotated, of those that were run
    with a part.
    """
    mine = [line for line in lines if line["case"]["set"] == name]
    measure = SETS[name].measure
    fractions = sorted({line["case"]["fraction"] for line in mine})
    in_part = {line["part"] for line in mine if line["case"]["fraction"] < 1}
    candidates = [line for line in mine if line["part"] in in_part]
    peer = best_peer(candidates, name) or best_peer(candidates, name, fractions[0])
    curves = []
    for row in (("compact", "shown"), peer):
        is_there = row in rows_of(candidates)
        found = {
            fraction: values_of(mine, name, row, measure, fraction)
            for fraction in fractions
            if is_there and row
        }
        curves.append([(at, fmean(values)) for at, values in found.items() if values])
    return curves[0], curves[1]
