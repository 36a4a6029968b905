"""Settings of guidance: in use at once, and kept for the next time."""

from __future__ import annotations

from typing import get_args

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget

from napari_unet.config import GuidanceConfig, UncertaintyMeasure
from napari_unet.widgets._guidance_file import keep_guidance
from napari_unet.widgets._parts import label, row
from napari_unet.widgets._state import ViewerState

__all__ = ["GuidanceSettings"]

_FIELDS = GuidanceConfig.model_fields


class GuidanceSettings(QWidget):
    """Two controls, for the dock *Settings*."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self.measure = QComboBox()
        self.measure.addItems(get_args(UncertaintyMeasure))
        self.measure.setToolTip(f"{_FIELDS['uncertainty'].description}")
        self.log = QCheckBox(f"{_FIELDS['log_interactions'].title}")
        self.log.setToolTip(f"{_FIELDS['log_interactions'].description}")
        name = label(f"{_FIELDS['uncertainty'].title}")
        name.setToolTip(self.measure.toolTip())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        line = row(name, self.measure)
        line.setStretch(1, 1)
        layout.addLayout(line)
        layout.addWidget(self.log)
        self.refresh()
        self.measure.currentTextChanged.connect(self._change)
        self.log.toggled.connect(self._change)

    def refresh(self) -> None:
        """Show what is in use."""
        config = self._state.guide.config
        with QSignalBlocker(self.measure):
            self.measure.setCurrentText(config.uncertainty)
        with QSignalBlocker(self.log):
            self.log.setChecked(config.log_interactions)

    def _change(self, _value: object) -> None:
        config = GuidanceConfig.model_validate(
            {
                "uncertainty": self.measure.currentText(),
                "log_interactions": self.log.isChecked(),
            }
        )
        self._state.set_guidance(config)
        keep_guidance(config)
