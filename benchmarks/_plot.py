"""Draws score against seconds with Pillow: no plotting package is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from _curve import CURVES, comparable, curve
from _tables import SCORES, WHERE, Record, pick
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_curves"]

# drawn twice as large and scaled down: smooth lines
_SCALE = 2
_WIDTH, _HEIGHT = 330, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 34, 26
_ENTRY, _ROW = 145, 17
_INK, _FAINT = (40, 40, 40), (215, 215, 215)
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

Point = tuple[float, float]
Colour = tuple[int, int, int]


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
    n_columns = min(len(methods), (_WIDTH * len(strokes) - _LEFT) // _ENTRY)
    legend_px = _ROW * (math.ceil(len(methods) / n_columns) + 1) + 12
    size = (_WIDTH * len(strokes), _HEIGHT * len(WHERE) + legend_px)
    image = Image.new("RGB", (size[0] * _SCALE, size[1] * _SCALE), "white")
    draw = ImageDraw.Draw(image)
    for column, n in enumerate(strokes):
        for row, where in enumerate(WHERE):
            corner = (column * _WIDTH, row * _HEIGHT)
            panel = _Panel(draw, corner, span_s, limits)
            unit = "stroke" if n == 1 else "strokes"
            panel.frame(f"{n} {unit} per class, {_TITLES[where]}")
            for method in methods:
                panel.line(curves[n, where, method], _COLOURS[method], method)
    _draw_legend(draw, methods, n_columns, _HEIGHT * len(WHERE) + 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize(size, Image.Resampling.LANCZOS).save(path, optimize=True)


class _Panel:
    """One diagram: maps seconds, on a logarithmic scale, and scores to pixels."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        corner: tuple[int, int],
        span_s: tuple[float, float],
        limits: tuple[float, float],
    ) -> None:
        self._draw, self._span_s, self._limits = draw, span_s, limits
        x, y = corner
        self._columns = (x + _LEFT, x + _WIDTH - _RIGHT)
        self._rows = (y + _TOP, y + _HEIGHT - _BOTTOM)

    def frame(self, title: str) -> None:
        """Draw the grid with its numbers."""
        (left, right), (top, bottom) = self._columns, self._rows
        low, high = (round(limit * 20) for limit in self._limits)
        step = max(1, math.ceil((high - low) / 6))
        for twentieth in range(low, high + 1, step):
            y = self._place((self._span_s[0], twentieth / 20))[1]
            _segment(self._draw, (left, y), (right, y), _FAINT)
            _text(self._draw, (left - 32, y - 7), f"{twentieth / 20:.2f}")
        for second in _TICKS_S:
            x = self._place((second, 0))[0]
            _segment(self._draw, (x, top), (x, bottom), _FAINT)
            _text(self._draw, (x - 10, bottom + 4), f"{second:g} s")
        _segment(self._draw, (left, bottom), (right, bottom), _INK)
        _segment(self._draw, (left, top), (left, bottom), _INK)
        _text(self._draw, (left, top - 22), title, 12)

    def line(self, points: Sequence[Point], colour: Colour, method: str) -> None:
        """Join points; what does not learn with time goes on as it is."""
        if not points:
            return
        places = [self._place(point) for point in points]
        width = 3 if method == "shown" else 2
        for start, stop in pairwise(places):
            _segment(self._draw, start, stop, colour, width)
        if method in ("forest", "instant"):
            _segment(self._draw, places[-1], (self._columns[1], places[-1][1]), colour)
        for x, y in places:
            box = [(v + d) * _SCALE for d in (-3, 3) for v in (x, y)]
            self._draw.ellipse(box, fill=colour)

    def _place(self, point: Point) -> Point:
        (left, right), (top, bottom) = self._columns, self._rows
        first, last = (math.log(second) for second in self._span_s)
        low, high = self._limits
        x = left + (right - left) * (math.log(point[0]) - first) / (last - first)
        y = bottom - (bottom - top) * (point[1] - low) / max(high - low, 1e-9)
        return x, y


def _draw_legend(
    draw: ImageDraw.ImageDraw, methods: Sequence[str], n_columns: int, top: int
) -> None:
    """Say below the diagrams what is drawn, and in which colours."""
    caption = "mean IoU against seconds since the first stroke"
    _text(draw, (_LEFT, top), caption)
    for number, method in enumerate(methods):
        row, column = divmod(number, n_columns)
        x, y = _LEFT + _ENTRY * column, top + _ROW * (row + 1)
        _segment(draw, (x, y + 7), (x + 16, y + 7), _COLOURS[method], 3)
        _text(draw, (x + 22, y), CURVES[method])


def _text(draw: ImageDraw.ImageDraw, corner: Point, text: str, size: int = 11) -> None:
    font = ImageFont.load_default(size * _SCALE)
    draw.text((corner[0] * _SCALE, corner[1] * _SCALE), text, _INK, font)


def _segment(
    draw: ImageDraw.ImageDraw,
    start: Point,
    stop: Point,
    colour: Colour,
    width: int = 1,
) -> None:
    draw.line([v * _SCALE for v in (*start, *stop)], colour, width * _SCALE)
