"""Opens our docks from each other, the same ones that napari's menu opens."""

from __future__ import annotations

from typing import Any

__all__ = ["PLUGIN", "open_dock"]

PLUGIN = "napari-unet"


def open_dock(viewer: Any, title: str) -> Any:
    """Open or raise one of our docks; returns the dock's widget."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, title)
    widget.place()
    dock.show()
    dock.raise_()
    return widget
