"""The overlay's choice between classes and objects, and how objects are cut apart."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QSlider,
    QSpinBox,
    QWidget,
)

from napari_unet.config import InstanceConfig
from napari_unet.widgets._parts import Button, label, row
from napari_unet.widgets._state import ViewerState

__all__ = ["ObjectsRow", "objects_text"]

_MAX_SIZE_PX = 9_999_999
_SPIN_WIDTH_PX = 128
_FIELDS = InstanceConfig.model_fields


def objects_text(n_objects: int | None, is_whole: bool) -> str:
    """Return how many objects were found, and where: ``"34 in view"``."""
    if n_objects is None:
        return ""
    return f"{n_objects:,} {'in all' if is_whole else 'in view'}"


class ObjectsRow:
    """Adds its rows to the overlay's grid: classes or objects, and two settings.

    The smallest size follows the painted objects until somebody sets another one.

    Parameters
    ----------
    state
        What is shown.
    grid
        Two columns: names, controls.
    at
        First row to use; three are used.
    """

    def __init__(self, state: ViewerState, grid: QGridLayout, at: int) -> None:
        self._state = state
        self.classes = Button("Classes", "", "left")
        self.objects = Button("Objects", "", "right")
        self.objects.setToolTip(
            "Show each object in a colour of its own, touching ones cut apart, in a "
            "layer that can be exported and counted. Planes of a stack have objects of "
            "their own until the whole image is predicted."
        )
        self.classes.setToolTip("Show what each pixel was labelled as. Default.")
        group = QButtonGroup(grid)
        for button in (self.classes, self.objects):
            button.setCheckable(True)
            group.addButton(button)
        self.count = label(part="muted")
        self.strength = QSlider(Qt.Orientation.Horizontal)
        self.strength.setRange(0, 100)
        self.strength.setToolTip(f"{_FIELDS['split_strength'].description}")
        self.min_size = QSpinBox()
        self.min_size.setRange(0, _MAX_SIZE_PX)
        self.min_size.setSuffix(" px")
        self.min_size.setMaximumWidth(_SPIN_WIDTH_PX)
        self.automatic = QCheckBox("automatic")
        for widget in (self.min_size, self.automatic):
            widget.setToolTip(f"{_FIELDS['min_size_px'].description}")
        self._fill(grid, at)
        view = state.objects
        self.objects.toggled.connect(view.set_on)
        self.strength.valueChanged.connect(lambda v: view.set_strength(v / 100))
        self.min_size.valueChanged.connect(view.set_min_size)
        self.automatic.toggled.connect(self._set_automatic)

    def _fill(self, grid: QGridLayout, at: int) -> None:
        choice = QHBoxLayout()
        choice.addLayout(row(self.classes, self.objects, spacing=0))
        choice.addWidget(self.count, 1)
        choice.setSpacing(10)
        grid.addWidget(label("Show", "muted"), at, 0)
        grid.addLayout(choice, at, 1)
        self._names = [label("Split", "muted"), label("Smallest", "muted")]
        pieces = (self.strength, self.min_size)
        for below, (name, piece) in enumerate(zip(self._names, pieces, strict=True), 1):
            name.setToolTip(piece.toolTip())
            grid.addWidget(name, at + below, 0)
        grid.addWidget(self.strength, at + 1, 1)
        grid.addLayout(row(self.min_size, self.automatic, 1, spacing=10), at + 2, 1)

    @property
    def pieces(self) -> list[QWidget]:
        """The controls that an image is needed for."""
        settings = [self.strength, self.min_size, self.automatic]
        return [self.classes, self.objects, *settings]

    def _set_automatic(self, is_automatic: bool) -> None:
        """Follow the painted objects, or stay with the number that is there."""
        n_px = None if is_automatic else self.min_size.value()
        self._state.objects.set_min_size(n_px)

    def refresh(self) -> None:
        """Show what the state holds."""
        view, session = self._state.objects, self._state.session
        for button, is_checked in (
            (self.objects, view.is_on),
            (self.classes, not view.is_on),
        ):
            with QSignalBlocker(button):
                button.setChecked(is_checked)
        with QSignalBlocker(self.strength):
            self.strength.setValue(round(100 * view.settings.split_strength))
        with QSignalBlocker(self.min_size):
            self.min_size.setValue(view.settings.size_px(session.smallest_object_px))
        with QSignalBlocker(self.automatic):
            self.automatic.setChecked(view.settings.min_size_px is None)
        for widget in (self.strength, self.min_size, self.automatic, *self._names):
            widget.setVisible(view.is_on)
        text = objects_text(session.n_objects, session.has_all_objects)
        self.count.setText(text if view.is_on else "")
