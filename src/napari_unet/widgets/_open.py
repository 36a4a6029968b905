"""Opens our docks from each other, the same ones that napari's menu opens."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow

__all__ = ["PLUGIN", "open_dock"]

PLUGIN = "napari-unet"
_TABS = (
    *("Project", "Export labels", "Measurements"),
    *("Settings", "Proofread", "Import labels"),
)
_CORNERS = (
    (Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea),
    (Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea),
)


def open_dock(viewer: Any, title: str) -> Any:
    """Open or raise one of our docks; the curves go below the canvas, where it is wide.

    Returns the dock's widget.
    """
    before = set(viewer.window.dock_widgets)
    is_beside = title in _TABS
    dock, widget = viewer.window.add_plugin_dock_widget(
        PLUGIN, title, tabify=is_beside and bool(before)
    )
    is_new = set(viewer.window.dock_widgets) != before
    window = dock.parent()
    if is_new and title == "Learning curves" and isinstance(window, QMainWindow):
        # only below the canvas: the docks at the sides keep the window's full height
        for corner, area in _CORNERS:
            window.setCorner(corner, area)
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    dock.show()
    dock.raise_()
    return widget
