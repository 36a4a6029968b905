"""The plot of measurements: a histogram of one column, or two against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QColor,
    QFontMetricsF,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_unet.widgets._measure_bins import Bins, limits_of, make_bins, nearest
from napari_unet.widgets._plot import nice_ticks
from napari_unet.widgets._style import Palette

__all__ = ["MeasurePlot", "PlotData"]

_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 46.0, 10.0, 26.0, 36.0
_REACH_PX = 10.0
"""How far from a point a click may be."""
_POINT_PX = 5.0
_MOST_LINES, _MOST_RINGS = 50, 2000
"""Rows that are marked in a histogram, and among points."""


@dataclass(frozen=True, eq=False)
class PlotData:
    """What is plotted.

    Attributes
    ----------
    x, y
        One value per row of the table; ``y`` None: a histogram of ``x``.
    x_title, y_title
        With their units.
    groups
        Class of each row.
    colours, names
        By class, in the order of the legend.
    tip
        Returns what the pointer reads of a row.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64] | None
    x_title: str
    y_title: str
    groups: NDArray[np.int64]
    colours: dict[int, str]
    names: dict[int, str]
    tip: Callable[[int], str]


class MeasurePlot(QWidget):
    """Draws `PlotData` in the theme's colours.

    Signals
    -------
    picked : rows under a click: the nearest point's, or those of a bar
    """

    picked = Signal(list)

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self._data: PlotData | None = None
        self._bins: Bins | None = None
        self._selected: list[int] = []
        self._drawn: QPixmap | None = None  # all but the selection
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Return a size at which it can be read."""
        return QSize(320, 210)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest size that still shows something."""
        return QSize(240, 130)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self._drawn = None
        self.update()

    def show_data(self, data: PlotData | None) -> None:
        """Plot something else, or nothing."""
        self._data = data
        self._bins = None
        self._drawn = None
        if data is not None and data.y is None:
            self._bins = make_bins(data.x, data.groups, list(data.colours))
        self.update()

    def show_selected(self, rows: Sequence[int]) -> None:
        """Mark rows."""
        self._selected = list(rows)
        self.update()

    # --- where things are -------------------------------------------------------

    @property
    def area(self) -> QRectF:
        """The rectangle within the axes, px."""
        return QRectF(
            _LEFT_PX,
            _TOP_PX,
            max(1.0, self.width() - _LEFT_PX - _RIGHT_PX),
            max(1.0, self.height() - _TOP_PX - _BOTTOM_PX),
        )

    def _limits(self) -> tuple[tuple[float, float], tuple[float, float]]:
        assert self._data is not None
        if self._bins is not None:
            across = limits_of(self._bins.edges, border=0.02)
            return across, (0.0, max(1.0, self._bins.highest * 1.08))
        assert self._data.y is not None
        return limits_of(self._data.x), limits_of(self._data.y)

    def place(self, row: int) -> QPointF:
        """Return where a row is drawn, px; in a histogram the middle of its value."""
        assert self._data is not None
        y = self._limits()[1][0] if self._data.y is None else self._data.y[row]
        return QPointF(*self._places(self._data.x[[row]], np.array([y]))[0])

    def _places(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return pixels of values, (n, 2)."""
        (x0, x1), (y0, y1) = self._limits()
        area = self.area
        across = area.left() + area.width() * (x - x0) / (x1 - x0)
        down = area.bottom() - area.height() * (y - y0) / (y1 - y0)
        return np.stack([across, down], axis=-1)

    def _rows_at(self, point: QPointF) -> list[int]:
        """Return the rows under the pointer."""
        data = self._data
        if data is None:
            return []
        if self._bins is not None:
            area = self.area
            if not area.contains(point):
                return []
            share = (point.x() - area.left()) / area.width()
            low, high = self._limits()[0]
            return self._bins.rows_at(low + share * (high - low))
        assert data.y is not None
        places = self._places(data.x, data.y)
        return nearest(places, (point.x(), point.y()), _REACH_PX)

    # --- the pointer --------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Pick what is under the pointer."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            rows = self._rows_at(event.position())
            if rows:
                self.picked.emit(rows)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Read the values at the pointer."""
        if event is None or self._data is None:
            return
        rows = self._rows_at(event.position())
        self.setCursor(
            Qt.CursorShape.PointingHandCursor if rows else Qt.CursorShape.ArrowCursor
        )
        if not rows:
            QToolTip.hideText()
        else:
            text = self._data.tip(rows[0]) if self._bins is None else self._bar(rows)
            QToolTip.showText(event.globalPosition().toPoint(), text, self)

    def _bar(self, rows: list[int]) -> str:
        assert self._bins is not None
        assert self._data is not None
        low, high = self._bins.range_of(self._data.x[rows[0]])
        return f"{len(rows):,} from {low:.4g} to {high:.4g}"

    # --- drawing ------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw axes, marks and legend, once; and what is selected above them."""
        if self._data is None:
            return
        ratio = self.devicePixelRatioF()
        size = self.size() * ratio
        if self._drawn is None or self._drawn.size() != size:
            self._drawn = QPixmap(size)
            self._drawn.setDevicePixelRatio(ratio)
            self._drawn.fill(Qt.GlobalColor.transparent)
            self._draw(QPainter(self._drawn))
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPixmap(0, 0, self._drawn)
        self._draw_selected(painter)
        painter.end()

    def _draw(self, painter: QPainter) -> None:
        painter.setFont(self.font())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_axes(painter)
        if self._bins is None:
            self._draw_points(painter)
        else:
            self._draw_bars(painter)
        self._draw_legend(painter)
        painter.end()

    def _draw_axes(self, painter: QPainter) -> None:
        assert self._data is not None
        area, metrics = self.area, QFontMetricsF(painter.font())
        (x0, x1), (y0, y1) = self._limits()
        rule, muted = QPen(QColor(self._palette.line), 1), QColor(self._palette.muted)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for tick in nice_ticks(y0, y1, max(2, int(area.height() // 30))):
            if self._bins is not None and tick != round(tick):
                continue  # there are no half objects
            y = area.bottom() - area.height() * (tick - y0) / (y1 - y0)
            painter.setPen(rule)
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(muted)
            painter.drawText(QRectF(0, y - 8, _LEFT_PX - 6, 16), right, _tick(tick))
        for tick in nice_ticks(x0, x1, max(2, int(area.width() // 60))):
            x = area.left() + area.width() * (tick - x0) / (x1 - x0)
            painter.setPen(rule)
            painter.drawLine(QPointF(x, area.bottom()), QPointF(x, area.bottom() + 3))
            painter.setPen(muted)
            box = QRectF(x - 35, area.bottom() + 4, 70, 15)
            painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, _tick(tick))
        painter.setPen(QColor(self._palette.text))
        middle = Qt.TextElideMode.ElideMiddle
        across = metrics.elidedText(self._data.x_title, middle, area.width())
        box = QRectF(area.left(), self.height() - 18.0, area.width(), 16)
        painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, across)
        up = metrics.elidedText(self._data.y_title, middle, self.width() * 0.5)
        painter.drawText(QPointF(6, 14), up)

    def _draw_bars(self, painter: QPainter) -> None:
        assert self._data is not None
        assert self._bins is not None
        bins, edges = self._bins, self._bins.edges
        painter.setPen(Qt.PenStyle.NoPen)
        low = np.zeros(len(edges) - 1)
        for counts, colour in zip(
            bins.counts, self._data.colours.values(), strict=True
        ):
            high = low + counts
            lower, upper = self._places(edges[:-1], low), self._places(edges[1:], high)
            painter.setBrush(QColor(colour))
            for (left, bottom), (right, top) in zip(lower, upper, strict=True):
                if bottom > top:
                    gap = 1.0 if right - left > 4 else 0.0
                    width = right - left - gap
                    painter.drawRect(QRectF(left, top, width, bottom - top))
            low = high

    def _draw_points(self, painter: QPainter) -> None:
        data = self._data
        assert data is not None
        assert data.y is not None
        places = self._places(data.x, data.y)
        is_known = np.isfinite(data.x) & np.isfinite(data.y)
        for value, colour in data.colours.items():
            ours = places[is_known & (data.groups == value)]
            tint = QColor(colour)
            tint.setAlpha(200)
            pen = QPen(tint, _POINT_PX)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            painter.drawPoints(QPolygonF([QPointF(x, y) for x, y in ours.tolist()]))

    def _draw_selected(self, painter: QPainter) -> None:
        """Mark rows, unless they are so many that marks would cover all."""
        data, rows = self._data, self._selected
        assert data is not None
        painter.setPen(QPen(QColor(self._palette.text), 1.6))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if len(rows) > (_MOST_LINES if data.y is None else _MOST_RINGS):
            return
        x = data.x[rows]
        y = np.full(len(rows), self._limits()[1][0]) if data.y is None else data.y[rows]
        for place in self._places(x, y)[np.isfinite(x) & np.isfinite(y)].tolist():
            if data.y is None:
                painter.drawLine(QPointF(*place), QPointF(place[0], self.area.top()))
            else:
                painter.drawEllipse(QPointF(*place), 5.5, 5.5)

    def _draw_legend(self, painter: QPainter) -> None:
        """Name the classes at the top right, as far as there is room."""
        assert self._data is not None
        if len(self._data.colours) < 2:
            return
        metrics, x = QFontMetricsF(painter.font()), self.area.right()
        for value in reversed(self._data.colours):
            name = self._data.names.get(value, f"class {value}")
            name = metrics.elidedText(name, Qt.TextElideMode.ElideRight, 90)
            x -= metrics.horizontalAdvance(name)
            if x < self.width() * 0.5 + 14:
                return
            painter.setPen(QColor(self._palette.muted))
            painter.drawText(QPointF(x, 14), name)
            x -= 13
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(self._data.colours[value]))
            painter.drawRoundedRect(QRectF(x, 6, 9, 9), 2.5, 2.5)
            x -= 10


def _tick(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:g}"
