"""Texts that are longer than their place: shortened with "…", in full as a tooltip."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QPaintEvent, QResizeEvent
from qtpy.QtWidgets import (
    QComboBox,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)
from superqt import QElidingLabel

__all__ = ["MIDDLE", "ElidingCombo", "ElidingLabel"]

MIDDLE = Qt.TextElideMode.ElideMiddle
"""Names differ at their ends: "nuclei annotation", "nuclei prediction"."""


class ElidingLabel(QElidingLabel):
    """One line, shortened in its middle where it is too long.

    Where nothing is left out it has no tooltip, so that its parent's is shown.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setElideMode(MIDDLE)
        # a long text must not widen the dock
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    @property
    def shown_text(self) -> str:
        """What stands on the screen."""
        return str(self._elidedText())

    def setText(self, text: str | None) -> None:
        super().setText(text or "")
        self._tell()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        if event is not None:
            super().resizeEvent(event)
        self._tell()

    def _tell(self) -> None:
        is_whole = self.shown_text == self.text()
        self.setToolTip("" if is_whole else self.text())


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
