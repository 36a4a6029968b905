"""What is painted: strokes of classes, or objects, and the table of either."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QButtonGroup, QVBoxLayout, QWidget

from napari_unet.widgets._class_table import ClassTable
from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._object_table import ObjectTable
from napari_unet.widgets._parts import Button, fill, row
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["PaintSection"]

_STROKES_TIP = "Paint a few strokes of each class. Default."
_OBJECTS_TIP = (
    "Paint whole objects, each with a number of its own: where touching ones meet is "
    "learned too, and they are cut there. Strokes and objects have layers of their "
    "own; those of the other one are hidden meanwhile and come back. What Learn has "
    "trained begins again."
)
_BETWEEN = "Fill between planes"
_BETWEEN_TIP = (
    f"{_BETWEEN} ({KEYS['between']}): what you painted whole in two planes, up to 4 "
    "apart, is filled in between, where its shapes overlap. Nothing painted is "
    "changed, and Ctrl+Z takes all of it back. Look it over: objects that bend or "
    "branch come out wrong."
)


class PaintSection(QWidget):
    """The choice between strokes and objects above the table that goes with it."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self.strokes = Button("Strokes", "", "left")
        self.objects = Button("Objects", "", "right")
        self.strokes.setToolTip(_STROKES_TIP)
        self.objects.setToolTip(_OBJECTS_TIP)
        group = QButtonGroup(self)
        for button in (self.strokes, self.objects):
            button.setCheckable(True)
            group.addButton(button)
        self.class_table, self.object_table = ClassTable(state), ObjectTable(state)
        self._head = head = row(self.strokes, self.objects, spacing=0)
        head.addSpacing(6)
        for table in (self.class_table, self.object_table):
            head.addWidget(table.tools, 1)
        self._layout = layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(head)
        self.between = Button(_BETWEEN, "layers", "flat", key=KEYS["between"])
        fill(layout, self.class_table, self.object_table, self.between)
        self.between.clicked.connect(lambda: state.fill_between())
        self.objects.toggled.connect(
            lambda is_on: state.set_mode("objects" if is_on else "strokes")
        )

    def refresh(self) -> None:
        """Show what the state holds."""
        of_objects = self._state.mode == "objects"
        with QSignalBlocker(self.objects):
            (self.objects if of_objects else self.strokes).setChecked(True)
        tables: list[ClassTable | ObjectTable] = [self.class_table, self.object_table]
        hidden, shown = tables if of_objects else tables[::-1]
        # this order: with both of them the window would grow, and stay so
        for table, is_shown in ((hidden, False), (shown, True)):
            table.setVisible(is_shown)
            table.tools.setVisible(is_shown)
        shown.refresh()
        self._place_between(of_objects)
        self.between.setVisible(self._state.between.is_stack)
        why_not = self._state.between.why_not
        self.between.offer(not why_not, _BETWEEN_TIP, f"{_BETWEEN}. {why_not}")
        self.object_table.shorten(self._state.between.is_stack)
        has_image = self._state.book.current is not None
        for button in (self.strokes, self.objects):
            button.setEnabled(has_image)

    def _place_between(self, of_objects: bool) -> None:
        """Put the button into the head, where that has room: the dock is full."""
        self.between.set_caption("" if of_objects else _BETWEEN)
        place = self._head if of_objects else self._layout
        if place.indexOf(self.between) < 0:
            place.addWidget(self.between)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.between.set_palette(palette)
        self.class_table.set_palette(palette)
        self.object_table.set_palette(palette)
