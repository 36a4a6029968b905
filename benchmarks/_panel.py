"""Diagrams drawn with Pillow: no plotting package is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["HEIGHT", "LEFT", "WIDTH", "Panel", "Sheet"]

WIDTH, HEIGHT = 330, 260
"""Of one diagram, its numbers included (px)."""
LEFT = 44
# drawn twice as large and scaled down: smooth lines
_SCALE = 2
_RIGHT, _TOP, _BOTTOM = 12, 34, 26
_ROW = 17
_INK, _FAINT = (40, 40, 40), (215, 215, 215)

Point = tuple[float, float]
Colour = tuple[int, int, int]


class Sheet:
    """A white picture to draw on, in px of the picture that is saved."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        large = (width * _SCALE, height * _SCALE)
        self._image = Image.new("RGB", large, "white")
        self._draw = ImageDraw.Draw(self._image)

    def save(self, path: Path) -> None:
        """Write the picture, its folder too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        small = self._image.resize(self._size, Image.Resampling.LANCZOS)
        small.save(path, optimize=True)

    def text(self, corner: Point, text: str, size: int = 11) -> None:
        """Write a line."""
        font = ImageFont.load_default(size * _SCALE)
        self._draw.text((corner[0] * _SCALE, corner[1] * _SCALE), text, _INK, font)

    def segment(
        self, start: Point, stop: Point, colour: Colour, width: int = 1
    ) -> None:
        """Draw a straight line."""
        ends = [v * _SCALE for v in (*start, *stop)]
        self._draw.line(ends, colour, width * _SCALE)

    def dot(self, place: Point, colour: Colour) -> None:
        """Mark a point."""
        box = [(v + d) * _SCALE for d in (-3, 3) for v in place]
        self._draw.ellipse(box, fill=colour)

    def legend(
        self,
        caption: str,
        entries: Mapping[str, Colour],
        columns: tuple[int, int],
        top: int,
    ) -> None:
        """Say what is drawn, in so many columns of that width (px)."""
        n_columns, width = columns
        self.text((LEFT, top), caption)
        for number, (title, colour) in enumerate(entries.items()):
            row, column = divmod(number, n_columns)
            x, y = LEFT + width * column, top + _ROW * (row + 1)
            self.segment((x, y + 7), (x + 16, y + 7), colour, 3)
            self.text((x + 22, y), title)


class Panel:
    """One diagram: maps a logarithmic scale and scores to pixels.

    ``ticks`` has the text at each marked place of the logarithmic scale.
    """

    def __init__(
        self,
        sheet: Sheet,
        corner: tuple[int, int],
        span: Point,
        limits: Point,
        ticks: Mapping[float, str],
    ) -> None:
        self._sheet, self._span, self._limits = sheet, span, limits
        self._ticks = ticks
        x, y = corner
        self._columns = (x + LEFT, x + WIDTH - _RIGHT)
        self._rows = (y + _TOP, y + HEIGHT - _BOTTOM)

    def frame(self, title: str) -> None:
        """Draw the grid with its numbers."""
        sheet = self._sheet
        (left, right), (top, bottom) = self._columns, self._rows
        low, high = (round(limit * 20) for limit in self._limits)
        step = max(1, math.ceil((high - low) / 6))
        for twentieth in range(low, high + 1, step):
            y = self._place((self._span[0], twentieth / 20))[1]
            sheet.segment((left, y), (right, y), _FAINT)
            sheet.text((left - 32, y - 7), f"{twentieth / 20:.2f}")
        for at, text in self._ticks.items():
            x = self._place((at, 0))[0]
            sheet.segment((x, top), (x, bottom), _FAINT)
            sheet.text((x - 10, bottom + 4), text)
        sheet.segment((left, bottom), (right, bottom), _INK)
        sheet.segment((left, top), (left, bottom), _INK)
        sheet.text((left, top - 22), title, 12)

    def line(
        self,
        points: Sequence[Point],
        colour: Colour,
        width: int = 2,
        goes_on: bool = False,
    ) -> None:
        """Join points; with ``goes_on`` the last value stays to the right end."""
        if not points:
            return
        places = [self._place(point) for point in points]
        for start, stop in pairwise(places):
            self._sheet.segment(start, stop, colour, width)
        if goes_on:
            end = (self._columns[1], places[-1][1])
            self._sheet.segment(places[-1], end, colour)
        for place in places:
            self._sheet.dot(place, colour)

    def _place(self, point: Point) -> Point:
        (left, right), (top, bottom) = self._columns, self._rows
        first, last = (math.log(end) for end in self._span)
        low, high = self._limits
        x = left + (right - left) * (math.log(point[0]) - first) / (last - first)
        y = bottom - (bottom - top) * (point[1] - low) / max(high - low, 1e-9)
        return x, y
