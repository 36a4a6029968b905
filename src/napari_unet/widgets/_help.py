"""The help page: how to work with the dock, in seven lines, and the keys."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QVBoxLayout, QWidget

from napari_unet.widgets._keys import key_help
from napari_unet.widgets._parts import fill, label, line, wrapping

__all__ = ["HelpPage"]

_STEPS = (
    "Paint a short stroke inside an object and one on the background. What you leave "
    "unpainted counts as unknown, never as background.",
    "With two classes painted the overlay comes by itself, and follows each stroke.",
    "Where touching objects must come apart, paint Objects: each one whole, with Q for "
    "the next, touching ones first; then background, or a complete region.",
    "Correct where it is wrong: strokes there teach twice as much as elsewhere.",
    "Learn trains the network in the background. The overlay changes only to what "
    "scores better on strokes that were held out.",
    "Several strokes per class, in different places, make that score reliable.",
    "Predict whole image, then export.",
)


class HelpPage(QFrame):
    """A page that closes with a click beside it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(350)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(8)
        for number, step in enumerate(_STEPS, start=1):
            fill(layout, wrapping(f"{number}.  {step}"))
        fill(layout, line())
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(4)
        for place, (key, meaning) in enumerate(key_help()):
            grid.addWidget(label(key, "key"), place, 0, Qt.AlignmentFlag.AlignLeft)
            grid.addWidget(label(meaning), place, 1)
        grid.setColumnStretch(1, 1)
        layout.addLayout(grid)

    def open_at(self, widget: QWidget) -> None:
        """Show the page with its lower right corner at a widget's upper right one."""
        self.adjustSize()
        corner = widget.mapToGlobal(QPoint(widget.width(), 0))
        self.move(corner - QPoint(self.width(), self.height()))
        self.show()
