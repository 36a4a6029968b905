"""The content of a dock, which follows the viewer for as long as it is docked."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent

from napari_unet.widgets._dock import Dock

__all__ = ["Docked"]


class Docked(Dock):
    """Notices that its dock was closed with the X, and that it was docked again.

    napari keeps the widget of a closed dock, takes its parent away, and tells it
    nothing else.
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._is_open = False

    def _follow(self) -> None:
        """Begin to follow the viewer."""
        raise NotImplementedError

    def _unfollow(self) -> None:
        """Follow it no more."""
        raise NotImplementedError

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self._follow()

    def _shut(self) -> None:
        if self._is_open:
            self._is_open = False
            self._unfollow()

    def event(self, event: QEvent | None) -> bool:
        """Notice that the dock let go of this widget, or took it back."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._shut()
            else:
                self._open()
        return super().event(event)
