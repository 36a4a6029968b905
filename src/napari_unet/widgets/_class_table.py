"""The table of classes: colour, name, what was painted, key; a click takes it up."""

from __future__ import annotations

from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QColorDialog,
    QFrame,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets._classes import LabelClass
from napari_unet.widgets._eliding import MIDDLE
from napari_unet.widgets._keys import KEYS, class_key
from napari_unet.widgets._parts import (
    Button,
    card,
    fill,
    label,
    row,
    set_part,
    sync_property,
    terse,
)
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["NO_LAYER", "ROW_PX", "ClassTable", "Swatch", "painted_text"]

NO_LAYER = "Make or choose an annotation layer first."
ROW_PX = 28
_MAX_ROWS = 5
_EDGE_PX = 4  # beside the text of a name


def painted_text(entry: LabelClass) -> str:
    """Return what was painted of a class, such as ``"1,204 px, 3 strokes"``."""
    if not entry.n_px:
        return "not painted yet"
    strokes = "1 stroke" if entry.n_strokes == 1 else f"{entry.n_strokes:,} strokes"
    return f"{entry.n_px:,} px, {strokes}"


def _terse_text(entry: LabelClass) -> str:
    """Return the same for a narrow dock, such as ``"1,204 px · 3"``."""
    return f"{entry.n_px:,} px · {entry.n_strokes:,}" if entry.n_px else "none"


class Swatch(QToolButton):
    """A rounded square in the class's colour."""

    def __init__(self) -> None:
        super().__init__()
        self.colour = "#000000"
        self.setFixedSize(20, 20)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Change the colour, here and in both layers.")

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.colour))
        painter.drawRoundedRect(QRectF(3, 3, 14, 14), 3.5, 3.5)
        painter.end()


