"""What the content of every dock has: the viewer's state, one column, its colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_unet.widgets._live import JobFactory, live_job
from napari_unet.widgets._state import ViewerState, state_of
from napari_unet.widgets._style import palette_of, style_sheet

__all__ = ["Dock"]

_WIDTH_PX = 300


class Dock(QWidget):
    """The content of a dock.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    make_job
        What the worker runs; the real learner unless a test says otherwise.
    """

    def __init__(
        self,
        napari_viewer: Any,
        parent: QWidget | None = None,
        *,
        make_job: JobFactory = live_job,
    ) -> None:
        super().__init__(parent)
        self.state: ViewerState = state_of(napari_viewer, make_job)

    def minimumSizeHint(self) -> QSize:
        """Return what its texts need, more with large letters, and no narrow strip."""
        return super().minimumSizeHint().expandedTo(QSize(_WIDTH_PX, 0))

    def _column(self, spacing_px: int = 8) -> QVBoxLayout:
        """Return the layout from top to bottom, with the margins of a dock."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(spacing_px)
        return layout

    def _coloured(self) -> Iterable[Any]:
        """Return the parts whose icons and drawings have colours of the theme."""
        raise NotImplementedError

    def _begin_colours(self) -> None:
        """Take the colours of napari's theme, and those of the next one."""
        self.state.viewer().events.theme.connect(self.follow_theme)
        self.follow_theme()

    def follow_theme(self, _event: Any = None) -> None:
        """Take the colours of napari's theme."""
        palette = palette_of(self.state.viewer())
        self.setStyleSheet(style_sheet(palette))
        for part in self._coloured():
            part.set_palette(palette)
