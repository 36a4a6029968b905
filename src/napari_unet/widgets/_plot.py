"""Line charts over training time, drawn with QPainter in the theme's colours.

A charting library would cost 10 to 100 times the drawing time and a second look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from napari_unet.widgets._style import Palette

__all__ = ["Chart", "Series", "clock_ticks", "nice_ticks", "smooth"]

Point = tuple[float, float]

_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 40.0, 14.0, 46.0, 22.0


@dataclass(frozen=True)
class Series:
    """One line: points of (seconds, value)."""

    name: str
    colour: str
    points: Sequence[Point]
    faint: Sequence[Point] = ()
    """Drawn thinly behind, such as the raw values of a smoothed line."""
    is_stepped: bool = False
    """Whether a value holds until the next, as a score does."""


@dataclass(frozen=True)
class Chart:
    """One panel: lines over a shared time axis, and vertical marks."""

    title: str
    note: str
    series: list[Series]
    marks: Sequence[float] = ()
    y_range: tuple[float, float] | None = None
    empty: str = ""
    palette: Palette | None = field(default=None, compare=False)

    def limits(self) -> tuple[float, float]:
        """Return the range of the y axis: as given, or from 0 to above the lines.

        Faint points may leave it: one bad step should not flatten the rest.
        """
        if self.y_range is not None:
            return self.y_range
        values = [y for s in self.series for _, y in s.points]
        finite = [y for y in values if math.isfinite(y)]
        return 0.0, max(finite, default=0.8) * 1.25 or 1.0

    def place(self, point: Point, box: QRectF, end_s: float) -> QPointF:
        """Return where a point lies when the chart is drawn into a rectangle."""
        area, (low, high) = _area(box), self.limits()
        x = area.left() + area.width() * point[0] / end_s
        y = area.bottom() - area.height() * (point[1] - low) / (high - low)
        return QPointF(x, min(max(y, area.top()), area.bottom()))

    def draw(
        self, painter: QPainter, box: QRectF, end_s: float, hover_s: float | None
    ) -> None:
        """Draw into a rectangle; the time axis runs from 0 to ``end_s``."""
        assert self.palette is not None
        area = _area(box)
        low, high = self.limits()

        def place(point: Point) -> QPointF:
            return self.place(point, box, end_s)

        self._draw_axes(painter, area, end_s, (low, high))
        for mark in self.marks:
            painter.setPen(QPen(QColor(self.palette.muted), 1, Qt.PenStyle.DotLine))
            x = place((mark, low)).x()
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))
        for line in self.series:
            colour = QColor(line.colour)
            colour.setAlpha(70)
            _draw_line(painter, [place(p) for p in line.faint], colour, 1.0)
            points = _stepped(line.points, end_s) if line.is_stepped else line.points
            _draw_line(painter, [place(p) for p in points], QColor(line.colour), 2.0)
        if not any(s.points for s in self.series):
            painter.setPen(QColor(self.palette.muted))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, self.empty)
        self._draw_head(painter, box, area, hover_s)
        if hover_s is not None:
            painter.setPen(QPen(QColor(self.palette.text), 1))
            x = place((hover_s, low)).x()
            painter.drawLine(QPointF(x, area.top()), QPointF(x, area.bottom()))

    def _draw_axes(
        self, painter: QPainter, area: QRectF, end_s: float, y: tuple[float, float]
    ) -> None:
        assert self.palette is not None
        muted, rule = QColor(self.palette.muted), QColor(self.palette.line)
        for value in nice_ticks(*y, most=max(2, int(area.height() // 28))):
            share = (value - y[0]) / (y[1] - y[0])
            height = area.bottom() - area.height() * share
            painter.setPen(QPen(rule, 1))
            painter.drawLine(
                QPointF(area.left(), height), QPointF(area.right(), height)
            )
            painter.setPen(muted)
            box = QRectF(area.left() - _LEFT_PX, height - 8, _LEFT_PX - 6, 16)
            vertical = Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | vertical, f"{value:g}")
        painter.setPen(muted)
        for second in clock_ticks(end_s, most=max(2, int(area.width() // 70))):
            x = area.left() + area.width() * second / end_s
            box = QRectF(x - 30, area.bottom() + 5, 60, 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, _clock(second))

    def _draw_head(
        self, painter: QPainter, box: QRectF, area: QRectF, hover_s: float | None
    ) -> None:
        """Draw title and note, below them each line's newest or hovered value."""
        assert self.palette is not None
        metrics = QFontMetricsF(painter.font())
        left, base = box.left() + 6, box.top() + 14
        painter.setPen(QColor(self.palette.text))
        painter.drawText(QPointF(left, base), self.title)
        room = area.right() - left - metrics.horizontalAdvance(self.title) - 12
        note = metrics.elidedText(self.note, Qt.TextElideMode.ElideRight, room)
        painter.setPen(QColor(self.palette.muted))
        right = QRectF(area.right() - room, base - 12, room, 16)
        painter.drawText(right, Qt.AlignmentFlag.AlignRight, note)
        x, base = left, base + 19
        for line in self.series:
            value = _value_at(line, hover_s)
            text = line.name if value is None else f"{line.name} {value:.2f}"
            text = metrics.elidedText(
                text, Qt.TextElideMode.ElideRight, area.right() - x - 14
            )
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(line.colour))
            painter.drawRoundedRect(QRectF(x, base - 8, 9, 9), 2.5, 2.5)
            painter.setPen(QColor(self.palette.text))
            painter.drawText(QPointF(x + 14, base), text)
            x += 14 + metrics.horizontalAdvance(text) + 14
            if x + 30 > area.right():
                return


def _area(box: QRectF) -> QRectF:
    """Return where the lines are in a chart's rectangle."""
    return box.adjusted(_LEFT_PX, _TOP_PX, -_RIGHT_PX, -_BOTTOM_PX)


def smooth(points: Sequence[Point], half_life: int = 12) -> list[Point]:
    """Return the exponential moving average of the values, unbiased at the start."""
    decay, total, weight = 0.5 ** (1 / half_life), 0.0, 0.0
    result = []
    for second, value in points:
        total = decay * total + (1 - decay) * value
        weight = decay * weight + (1 - decay)
        result.append((second, total / weight))
    return result


def nice_ticks(low: float, high: float, most: int = 4) -> list[float]:
    """Return at most about ``most`` round numbers within a range."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / max(1, most)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def clock_ticks(end_s: float, most: int = 5) -> list[float]:
    """Return round times from 0 to ``end_s`` seconds."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600)
    step = next((s for s in steps if end_s / s <= most), 86400)
    return [float(t) for t in range(0, int(end_s) + 1, step)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60} h"


def _stepped(points: Sequence[Point], end_s: float) -> list[Point]:
    """Return the corners of a line that holds each value until the next."""
    corners: list[Point] = []
    for index, (second, value) in enumerate(points):
        until = points[index + 1][0] if index + 1 < len(points) else end_s
        corners += [(second, value), (until, value)]
    return corners


def _value_at(line: Series, second: float | None) -> float | None:
    """Return the last value up to a moment, or the newest."""
    past = [y for x, y in line.points if second is None or x <= second]
    return past[-1] if past else None


def _draw_line(
    painter: QPainter, points: list[QPointF], colour: QColor, width: float
) -> None:
    if points:
        pen = QPen(colour, width)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(points))
