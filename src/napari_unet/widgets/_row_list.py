"""A list whose rows can be chosen, opened, and drawn as one likes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import (
    QAbstractListModel,
    QItemSelectionModel,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtGui import QKeyEvent, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
)

from napari_unet.widgets._row_delegate import Look, RowDelegate
from napari_unet.widgets._style import Palette

__all__ = ["RowList"]


class _Rows(QAbstractListModel):
    """Rows with a ``number`` each."""

    def __init__(self, look: Callable[[Any], Look]) -> None:
        super().__init__()
        self.rows: list[Any] = []
        self.look = look

    def rowCount(self, _parent: QModelIndex | None = None) -> int:
        return len(self.rows)

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        if not 0 <= index.row() < len(self.rows):
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.UserRole:
            return row
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.look(row).tip
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            look = self.look(row)  # typing a name finds it; screen readers read it
            return f"{look.title}, {look.badge}" if look.badge else look.title
        return None


class RowList(QListView):
    """A list of rows; double click or Enter wants one.

    Parameters
    ----------
    look
        Returns what is drawn of a row.
    picture_px
        Side of the picture at the left; 0: none.
    is_multiple
        Whether several rows can be chosen.
    most_rows
        The list is as high as its rows, up to so many; 0: as high as there is room.

    Signals
    -------
    wanted : the number of the row that was double-clicked, or Enter pressed on
    changed : other rows are chosen
    """

    wanted = Signal(int)
    changed = Signal()

    def __init__(
        self,
        look: Callable[[Any], Look],
        *,
        picture_px: int = 0,
        is_multiple: bool = False,
        most_rows: int = 0,
    ) -> None:
        super().__init__()
        self._most_rows = most_rows
        self._rows = _Rows(look)
        self._delegate = RowDelegate(look, picture_px)
        self.setModel(self._rows)
        self.setItemDelegate(self._delegate)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        modes = QAbstractItemView.SelectionMode
        self.setSelectionMode(
            modes.ExtendedSelection if is_multiple else modes.SingleSelection
        )
        self.setMinimumHeight(60)
        self.doubleClicked.connect(self._on_wanted)
        selection = self.selectionModel()
        assert selection is not None
        self._selection = selection
        selection.selectionChanged.connect(lambda *_: self.changed.emit())

    @property
    def rows(self) -> list[Any]:
        """The rows that are shown."""
        return list(self._rows.rows)

    @property
    def chosen(self) -> list[Any]:
        """The rows that are chosen."""
        places = sorted(index.row() for index in self._selection.selectedIndexes())
        return [self._rows.rows[place] for place in places]

    def show_rows(self, rows: Sequence[Any]) -> None:
        """Show other rows; what was chosen stays so where it is still there."""
        if [r.number for r in rows] == [r.number for r in self._rows.rows]:
            self._rows.rows = list(rows)
            self.refresh()
            return
        chosen = [row.number for row in self.chosen]
        self._rows.beginResetModel()
        self._rows.rows = list(rows)
        self._rows.endResetModel()
        if self._most_rows:
            row_px = max(self.sizeHintForRow(0), 0)
            self.setFixedHeight(row_px * min(len(rows), self._most_rows) + 2)
        for number in chosen:
            self.choose(number)
        self.changed.emit()

    def choose(self, number: int, *, only: bool = False) -> None:
        """Choose a row, if it is shown, and scroll to it."""
        for place, row in enumerate(self._rows.rows):
            if row.number == number:
                index = self._rows.index(place)
                flags = QItemSelectionModel.SelectionFlag
                how = flags.ClearAndSelect if only else flags.Select
                self._selection.select(index, how)
                self._selection.setCurrentIndex(index, flags.NoUpdate)
                self.scrollTo(index)

    def set_picture(self, number: int, png: bytes) -> None:
        """Show a picture with a row, from now on."""
        picture = QPixmap()
        if png and picture.loadFromData(png, "PNG"):
            self._delegate.pictures[number] = picture
            self.refresh()

    def forget_pictures(self) -> None:
        """Show no pictures any more."""
        self._delegate.pictures.clear()

    def refresh(self) -> None:
        """Draw anew."""
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._delegate.palette = palette
        self.refresh()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._on_wanted(self.currentIndex())
        else:
            super().keyPressEvent(event)

    def _on_wanted(self, index: QModelIndex) -> None:
        row = index.data(Qt.ItemDataRole.UserRole)
        if row is not None:
            self.wanted.emit(row.number)
