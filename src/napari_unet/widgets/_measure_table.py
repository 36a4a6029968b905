"""The table of measurements: sorted by a click on a heading, one row per object."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QItemSelectionRange,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QFrame, QTableView

from napari_unet.export import Table
from napari_unet.export.table import Column
from napari_unet.widgets._style import Palette

__all__ = ["MeasureTable", "number_text", "title_of"]

_UNITS = {"um": "µm", "deg": "°"}
_SWATCH_PX = 9
_WIDEST_PX = 160


def title_of(column: Column) -> str:
    """Return a heading for people, such as ``"area (µm²)"``."""
    name, unit = column.name.removeprefix("n_"), column.unit
    if not unit:
        return name.replace("_", " ")
    words = name.removesuffix(f"_{unit}").replace("_", " ")
    power = {"2": "²", "3": "³"}.get(unit[-1], "")
    plain = unit[:-1] if power else unit
    return f"{words} ({_UNITS.get(plain, plain)}{power})"


def number_text(value: Any) -> str:
    """Return a value as the table shows it: numbers with five digits that count."""
    if isinstance(value, float):
        if math.isnan(value):
            return "–"
        return f"{value:.5g}" if abs(value) < 1e5 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class _Model(QAbstractTableModel):
    """Rows of a table in the order that was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table(())
        self.order: NDArray[np.intp] = np.arange(0)
        self._colours: dict[int, QPixmap] = {}

    def show(self, table: Table, colours: dict[int, str]) -> None:
        """Take another table; ``colours`` by class."""
        self.beginResetModel()
        self.table, self.order = table, np.arange(table.n_rows)
        self._colours = {value: _swatch(c) for value, c in colours.items()}
        self.endResetModel()

    def rowCount(self, _parent: QModelIndex | None = None) -> int:
        return self.table.n_rows

    def columnCount(self, _parent: QModelIndex | None = None) -> int:
        return len(self.table.columns)

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        column = self.table.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return number_text(column.values[self.order[index.row()]].item())
        if role == Qt.ItemDataRole.TextAlignmentRole and not column.is_text:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.DecorationRole and column.name == "class":
            value = self.table["class_label"][self.order[index.row()]]
            return self._colours.get(int(value))
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = 0
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal:
            return None
        column = self.table.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return title_of(column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{column.meaning}\n\nIn the file: {column.name}"
        return None

    def sort(
        self, section: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder
    ) -> None:
        """Sort by a column; what is not known comes last either way."""
        if not 0 <= section < len(self.table.columns):
            return
        values = self.table.columns[section].values
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        rows = [int(self.order[index.row()]) for index in before]
        self.order = _sorted(values, order == Qt.SortOrder.DescendingOrder)
        places = self.places(rows)
        after = [
            self.index(place, index.column())
            for place, index in zip(places, before, strict=True)
        ]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def places(self, rows: Iterable[int]) -> list[int]:
        """Return where rows of the table stand now."""
        where = np.empty(len(self.order), np.intp)
        where[self.order] = np.arange(len(self.order))
        return [int(where[row]) for row in rows]


def _sorted(values: NDArray[Any], is_descending: bool) -> NDArray[np.intp]:
    order = np.argsort(values, kind="stable")
    n_unknown = int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0
    known = order[: len(order) - n_unknown]
    return np.concatenate(
        [known[::-1] if is_descending else known, order[len(known) :]]
    )


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Return the first and last of numbers that follow each other, ascending."""
    if not places:
        return []
    breaks = np.flatnonzero(np.diff(places) > 1)
    firsts, ends = np.r_[0, breaks + 1], np.r_[breaks, len(places) - 1]
    return [(places[a], places[b]) for a, b in zip(firsts, ends, strict=True)]


def _swatch(colour: str) -> QPixmap:
    pixmap = QPixmap(_SWATCH_PX, _SWATCH_PX)
    pixmap.fill(QColor(colour))
    return pixmap


class MeasureTable(QTableView):
    """Shows a table; a click or the arrow keys choose a row.

    Signals
    -------
    chosen : number of the row in the table, by a person
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.rows = _Model()
        self._is_told = False
        self.setModel(self.rows)
        self.setSortingEnabled(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setMinimumHeight(90)
        vertical, horizontal = self.verticalHeader(), self.horizontalHeader()
        if vertical is not None and horizontal is not None:
            vertical.hide()
            vertical.setDefaultSectionSize(self.fontMetrics().height() + 8)
            horizontal.setHighlightSections(False)
        selection = self.selectionModel()
        if selection is not None:
            selection.currentRowChanged.connect(self._on_current)

    def show_table(self, table: Table, colours: dict[int, str]) -> None:
        """Show another table, in its own order."""
        header = self.horizontalHeader()
        if header is not None:
            header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self._is_told = True  # no row is chosen by this
        self.rows.show(table, colours)
        self._is_told = False
        self.resizeColumnsToContents()
        for place in range(len(table.columns)):
            self.setColumnWidth(place, min(self.columnWidth(place) + 6, _WIDEST_PX))
            # one image at a time; in the file it matters
            self.setColumnHidden(place, table.columns[place].name == "image")

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme: napari's own style leaves tables to the system."""
        self.setStyleSheet(
            f"""
            QTableView {{
                background-color: {palette.card}; color: {palette.text};
                border: 0px; border-radius: 6px;
            }}
            QTableView::item {{ padding: 0px 5px; }}
            QTableView::item:selected {{
                background-color: {palette.accent}; color: #ffffff;
            }}
            QHeaderView {{ background-color: {palette.card}; border: 0px; }}
            QHeaderView::section {{
                background-color: {palette.card}; color: {palette.muted};
                border: 0px; border-bottom: 1px solid {palette.line};
                padding: 4px 5px;
            }}
            """
        )

    @property
    def selected(self) -> list[int]:
        """Numbers of the rows that are selected."""
        selection = self.selectionModel()
        if selection is None:
            return []
        # by ranges: to ask for each row takes seconds where thousands are selected
        ranges = selection.selection()
        parts = [ranges[n] for n in range(len(ranges))]
        places = {p for part in parts for p in range(part.top(), part.bottom() + 1)}
        return sorted(int(self.rows.order[place]) for place in places)

    def select(self, rows: Iterable[int]) -> None:
        """Select rows and bring the first into sight; nobody is told."""
        places = sorted(self.rows.places(rows))
        selection = self.selectionModel()
        if selection is None:
            return
        last = len(self.rows.table.columns) - 1
        ranges = QItemSelection()
        for start, end in _runs(places):
            ranges.append(
                QItemSelectionRange(
                    self.rows.index(start, 0), self.rows.index(end, last)
                )
            )
        self._is_told = True
        flag = QItemSelectionModel.SelectionFlag
        selection.select(ranges, flag.ClearAndSelect)
        if places:
            first = self.rows.index(places[0], 0)
            selection.setCurrentIndex(first, flag.NoUpdate)
            self.scrollTo(self.rows.index(places[0], max(0, self._left_column())))
        self._is_told = False

    def _left_column(self) -> int:
        """Return the first column in sight: scrolling sideways is left alone."""
        return self.columnAt(0)

    def _on_current(self, index: QModelIndex, _before: QModelIndex) -> None:
        if index.isValid() and not self._is_told:
            self.chosen.emit(int(self.rows.order[index.row()]))
