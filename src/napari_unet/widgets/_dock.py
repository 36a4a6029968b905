"""What the content of every dock has: state, place, one column, colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QVBoxLayout, QWidget

from napari_unet.widgets._live import JobFactory, live_job
from napari_unet.widgets._state import ViewerState, state_of
from napari_unet.widgets._style import palette_of, style_sheet

__all__ = ["Dock"]

_WIDTH_PX = 300
_CORNERS = (
    (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
    (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
)


class Dock(QWidget):
    """The content of a dock.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    make_job
        What the worker runs; the real learner unless a test says otherwise.

    Attributes
    ----------
    is_wide
        Whether it belongs below the canvas, where it is wide, and not beside it.
    """

    is_wide = False
    _placing: QTimer | None = None  # Qt may tell of a parent before there is one

    def __init__(
        self,
        napari_viewer: Any,
        parent: QWidget | None = None,
        *,
        make_job: JobFactory = live_job,
    ) -> None:
        super().__init__(parent)
        self.state: ViewerState = state_of(napari_viewer, make_job)
        self._placing = QTimer(self)
        self._placing.setSingleShot(True)
        self._placing.setInterval(0)  # napari first has to put its dock into the window
        self._placing.timeout.connect(self._place)

    def event(self, event: QEvent | None) -> bool:
        """Notice that napari puts it into a dock, from whichever menu or button."""
        is_moved = event is not None and event.type() == QEvent.Type.ParentChange
        if is_moved and self._placing is not None and self.parent() is not None:
            self._placing.start()
        return super().event(event)

    def place(self) -> None:
        """Go where it belongs if it is new there; what somebody moved later stays."""
        if self._placing is not None and self._placing.isActive():
            self._placing.stop()
            self._place()

    def _place(self) -> None:
        """Take a tab beside our other docks.

        Below each other they need more height than a screen has.
        """
        dock = _dock_of(self)
        window = None if dock is None else dock.parent()
        if dock is None or not isinstance(window, QMainWindow):
            return
        _shorten_title(dock)
        if self.is_wide:
            # only below the canvas: docks at the sides keep the full height
            for corner, area in _CORNERS:
                window.setCorner(corner, area)
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
            return
        others = [
            other
            for other in map(_dock_of, window.findChildren(Dock))
            if other is not None and other is not dock and not other.isHidden()
            if not other.isFloating()
            if window.dockWidgetArea(other) == window.dockWidgetArea(dock)
            if dock not in window.tabifiedDockWidgets(other)
        ]
        if others and not dock.isFloating():
            window.tabifyDockWidget(others[-1], dock)
            dock.raise_()

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


def _dock_of(widget: QWidget) -> QDockWidget | None:
    """Return the dock that a widget is in."""
    parent = widget.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def _shorten_title(dock: QDockWidget) -> None:
    """Leave the plugin's name, which napari adds, out of tab and title bar.

    A tab is too narrow for both, and the bar of the main dock too.
    """
    title = dock.windowTitle()
    short = title.partition(" (")[0]
    dock.setWindowTitle(short)
    bar = dock.titleBarWidget()
    for label in [] if bar is None else bar.findChildren(QLabel):
        if label.text() == title:
            label.setText(short)