class _NameEdit(QLineEdit):
    """A name that becomes editable by a double click; single clicks go to the row.

    Signals
    -------
    renamed : the name that was typed
    """

    renamed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        set_part(self, "name")
        self._rest()
        self.editingFinished.connect(self._finish)

    def show_name(self, name: str) -> None:
        """Show a name, shortened where it is too long; not while one is typed."""
        if self.isReadOnly():
            self._name = name
            room = self.width() - 2 * _EDGE_PX
            shown = self.fontMetrics().elidedText(name, MIDDLE, room)
            self.setText(shown)
            self.setCursorPosition(0)
            tip = "Double click to rename."
            self.setToolTip(tip if shown == name else f"{name}\n\n{tip}")

    def edit(self) -> None:
        """Start editing."""
        self.setReadOnly(False)
        self.setText(self._name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setFocus()
        self.selectAll()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.show_name(self._name)

    def _finish(self) -> None:
        if not self.isReadOnly():
            typed = self.text().strip()
            self._rest()
            self.show_name(typed or self._name)
            self.renamed.emit(typed)

    def _rest(self) -> None:
        self.setReadOnly(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.deselect()
        self.clearFocus()  # the next key belongs to the canvas again

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and self.isReadOnly():
            event.ignore()
        else:
            super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, _event: QMouseEvent | None) -> None:
        self.edit()


class _Row(QFrame):
    """One class."""

    chosen = Signal(int)
    renamed = Signal(int, str)
    recoloured = Signal(int, str)

    def __init__(self, value: int) -> None:
        super().__init__()
        self.value = value
        set_part(self, "row")
        self.setFixedHeight(ROW_PX)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.swatch = Swatch()
        self.name = _NameEdit()
        usual_px = self.name.fontMetrics().horizontalAdvance("background")
        self.name.setMinimumWidth(usual_px + 2 * _EDGE_PX)
        # beyond that it takes what the numbers leave
        self.name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.painted = terse("muted")
        self.painted.setSizePolicy(
            QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred
        )
        self.painted.setElideMode(Qt.TextElideMode.ElideRight)
        self.painted.setMinimumWidth(48)
        self.painted.setAlignment(
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        )
        self.key = label(class_key(value) or class_key(1), "muted")
        policy = self.key.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # the column stays where it is
        self.key.setSizePolicy(policy)
        self.key.setVisible(bool(class_key(value)))
        self.key.setAlignment(
            Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        )
        layout = row(self.swatch, self.name, self.painted, self.key, spacing=5)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setStretch(1, 1)
        self.setLayout(layout)
        self.swatch.clicked.connect(self._pick_colour)
        self.name.renamed.connect(lambda name: self.renamed.emit(self.value, name))

    def show_class(self, entry: LabelClass, *, is_chosen: bool) -> None:
        """Show a class's state."""
        self.swatch.colour = entry.colour
        self.swatch.update()
        self.name.show_name(entry.name)
        self.painted.set_texts(painted_text(entry), _terse_text(entry))
        sync_property(self, "chosen", is_chosen)
        key = class_key(entry.value)
        self.setToolTip(
            f"Paint '{entry.name}' (value {entry.value})"
            + (f": click, or press {key}." if key else ": click.")
        )

    def mousePressEvent(self, _event: QMouseEvent | None) -> None:
        self.chosen.emit(self.value)

    def _pick_colour(self) -> None:
        colour = QColorDialog.getColor(QColor(self.swatch.colour), self)
        if colour.isValid():
            self.recoloured.emit(self.value, colour.name())


class ClassTable(QWidget):
    """All classes, one row each; ``tools`` belong above them."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self._rows: dict[int, _Row] = {}
        frame, self._layout = card(spacing=2)
        self._layout.setContentsMargins(4, 4, 4, 4)
        self._inner = QWidget()
        set_part(self._inner, "clear")
        self._rows_layout = QVBoxLayout(self._inner)
        self._rows_layout.setContentsMargins(0, 0, 0, 0)
        self._rows_layout.setSpacing(1)
        self._scroll = QScrollArea()
        set_part(self._scroll, "clear")
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setWidgetResizable(True)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._inner)
        fill(self._layout, self._scroll)
        self.add = Button("Add", "plus", "flat")
        keys = (label("next class", "muted"), label(KEYS["next_class"], "key"))
        self.tools = QWidget()
        tools = row(self.add, 1, *keys)
        tools.setContentsMargins(0, 0, 8, 0)  # its key ends above those of the rows
        self.tools.setLayout(tools)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(frame)
        self.add.clicked.connect(self._add)

    @property
    def rows(self) -> list[_Row]:
        """The rows, in the order of the classes' values."""
        return [self._rows[value] for value in sorted(self._rows)]

    def sizeHint(self) -> QSize:
        return QSize(300, super().sizeHint().height())

    def refresh(self) -> None:
        """Show what the state holds."""
        classes = self._state.classes
        for value in classes.values:
            if value not in self._rows:
                self._insert(value)
        for entry in classes:
            self._rows[entry.value].show_class(
                entry, is_chosen=entry.value == self._state.brush.value
            )
        self._word_alike()
        n_rows = min(len(classes), _MAX_ROWS)
        self._scroll.setFixedHeight(n_rows * (ROW_PX + 1) + 3)
        has_annotation = self._state.brush.value > 0
        self.add.offer(
            has_annotation,
            "Add a class. What was learned for the others is kept.",
            NO_LAYER,
        )
        for widget in self.rows:
            widget.setEnabled(has_annotation)
            if not has_annotation:
                widget.setToolTip(NO_LAYER)

    def _word_alike(self) -> None:
        """Let all counts be worded as the longest of them has room for."""
        is_tight = any(row.painted.is_tight for row in self.rows)
        for one in self.rows:
            one.painted.set_terse(is_tight)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.add.set_palette(palette)

    def _insert(self, value: int) -> None:
        new = _Row(value)
        new.chosen.connect(self._state.brush.select)
        new.renamed.connect(self._state.classes.rename)
        new.recoloured.connect(self._state.classes.recolour)
        new.painted.resized.connect(self._word_alike)
        self._rows[value] = new
        self._rows_layout.insertWidget(sorted(self._rows).index(value), new)

    def _add(self) -> None:
        new = self._state.classes.add()
        self._state.brush.select(new.value)
        self.refresh()
        self._rows[new.value].name.edit()
