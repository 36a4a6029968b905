"""The dock *Proofread*: predictions become annotation, and objects are put right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QEvent, QSignalBlocker, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QWidget,
)

from napari_unet.widgets._dock import Dock
from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._open import open_dock
from napari_unet.widgets._parts import (
    Button,
    fill,
    label,
    line,
    row,
    sync_property,
    wrapping,
)
from napari_unet.widgets._proofread_tool import GESTURES

__all__ = ["ProofreadDock"]

REFRESH_MS = 100
_HAND = " What you painted stays as it is."
_AT_POINTER = (
    " The key does it under the pointer at once; the button waits for a click."
)
_TIPS = {
    "accept": "Annotate the object under the pointer, or the region of one class, as "
    "what it is predicted to be." + _HAND + _AT_POINTER,
    "lasso": "Annotate what lies in an outline that you draw; objects, of which more "
    "than half does." + _HAND,
    "accept_plane": "Annotate all that is predicted in the plane; where it is large or "
    "not all predicted, in sight. Objects that the edge of it cuts are left out."
    + _HAND,
    "accept_sure": "Annotate what is in sight and at least this probable by the "
    "model's own word; objects by their mean. Default 0.90: of what is annotated so, "
    "look over some. A model can be sure and wrong." + _HAND,
    "reject": "Take back what is annotated under the pointer, be it accepted or "
    "painted; where nothing is, annotate what is predicted there as background."
    + _AT_POINTER,
    "split": "Cut an object in two: drag a line right across it, or from the middle "
    "of one half to the middle of the other (or click both). Both parts are accepted; "
    "with strokes, the seam becomes background.",
    "merge": "Make one of all objects that a line touches: drag from one to the other, "
    "or click both. It is accepted, with what the line runs over between.",
    "fill_holes": "Accept an object with its holes filled; other objects in them, and "
    "what you painted, stay." + _AT_POINTER,
    "relabel": "Give what is under the pointer the class that is selected; of objects, "
    "a number of its own, or background where that is selected." + _AT_POINTER,
}
_CAPTIONS = {
    "accept": "Accept",
    "lasso": "Lasso",
    "accept_plane": "Plane",
    "accept_sure": "Above",
    "reject": "Reject",
    "split": "Split",
    "merge": "Merge",
    "fill_holes": "Fill holes",
    "relabel": "Relabel",
}
_ACTS_ON = {
    "accept": "what the pointer is on",
    "lasso": "what you draw around",
    "accept_plane": "all of this plane",
    "reject": "what the pointer is on",
    "relabel": "it has the chosen class",
    "split": "draw a line across it",
    "merge": "drag over them",
    "fill_holes": "what the pointer is on",
}
_BUTTONS_PX = 126
_OVER_TIP = (
    "Accepting then also replaces what is painted or was accepted before. Default: off."
)


class ProofreadDock(Dock):
    """Buttons for what the keys do, and how much was accepted.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.proofread = self.state.proofread
        self.note = wrapping(part="muted")
        self.buttons = {
            name: Button(text, key=KEYS[name]) for name, text in _CAPTIONS.items()
        }
        self.threshold = QDoubleSpinBox()
        self.over = QCheckBox("Also over what is painted")
        self.counts = label()
        self.message = wrapping(n_lines=2)
        self.imports = Button("Import labels …", "folder", "flat")
        self._fill()
        self._connect()
        self.refresh()

    def _fill(self) -> None:
        self.threshold.setRange(0.5, 1.0)
        self.threshold.setSingleStep(0.01)
        self.threshold.setDecimals(2)
        self.threshold.setToolTip(_TIPS["accept_sure"])
        self.over.setToolTip(_OVER_TIP)
        self.imports.setToolTip("Start from labels that you have: a layer or a file.")
        for name, button in self.buttons.items():
            button.setCheckable(name in GESTURES)
        layout = self._column(6)
        fill(layout, self.note, label("Accept as annotation", "caption"))
        layout.addLayout(self._rows("accept", "lasso", "accept_plane", "accept_sure"))
        fill(layout, self.over, line(), label("Put right", "caption"))
        names = ("reject", "relabel", "split", "merge", "fill_holes")
        layout.addLayout(self._rows(*names))
        fill(layout, line(), self.counts, self.message, line())
        layout.addLayout(row(self.imports, 1))
        layout.addStretch(1)

    def _rows(self, *names: str) -> QGridLayout:
        """Return a row for each action: its button, and what it acts on."""
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(4)
        grid.setColumnMinimumWidth(0, _BUTTONS_PX)
        grid.setColumnStretch(1, 1)
        for number, name in enumerate(names):
            grid.addWidget(self.buttons[name], number, 0)
            if name == "accept_sure":
                sure = row(self.threshold, label("sure", "muted"), 1)
                grid.addLayout(sure, number, 1)
            else:
                grid.addWidget(label(_ACTS_ON[name], "muted"), number, 1)
        return grid

    def _connect(self) -> None:
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self.refresh)
        for name, button in self.buttons.items():
            if name in GESTURES:
                button.clicked.connect(self._begins(name))
        self.buttons["accept_plane"].clicked.connect(self.proofread.accept_plane)
        self.buttons["accept_sure"].clicked.connect(self.proofread.accept_sure)
        self.threshold.valueChanged.connect(self._on_threshold)
        self.over.toggled.connect(self._on_over)
        self.imports.clicked.connect(
            lambda: open_dock(self.state.viewer(), "Import labels")
        )
        self._begin_colours()
        for signal in (
            self.state.changed,
            self.state.renewed,
            self.proofread.changed,
        ):
            signal.connect(self._refresh_soon)

    def _begins(self, name: str) -> Any:
        return lambda _is_checked: self._begin(name)

    def _begin(self, name: str) -> None:
        self.proofread.begin(name)
        self.refresh()  # a button that could not begin comes up again

    def _coloured(self) -> Iterable[Any]:
        return *self.buttons.values(), self.imports

    def refresh(self) -> None:
        """Show what can be done, what is waited for, and how much was accepted."""
        if self.state.viewer() is None:  # it closed before the timer rang
            return
        why_not = self.proofread.why_not
        self.note.setText(why_not)
        self.note.setVisible(bool(why_not))
        waiting = self.proofread.tool.gesture
        for name, button in self.buttons.items():
            button.offer(not why_not, _TIPS[name], why_not)
            with QSignalBlocker(button):
                button.setChecked(waiting is not None and waiting.name == name)
        self.threshold.setEnabled(not why_not)
        with QSignalBlocker(self.threshold):
            self.threshold.setValue(self.proofread.threshold)
        with QSignalBlocker(self.over):
            self.over.setChecked(self.proofread.is_over)
        n_px, n_objects = self.proofread.tally.counts
        what = f"{n_px:,} px"
        if n_objects:
            what += f" in {n_objects:,} object{'' if n_objects == 1 else 's'}"
        self.counts.setText(f"Accepted: {what}")
        session = self.state.session
        self.message.setText(session.message)
        sync_property(self.message, "level", session.message_level)

    def reset_choices(self, _event: Any = None) -> None:
        """Show other layers; napari calls this when the layer list changes."""
        self._refresh_soon()

    def _refresh_soon(self) -> None:
        if not self._timer.isActive():
            self._timer.start()

    def _on_threshold(self, value: float) -> None:
        self.proofread.threshold = value

    def _on_over(self, is_on: bool) -> None:
        self.proofread.is_over = is_on

    def event(self, event: QEvent | None) -> bool:
        """Leave a gesture that was begun here when the dock is closed."""
        is_moved = event is not None and event.type() == QEvent.Type.ParentChange
        if is_moved and self.parent() is None:
            self.proofread.tool.end()
        return super().event(event)
