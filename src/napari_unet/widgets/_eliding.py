"""Texts longer than their place: shortened, with a tooltip in full, or on more lines.

Qt itself cuts them off, without a sign.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)
from superqt import QElidingLabel

__all__ = ["MIDDLE", "ElidingCombo", "ElidingLabel", "TerseLabel", "WrappingLabel"]

MIDDLE = Qt.TextElideMode.ElideMiddle
"""Names differ at their ends: "nuclei annotation", "nuclei prediction"."""


_EDGES_PX = 4  # napari's style leaves 1 px on both sides


class ElidingLabel(QElidingLabel):
    """One line, shortened in its middle where it is too long.

    Where nothing is left out it has no tooltip, so that its parent's is shown.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setElideMode(MIDDLE)
        self.setEllipsesWidth(_EDGES_PX)
        # a long text must not widen the dock
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    @property
    def shown_text(self) -> str:
        """What stands on the screen."""
        return str(self._elidedText())

    def sizeHint(self) -> QSize:
        """Ask for the room of the whole text, or once shortened it would stay so."""
        width = self.fontMetrics().horizontalAdvance(self.text())
        return QSize(width + _EDGES_PX + 2, super().sizeHint().height())

    def setText(self, text: str | None) -> None:
        super().setText(text or "")
        self.updateGeometry()
        self._tell()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        if event is not None:
            super().resizeEvent(event)
        self._tell()

    def _tell(self) -> None:
        is_whole = self.shown_text == self.text()
        self.setToolTip("" if is_whole else self.text())


class TerseLabel(ElidingLabel):
    """A line that has a shorter wording, for where the usual one is too long.

    Signals
    -------
    resized : it has another width, and its neighbours may have to be worded anew
    """

    resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        self._terse = ""
        self._is_terse = False
        super().__init__(parent)

    @property
    def is_tight(self) -> bool:
        """Whether there is too little room for the usual wording."""
        room = self.width() - _EDGES_PX
        return self.fontMetrics().horizontalAdvance(self._text) > room

    def set_terse(self, on: bool) -> None:
        """Show the shorter wording also where there is room, as a neighbour does."""
        if on != self._is_terse:
            self._is_terse = on
            self._tell()
            self.update()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self.resized.emit()

    def set_texts(self, usual: str, terse: str) -> None:
        """Show a text, or, where it does not fit, what is as good in fewer letters."""
        self._terse = terse
        self.setText(usual)

    def _elidedText(self) -> str:
        if not self._terse or not (self._is_terse or self.is_tight):
            return str(super()._elidedText())
        room = self.width() - _EDGES_PX
        return self.fontMetrics().elidedText(self._terse, self._elide_mode, room)


class WrappingLabel(QLabel):
    """A text on as many lines as it needs; a full dock may not squeeze them.

    Parameters
    ----------
    n_lines
        Lines to keep room for, so that nothing below jumps when the text changes.

    Attributes
    ----------
    most_lines
        Lines to have at most: of a longer text, the tooltip has the rest. None: all.
    """

    def __init__(self, text: str = "", n_lines: int = 0) -> None:
        super().__init__(text)
        self._n_lines = n_lines
        self._full = text
        self._is_cut = False
        self.most_lines: int | None = None
        self._claimed_for: tuple[str, int] | None = None
        self.setWordWrap(True)

    @property
    def full_text(self) -> str:
        """What was to be shown, however much of it is."""
        return self._full

    def setText(self, text: str | None) -> None:
        self._full = text or ""
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Show as much of the text as there are lines for."""
        text = self._full
        if self.most_lines is not None:
            text = self._shortened(text, self.most_lines)
        if text != self.text():
            super().setText(text)
        if text != self._full or self._is_cut:
            self._is_cut = text != self._full
            self.setToolTip(self._full if self._is_cut else "")
        self._claim()

    def _shortened(self, text: str, n_lines: int) -> str:
        """Return the words that fit on so many lines, and "…" for the others."""
        metrics, width = self.fontMetrics(), self.contentsRect().width()
        words, shown = text.split(), text
        wraps = Qt.TextFlag.TextWordWrap.value
        while words:
            box = metrics.boundingRect(0, 0, width, 10_000, wraps, shown)
            if box.height() < (n_lines + 0.5) * metrics.lineSpacing():
                return shown
            words.pop()
            shown = f"{' '.join(words)} …"
        return shown

    def _claim(self) -> None:
        place = (self.text(), self.width())
        if place != self._claimed_for:
            self._claimed_for = place
            self.setMinimumHeight(0)  # or the height for a width is never less again
            reserved = self._n_lines * self.fontMetrics().lineSpacing()
            self.setMinimumHeight(max(reserved, self.heightForWidth(self.width())))


class ElidingCombo(QComboBox):
    """A combo box that shortens what it shows, and widens its list for long names."""

    def __init__(self, tip: str = "") -> None:
        super().__init__()
        self._tip = tip
        # a long name must not widen the dock
        self.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.setMinimumContentsLength(4)
        self.currentTextChanged.connect(self._tell)
        self._tell()

    @property
    def shown_text(self) -> str:
        """What stands on the screen."""
        return str(self._option().currentText)

    def set_items(self, texts: Sequence[str]) -> None:
        """Offer these texts; an open list is left alone where they are the same."""
        if [self.itemText(i) for i in range(self.count())] != list(texts):
            self.clear()
            self.addItems(list(texts))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painter = QStylePainter(self)
        option = self._option()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def showPopup(self) -> None:
        view = self.view()
        if view is not None:
            room = view.sizeHintForColumn(0) + 24  # its frame and a scroll bar
            view.setMinimumWidth(max(self.width(), min(room, 480)))
            view.setTextElideMode(MIDDLE)
        super().showPopup()

    def _option(self) -> QStyleOptionComboBox:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        style = self.style()
        if style is not None:
            field = style.subControlRect(
                QStyle.ComplexControl.CC_ComboBox,
                option,
                QStyle.SubControl.SC_ComboBoxEditField,
                self,
            )
            room = field.width() - 2  # the style leaves 1 px on both sides
            metrics = option.fontMetrics
            option.currentText = metrics.elidedText(option.currentText, MIDDLE, room)
        return option

    def _tell(self) -> None:
        self.setToolTip("\n\n".join(filter(None, (self.currentText(), self._tip))))
