"""The dock *Learning curves*: loss and held-out score against time of training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QEvent, QRectF, QTimer
from qtpy.QtGui import QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import FileError
from napari_unet.export import replace_file
from napari_unet.session import CANDIDATE_NAMES
from napari_unet.widgets._chart_widget import ChartWidget
from napari_unet.widgets._corrections_plot import CorrectionsPlot, csv_of
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._parts import Button, ToolButton, row, wrapping
from napari_unet.widgets._plot import Chart, Point, Series, smooth
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["CurvePlot", "CurvesDock", "charts_of"]

REPAINT_MS = 250
"""Each repaint makes napari compose its canvas anew: four a second are plenty."""

_MARGIN_PX = 8.0


def charts_of(state: ViewerState, palette: Palette) -> list[Chart]:
    """Return the two panels for what the session holds."""
    curve = state.session.curve
    loss = Series("training", palette.advice, smooth(curve.losses), curve.losses)
    per_class: dict[int, list[Point]] = {}
    for point in curve.scores:
        for value, iou in point.score.iou.items():
            per_class.setdefault(value, []).append((point.seconds, iou))
    scores = []
    for value, points in sorted(per_class.items()):
        entry = state.classes.get(value)
        name = entry.name if entry is not None else f"class {value}"
        colour = entry.colour if entry is not None else palette.text
        scores.append(Series(name, colour, points, is_stepped=True))
    note = ""
    if curve.scores:
        newest = curve.scores[-1]
        shown = CANDIDATE_NAMES.get(newest.candidate, newest.candidate)
        note = f"{newest.score.held_out}, {shown}"
    return [
        Chart("Loss", "", [loss], curve.rounds, None, "Press Learn", palette),
        Chart(
            "Held-out IoU",
            note,
            scores,
            curve.rounds,
            (0.0, 1.0),
            "Scores come with two strokes of each class",
            palette,
        ),
    ]


class CurvePlot(ChartWidget):
    """The two charts: side by side where there is width, else one above the other."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__(state)
        self._hover_x: float | None = None

    @property
    def end_s(self) -> float:
        """The right end of the time axis, s."""
        curve = self._state.session.curve
        times = [s for s, _ in curve.losses[-1:]] + [p.seconds for p in curve.scores]
        return max(10.0, *times) if times else 10.0

    def boxes(self) -> list[QRectF]:
        """Return the rectangles of the charts."""
        width, height = float(self.width()), float(self.height())
        if width > 1.6 * height:
            half = (width - _MARGIN_PX) / 2
            return [QRectF(0, 0, half, height), QRectF(width - half, 0, half, height)]
        half = (height - _MARGIN_PX) / 2
        return [QRectF(0, 0, width, half), QRectF(0, height - half, width, half)]

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Draw both charts."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        charts = charts_of(self._state, self._palette)
        for chart, box in zip(charts, self.boxes(), strict=True):
            chart.draw(painter, box, self.end_s, self._hover_s(box))
        painter.end()

    def _hover_s(self, box: QRectF) -> float | None:
        """Return the time under the pointer; in both charts where they are stacked."""
        if self._hover_x is None:
            return None
        share = (self._hover_x - box.left() - 40) / max(1.0, box.width() - 52)
        return share * self.end_s if 0 <= share <= 1 else None

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Read the values at the pointer."""
        if event is not None:
            self._hover_x = event.position().x()
            self.update()

    def leaveEvent(self, _event: QEvent | None) -> None:
        """Read the newest values again."""
        self._hover_x = None
        self.update()


class CurvesDock(Dock):
    """Shows the curves of the viewer's session; dotted lines mark new strokes.

    A second page, *Corrections*, compares predictions with what a person left of them.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    is_wide = True

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.plot = CurvePlot(self.state)
        self.corrections = CorrectionsPlot(self.state)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.plot)
        self.pages.addWidget(self.corrections)
        self.learning_page = Button("Learning", "", "left")
        self.corrections_page = Button("Corrections", "", "right")
        self.learning_page.setToolTip("Loss and held-out score while it learns.")
        self.corrections_page.setToolTip(
            "Dice of each prediction with what you left of it: is it good enough? A "
            "click on a point shows its place."
        )
        group = QButtonGroup(self)
        for button in (self.learning_page, self.corrections_page):
            button.setCheckable(True)
            group.addButton(button)
        self.learning_page.setChecked(True)
        self.note = wrapping(part="muted")
        self.save = ToolButton("export", "Save what is drawn as a table (CSV).")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REPAINT_MS)
        self._timer.timeout.connect(self.refresh)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 4)
        layout.setSpacing(2)
        layout.addLayout(row(self.learning_page, self.corrections_page, 1, spacing=0))
        layout.addWidget(self.pages, 1)
        last = row(self.note, self.save)
        last.setStretch(0, 1)
        layout.addLayout(last)
        self.corrections_page.toggled.connect(self._turn)
        self.save.clicked.connect(self._save)
        self.state.renewed.connect(self._on_news)
        self.state.changed.connect(self._on_news)
        self._begin_colours()
        self.refresh()

    def _coloured(self) -> Iterable[Any]:
        return self.plot, self.corrections, self.save

    def refresh(self) -> None:
        """Draw what the session holds."""
        if self.pages.currentWidget() is self.corrections:
            self.corrections.refresh()
            self.note.setText(self.corrections.verdict)
            return
        self.plot.update()
        has_rounds = bool(self.state.session.curve.rounds)
        self.note.setText(
            "time of training, min:s"
            + ("  ·  dotted: new strokes" if has_rounds else "")
        )

    def _turn(self, to_corrections: bool) -> None:
        self.pages.setCurrentWidget(self.corrections if to_corrections else self.plot)
        self.refresh()

    def _on_news(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _save(self) -> None:
        is_of_learning = self.pages.currentWidget() is self.plot
        name = "learning-curves.csv" if is_of_learning else "corrections.csv"
        path, _ = QFileDialog.getSaveFileName(
            self, "Save curves", name, "Table (*.csv)"
        )
        session = self.state.session
        if path:
            try:
                with replace_file(path) as temporary:
                    table = session.curve.csv()
                    if not is_of_learning:
                        table = csv_of(session.corrections)
                    temporary.write_text(table, encoding="utf-8")
            except FileError as error:
                self.state.warn(str(error))
