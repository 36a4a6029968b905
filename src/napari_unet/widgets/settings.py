"""The dock *Settings*: how the network is trained, one field for each setting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFrame, QLineEdit, QScrollArea, QWidget

from napari_unet.config import ClusterConfig, LearnerConfig
from napari_unet.errors import ConfigError
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._guidance_settings import GuidanceSettings
from napari_unet.widgets._parts import (
    Button,
    fill,
    label,
    row,
    sync_property,
    wrapping,
)
from napari_unet.widgets._settings_form import SettingsForm

__all__ = ["SettingsDock"]

_GROUPS = {
    "Device, start": ("device", "start", "seed"),
    "Images": ("downsampling",),
    "Stacks": ("dimensions", "neighbour_planes", "levels_along_z"),
    "Training": ("fine_tune",),
    "Random changes of patches": ("augmentation",),
}
_HINT = (
    "How Learn trains. The defaults suit most images; rest the pointer on a setting "
    "to read what it does."
)
_LARGE = "Predict whole images of more than 64 million pixels on"
_ADDRESS = ClusterConfig.model_fields["address"]
_SCHEDULER = (
    f"{_ADDRESS.description} Empty: this computer, which "
    "is the default. In use from the next Predict whole image on, without Apply."
)
_IN_USE = "These settings are in use."
_CHANGED = "Not in use yet. Strokes stay; what Learn has trained begins again."


class SettingsDock(Dock):
    """Change settings, take them into use, go back to the defaults.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.form = SettingsForm(self.state.config, _GROUPS)
        self.apply = Button("Apply", "", "primary")
        self.defaults = Button("Defaults")
        self.defaults.setToolTip("Put the defaults into the form; Apply uses them.")
        self.note = wrapping(n_lines=2)
        self.scheduler = QLineEdit(self.state.stored.scheduler)
        self.scheduler.setPlaceholderText("this computer")
        self.scheduler.setToolTip(_SCHEDULER)
        self.scheduler.editingFinished.connect(self._compute_on)
        self.guidance = GuidanceSettings(self.state)
        self._fill()
        for widget in self.form.widgets.values():
            widget.changed.connect(self.refresh)
        self.apply.clicked.connect(self._apply)
        self.defaults.clicked.connect(self._show_defaults)
        self.state.changed.connect(self.refresh)
        self._begin_colours()
        self.refresh()

    def _fill(self) -> None:
        scroll = self._scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.form.native)
        layout = self._column()
        fill(layout, wrapping(_HINT, "muted"))
        layout.addWidget(scroll, 1)
        fill(layout, wrapping(_LARGE))
        where = row(label(_ADDRESS.title or ""), self.scheduler)
        where.setStretch(1, 1)
        layout.addLayout(where)
        fill(layout, self.guidance)
        fill(layout, self.note)
        last = row(self.apply, self.defaults)
        last.setStretch(0, 1)
        layout.addLayout(last)

    def _coloured(self) -> Iterable[Any]:
        return self.apply, self.defaults

    def showEvent(self, event: QShowEvent | None) -> None:
        """Align the form: only now have its captions the letters of napari's theme."""
        super().showEvent(event)
        self.form.align()
        bar = self._scroll.verticalScrollBar()
        bar_px = 0 if bar is None else bar.sizeHint().width()
        needed_px = self.form.native.minimumSizeHint().width() + bar_px
        self._scroll.setMinimumWidth(needed_px)

    def refresh(self, _value: Any = None) -> None:
        """Say whether what is in the form is in use, or why it cannot be."""
        try:
            is_used = self.form.config == self.state.config
            text, level = (_IN_USE, "info") if is_used else (_CHANGED, "advice")
        except ConfigError as error:
            is_used, text, level = False, f"{error}.", "error"
        self.note.setText(text)
        sync_property(self.note, "level", level)
        is_offered = level == "advice"
        why_not = "" if is_offered else text
        self.apply.offer(is_offered, "Use these settings from now on.", why_not)

    def _apply(self) -> None:
        self.state.set_config(self.form.config)
        self.refresh()

    def _compute_on(self) -> None:
        self.state.stored.compute_on(self.scheduler.text().strip())

    def _show_defaults(self) -> None:
        self.form.show(LearnerConfig())
