"""The live overlay: tiles into prediction layers, and the visible field to the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.jobs import TilePredicted
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._layers import OverlayStyle
from napari_unet.widgets._view import VisibleField, visible_field

__all__ = ["Overlay"]

VIEW_DELAY_MS = 120
"""One turn of the wheel is many camera events; only where it rests is predicted."""

REDRAW_MS = 80
OUTLINE_REDRAW_MS = 400
"""Outlines are computed anew for the whole plane: about 0.2 s at 2048 x 2048 px."""


class Overlay(QObject):
    """Writes tiles, draws them in bundles, and says which field is looked at.

    Signals
    -------
    changed : style, live or not
    viewed : (key or None, VisibleField or None), after panning, zooming or a slider
    """

    changed = Signal()
    viewed = Signal(object, object)

    def __init__(
        self,
        viewer: Callable[[], Any],
        book: ImageBook,
        classes: ClassList,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._book = book
        self._classes = classes
        self.style = OverlayStyle()
        self.is_live = True
        self.is_middle = False
        """Whether more is in sight than is kept predicted."""
        self._stale: dict[AnnotatedImage, bool] = {}
        self._held: list[Labels] = []
        self._view_timer = QTimer(self)
        self._view_timer.setSingleShot(True)
        self._view_timer.setInterval(VIEW_DELAY_MS)
        self._view_timer.timeout.connect(self.look)
        self._draw_timer = QTimer(self)
        self._draw_timer.setSingleShot(True)
        self._draw_timer.timeout.connect(self._redraw)
        classes.changed.connect(self.dress)
        book.entered.connect(lambda entry: entry.dress(classes, self.style))

    def listen(self) -> None:
        """Follow the camera and the sliders."""
        for emitter in self._emitters():
            emitter.connect(self._on_moved)
        self.dress()
        self._view_timer.start()

    def deafen(self) -> None:
        """Stop following, and stop drawing."""
        for emitter in self._emitters():
            emitter.disconnect(self._on_moved)
        self._view_timer.stop()
        self._draw_timer.stop()

    def look(self, *, is_wanted: bool = False) -> None:
        """Work out the visible field now and announce it; wanted: even if not live."""
        entry = self._book.current
        field: VisibleField | None = None
        if entry is not None and entry.prediction is not None:
            if self.is_live or is_wanted:
                field = visible_field(self._viewer(), entry.prediction)
            if field is not None:
                field = field.middle()
            self.viewed.emit(entry.key, field)
        else:
            self.viewed.emit(None, None)
        is_middle = field is not None and field.is_middle
        if is_middle != self.is_middle:
            self.is_middle = is_middle
            self.changed.emit()

    def look_soon(self) -> None:
        """Work out the visible field when things have settled."""
        self._view_timer.start()

    def set_live(self, is_live: bool) -> None:
        """Follow painting and the visible field by itself, or only when asked."""
        if is_live != self.is_live:
            self.is_live = is_live
            if is_live:
                self._book.make_prediction()
                self.dress()
            self.look()
            self.changed.emit()

    def write(self, tile: TilePredicted) -> bool:
        """Take one tile; False when its image or layer is gone."""
        entry = self._book.get(tile.key)
        if entry is None or not entry.write(tile):
            return False
        self._stale[entry] = self._stale.get(entry, False) or tile.is_last
        if not self._draw_timer.isActive():
            is_outline = self.style.is_outline
            self._draw_timer.start(OUTLINE_REDRAW_MS if is_outline else REDRAW_MS)
        return True

    def dress(self) -> None:
        """Give all layers the colours, names and style."""
        for entry in self._book:
            entry.dress(self._classes, self.style)

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of the predictions, 0..1."""
        self._restyle(opacity=opacity)

    def set_outline(self, is_outline: bool) -> None:
        """Draw predictions as outlines, or filled."""
        self._restyle(is_outline=is_outline)

    def toggle_outline(self) -> None:
        """Change between outlines and filled."""
        self.set_outline(not self.style.is_outline)

    def set_background(self, has_background: bool) -> None:
        """Colour the predicted background too, or leave it transparent."""
        self.style.has_background = has_background
        self.dress()
        self.changed.emit()

    def hide(self) -> None:
        """Hide the predictions for a moment."""
        layers = [layer for entry in self._book for layer in entry.predicted]
        # the button may be pressed while the key is held: add to what is held
        visible = [layer for layer in layers if layer.visible]
        self._held += visible
        for layer in visible:
            layer.visible = False

    def unhide(self) -> None:
        """Show what `hide` has hidden, and nothing that was hidden before."""
        held, self._held = self._held, []
        for layer in held:
            layer.visible = True

    def _restyle(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self.style, name, value)
        for entry in self._book:
            entry.restyle(self.style)
        self.changed.emit()

    def _redraw(self) -> None:
        stale, self._stale = self._stale, {}
        for entry, is_last in stale.items():
            entry.redraw(with_thumbnail=is_last)

    def _emitters(self) -> list[Any]:
        viewer = self._viewer()
        camera = viewer.scene.camera.events
        dims = viewer.dims.events
        return [
            camera.zoom,
            camera.center,
            dims.point,
            dims.order,
            dims.ndisplay,
            viewer.canvas.events.size,
        ]

    def _on_moved(self, _event: Any) -> None:
        self._view_timer.start()
