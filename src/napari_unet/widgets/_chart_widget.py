"""What the charts of a dock have in common."""

from __future__ import annotations

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette, palette_of

__all__ = ["ChartWidget"]


class ChartWidget(QWidget):
    """Charts of a session, in the theme's colours, that follow the mouse."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self._palette = palette_of(state.viewer())
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Return a size at which charts can be read."""
        return QSize(320, 170)

    def minimumSizeHint(self) -> QSize:
        """Return the smallest size that still shows lines and points."""
        return QSize(260, 120)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        self.update()
