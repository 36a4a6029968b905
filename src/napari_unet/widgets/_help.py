"""The help page: how to work with the dock, in eight lines, and the keys."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from napari_unet.widgets._keys import KEYS, key_help
from napari_unet.widgets._parts import fill, label, set_part, wrapping

__all__ = ["HelpPage"]

_STEPS = (
    "Paint a short stroke inside an object and one on the background. What you leave "
    "unpainted counts as unknown, never as background.",
    "With two classes painted the overlay comes by itself, and follows each stroke.",
    "Where touching objects must come apart, paint Objects: each one whole, with "
    f"{KEYS['next_class']} for the next, touching ones first; then background, or a "
    "complete region.",
    "Correct where it is wrong, above all along borders; in between, paint some "
    "strokes where it is right.",
    "Learn trains the network in the background. The overlay changes only to what "
    "scores better on strokes that were held out.",
    "Several strokes per class, in different places, make that score reliable.",
    f"Where it is right, accept it: {KEYS['accept']} on an object makes it annotation.",
    "Predict whole image, then export, or measure.",
)
_STEPS_PX, _WIDTH_PX = 270, 960


class HelpPage(QFrame):
    """A page that closes with a click beside it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        set_part(self, "page")
        self.setFixedWidth(_WIDTH_PX)
        steps = QVBoxLayout()
        steps.setSpacing(8)
        for number, step in enumerate(_STEPS, start=1):
            text = wrapping(f"{number}.  {step}")
            text.setFixedWidth(_STEPS_PX)
            fill(steps, text)
        steps.addStretch(1)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(16)
        layout.addLayout(steps)
        keys = key_help()
        half = -(-len(keys) // 2)
        for part in (keys[:half], keys[half:]):
            layout.addLayout(_table(part))

    def open_at(self, widget: QWidget) -> None:
        """Show the page with its lower right corner at a widget's upper right one."""
        self.adjustSize()
        corner = widget.mapToGlobal(QPoint(widget.width(), 0))
        self.move(corner - QPoint(self.width(), self.height()))
        self.show()


def _table(keys: list[tuple[str, str]]) -> QVBoxLayout:
    """Return keys and what they do, below each other."""
    grid = QGridLayout()
    grid.setHorizontalSpacing(8)
    grid.setVerticalSpacing(4)
    for place, (key, meaning) in enumerate(keys):
        grid.addWidget(label(key, "key"), place, 0, Qt.AlignmentFlag.AlignLeft)
        grid.addWidget(label(meaning), place, 1)
    grid.setColumnStretch(1, 1)
    column = QVBoxLayout()
    column.addLayout(grid)
    column.addStretch(1)
    return column
