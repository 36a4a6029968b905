"""The page *Corrections*: how good predictions were where a person corrected them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import datetime
from statistics import fmean

from qtpy.QtCore import QEvent, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen

from napari_unet.annotation.corrective import Correction, Visit, verdict, visits_of
from napari_unet.widgets._chart_widget import ChartWidget
from napari_unet.widgets._plot import Chart, Series
from napari_unet.widgets._state import ViewerState

__all__ = ["CorrectionsPlot", "csv_of"]

_RADIUS_PX = 4.0
_NEAR_PX = 12.0
_N_MEAN = 5
_EMPTY = "Correct the overlay: each region you paint on becomes a point"


class CorrectionsPlot(ChartWidget):
    """A point for each region that was corrected, against the time of work."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__(state)
        self._visits: list[Visit] = []
        self._seen: tuple[Sequence[Correction], int] = ((), -1)
        self._hovered: Visit | None = None

    @property
    def verdict(self) -> str:
        """Whether it is good enough, in a sentence."""
        return verdict(self._visits)

    def refresh(self) -> None:
        """Draw what the session holds."""
        corrections = self._state.session.corrections
        seen, n_seen = self._seen
        if corrections is not seen or len(corrections) != n_seen:
            self._seen = corrections, len(corrections)
            self._visits = visits_of(corrections)
            self._hovered = None
        self.update()

    def _chart(self) -> Chart:
        points = [(visit.work_s, visit.dice) for visit in self._visits]
        means = [
            (second, fmean(dice for _, dice in points[max(0, i - _N_MEAN + 1) : i + 1]))
            for i, (second, _) in enumerate(points)
        ]
        n = len(points)
        note = f"n = {n:,} region{'' if n == 1 else 's'}, time of work without breaks"
        if self._hovered is not None:
            found = self._hovered
            note = f"{found.first.image}: Dice {found.dice:.2f}, {found.n_px:,} px"
        mean = Series(f"mean of the last {_N_MEAN}", self._palette.advice, means)
        title = "Dice of the prediction with what you left"
        return Chart(title, note, [mean], (), (0.0, 1.0), _EMPTY, self._palette)

    @property
    def _end_s(self) -> float:
        return max([10.0, *(visit.work_s * 1.02 for visit in self._visits[-1:])])

    def _places(self, chart: Chart) -> list[tuple[QPointF, Visit]]:
        box = QRectF(self.rect())
        return [
            (chart.place((visit.work_s, visit.dice), box, self._end_s), visit)
            for visit in self._visits
        ]

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw the chart and its points."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chart = self._chart()
        chart.draw(painter, QRectF(self.rect()), self._end_s, None)
        text, point = QColor(self._palette.text), QColor(self._palette.advice)
        for place, visit in self._places(chart):
            is_hovered = visit is self._hovered
            painter.setPen(QPen(text if is_hovered else point, 1.5))
            point.setAlpha(255 if is_hovered else 120)
            painter.setBrush(point)
            point.setAlpha(255)
            painter.drawEllipse(place, _RADIUS_PX, _RADIUS_PX)
        painter.end()

    def visit_at(self, position: QPointF) -> Visit | None:
        """Return the visit whose point is nearest, if any is near."""
        near = [
            (delta.x() ** 2 + delta.y() ** 2, number, visit)
            for number, (place, visit) in enumerate(self._places(self._chart()))
            for delta in [place - position]
        ]
        distance, _, visit = min(near, default=(_NEAR_PX**2 + 1, 0, None))
        return visit if distance <= _NEAR_PX**2 else None

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Say what the point under the pointer is."""
        if event is not None:
            self._hovered = self.visit_at(event.position())
            shape = Qt.CursorShape.PointingHandCursor
            self.setCursor(shape if self._hovered else Qt.CursorShape.ArrowCursor)
            self.update()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Show the place of a point."""
        visit = None if event is None else self.visit_at(event.position())
        if visit is not None:
            self._state.corrections.go_to(visit.first, self._state.opener)

    def leaveEvent(self, _event: QEvent | None) -> None:
        """Say how many there are again."""
        self._hovered = None
        self.update()


def csv_of(corrections: Sequence[Correction]) -> str:
    """Return a table of the regions that were corrected, one a line."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["time", "work_s", "image", "plane", "y", "x", "dice", "painted_px"])
    for visit in visits_of(corrections):
        first = visit.first
        time = datetime.fromtimestamp(first.time_s).isoformat(timespec="seconds")
        place = first.image, first.plane, first.y, first.x
        row = [time, f"{visit.work_s:.1f}", *place, f"{visit.dice:.4f}", visit.n_px]
        table.writerow(row)
    return text.getvalue()
