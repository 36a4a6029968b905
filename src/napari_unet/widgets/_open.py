"""Opens our docks from each other, the same ones that napari's menu opens."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow

__all__ = ["PLUGIN", "open_dock"]

PLUGIN = "napari-unet"


def open_dock(viewer: Any, title: str) -> Any:
    """Open or raise one of our docks; the curves go below the canvas, where it is wide.

    Returns the dock's widget.
    """
    before = set(viewer.window.dock_widgets)
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    is_new = set(viewer.window.dock_widgets) != before
    window = dock.parent()
    if is_new and title == "Learning curves" and isinstance(window, QMainWindow):
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, dock)
    dock.show()
    dock.raise_()
    return widget
