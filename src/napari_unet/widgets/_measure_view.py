"""Plot above, table below: they show the same rows, and what is chosen in either."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSplitter, QVBoxLayout, QWidget

from napari_unet.export import Table
from napari_unet.export.picture import class_colour
from napari_unet.export.table import Column
from napari_unet.widgets._eliding import ElidingCombo
from napari_unet.widgets._measure_plot import MeasurePlot, PlotData
from napari_unet.widgets._measure_table import MeasureTable, number_text, title_of
from napari_unet.widgets._parts import label, row
from napari_unet.widgets._style import Palette

__all__ = ["MeasureView"]

_COUNT = "count"
_NOT_PLOTTED = ("label", "class_label", "plane")


class MeasureView(QWidget):
    """A table of measurements and a plot of it.

    Signals
    -------
    chosen : row that a person chose, in the table or in the plot
    """

    chosen = Signal(int)

    def __init__(self, palette: Palette) -> None:
        super().__init__()
        self._palette = palette
        self._colours: dict[int, str] = {}
        self._columns: list[Column] = []
        self.across = ElidingCombo("What is plotted along x.")
        self.upward = ElidingCombo("What is plotted along y. Count: a histogram of x.")
        self.plot = MeasurePlot(palette)
        self.rows = MeasureTable()
        self._fill()
        for combo in (self.across, self.upward):
            combo.currentTextChanged.connect(self._replot)
        self.rows.chosen.connect(self._on_row)
        self.plot.picked.connect(self._on_picked)
        selection = self.rows.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(self._mark)

    def _fill(self) -> None:
        self._upper = QWidget()
        axes = row(
            label("x", "caption"), self.across, label("y", "caption"), self.upward
        )
        axes.setStretch(1, 1)
        axes.setStretch(3, 1)
        upper = QVBoxLayout(self._upper)
        upper.setContentsMargins(0, 0, 0, 4)
        upper.setSpacing(6)
        upper.addLayout(axes)
        upper.addWidget(self.plot, 1)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self._upper)
        splitter.addWidget(self.rows)
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(splitter)

    @property
    def table(self) -> Table:
        """The table that is shown."""
        return self.rows.rows.table

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self.plot.set_palette(palette)
        self.rows.set_palette(palette)
        self._replot()

    def show_table(self, table: Table, colours: dict[int, str]) -> None:
        """Show another table.

        Parameters
        ----------
        table
            What was measured.
        colours
            Of classes, ``"#rrggbb"``; others get the colour of their number.
        """
        self._colours = colours
        self.rows.show_table(table, self._colours_of(table))
        self._columns = [
            c for c in table.columns if not c.is_text and c.name not in _NOT_PLOTTED
        ]
        before = self.across.currentText(), self.upward.currentText()
        titles = [title_of(column) for column in self._columns]
        sizes = [t for t in titles if t.startswith(("area", "volume"))]
        usual = sizes[0] if sizes else titles[0] if titles else ""
        for combo, items, other in (
            (self.across, titles, usual),
            (self.upward, [_COUNT, *titles], _COUNT),
        ):
            old = before[0] if combo is self.across else before[1]
            combo.blockSignals(True)
            combo.set_items(items)
            combo.setCurrentText(old if old in items else other)
            combo.blockSignals(False)
        # of three classes a histogram says nothing
        is_plotted = "label" in table or "time_point" in table or "plane" in table
        self._upper.setVisible(is_plotted and bool(titles))
        self._replot()

    def select(self, rows: Iterable[int]) -> None:
        """Mark rows in both; nobody is told."""
        self.rows.select(rows)

    def _colours_of(self, table: Table) -> dict[int, str]:
        if "class_label" not in table:
            return {}
        values = np.unique(table["class_label"]).tolist()
        return {value: self._colour_of(value) for value in values}

    def _colour_of(self, value: int) -> str:
        plain = "#{:02X}{:02X}{:02X}".format(*class_colour(value))
        return self._colours.get(value, plain) if value else self._palette.muted

    def _column(self, title: str) -> Column | None:
        return next((c for c in self._columns if title_of(c) == title), None)

    def _replot(self, _text: str = "") -> None:
        x, y = (
            self._column(self.across.currentText()),
            self._column(self.upward.currentText()),
        )
        if x is None:
            self.plot.show_data(None)
            return
        table = self.table
        colours = self._colours_of(table) or {0: self._palette.advice}
        groups: NDArray[np.int64] = np.zeros(table.n_rows, np.int64)
        if "class_label" in table:
            groups = table["class_label"]
        data = PlotData(
            x.values.astype(float),
            None if y is None else y.values.astype(float),
            title_of(x),
            "count" if y is None else title_of(y),
            groups,
            colours,
            self._names(),
            self._tip([c for c in (x, y) if c is not None]),
        )
        self.plot.show_data(data)
        self._mark()

    def _names(self) -> dict[int, str]:
        """Return class -> name."""
        table = self.table
        if "class_label" not in table:
            return {}
        values, firsts = np.unique(table["class_label"], return_index=True)
        names = {
            int(value): str(table["class"][first])
            for value, first in zip(values, firsts, strict=True)
        }
        return {value: name or f"class {value}" for value, name in names.items()}

    def _tip(self, columns: list[Column]) -> Callable[[int], str]:
        """Return what names a row and its values."""
        table = self.table

        def tip(place: int) -> str:
            is_of_objects = "label" in table
            of = table["label" if is_of_objects else "class"][place]
            lines = [f"object {of}" if is_of_objects else str(of)]
            lines += [
                f"{title_of(c)}: {number_text(c.values[place].item())}" for c in columns
            ]
            return "\n".join(lines)

        return tip

    def _on_row(self, number: int) -> None:
        self.chosen.emit(number)

    def _on_picked(self, rows: list[int]) -> None:
        """Select what was clicked in the plot; a single one is gone to."""
        self.select(rows)
        if len(rows) == 1:
            self.chosen.emit(rows[0])

    def _mark(self, *_changes: object) -> None:
        self.plot.show_selected(self.rows.selected)
