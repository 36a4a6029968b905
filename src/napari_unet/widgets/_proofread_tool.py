"""Gestures of proofreading: a click, a line or a lasso, drawn in a layer of shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._layers import ROLE, transform_of

__all__ = ["GESTURES", "Gesture", "ProofreadTool"]

_ORANGE = "#D55E00"  # 4 : 1 or more both on black and on white
_TINT = "#D55E0020"
_CLICK_PX = 4.0  # on the screen: a hand does not hold still


@dataclass(frozen=True)
class Gesture:
    """What is to be drawn for an action: napari's mode of shapes, and the hint."""

    name: str
    mode: str
    hint: str


GESTURES = {
    gesture.name: gesture
    for gesture in (
        Gesture("accept", "add_line", "Click what to accept; Esc leaves it."),
        Gesture("reject", "add_line", "Click what to reject; Esc leaves it."),
        Gesture("fill_holes", "add_line", "Click the object to fill; Esc leaves it."),
        Gesture("relabel", "add_line", "Click what to relabel; Esc leaves it."),
        Gesture(
            "lasso", "add_polygon_lasso", "Draw around what to accept; Esc leaves it."
        ),
        Gesture(
            "split",
            "add_line",
            "Drag right across the object, or click the middles of its two halves; Esc "
            "leaves it.",
        ),
        Gesture(
            "merge",
            "add_line",
            "Drag from one object to the other, or click both; Esc leaves it.",
        ),
    )
}
_OF_TWO_POINTS = ("split", "merge")


class ProofreadTool(QObject):
    """Waits for one gesture at a time, then goes back to the layer before.

    The layer is made once for each number of axes and stays, hidden: napari crashes
    where layers are removed and made anew in one go.

    Parameters
    ----------
    viewer
        Returns the viewer.
    on_drawn
        Called with the gesture and its points (n, ndim), in pixels of the image.
    on_change
        Called when a gesture begins or ends.
    """

    def __init__(
        self,
        viewer: Callable[[], Any],
        on_drawn: Callable[[Gesture, NDArray[np.float64]], None],
        on_change: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._on_drawn, self._on_change = viewer, on_drawn, on_change
        self._layers: dict[int, Shapes] = {}
        self._layer: Shapes | None = None
        self._before: Any = None
        self._first: NDArray[np.float64] | None = None  # of two clicks
        self.gesture: Gesture | None = None
        """The one that is waited for."""
        self.entry: AnnotatedImage | None = None
        """The image that it is drawn on."""
        self._timer = QTimer(self)  # napari is still busy with the shape when it tells
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._take)

    def begin(self, gesture: Gesture, entry: AnnotatedImage) -> None:
        """Wait for a gesture on an image."""
        self.end()
        layers = self._viewer().layers
        self._before = layers.selection.active
        self._layer = layer = self._shapes(entry)
        layer.visible = True
        layer.current_edge_width = 2 / self._viewer().scene.camera.zoom / _step(layer)
        self.gesture, self.entry, self._first = gesture, entry, None
        layers.selection.active = layer
        layer.mode = gesture.mode
        layers.selection.events.active.connect(self._on_active)
        self._on_change()

    def end(self) -> None:
        """Wait no more; the layer before is active again."""
        if self.gesture is None:
            return
        self._timer.stop()
        self.gesture = self.entry = self._first = None
        viewer, layer = self._viewer(), self._layer
        if viewer is not None and layer is not None:
            viewer.layers.selection.events.active.disconnect(self._on_active)
            if layer in viewer.layers:
                layer.mode = "pan_zoom"
                layer.data = []
                layer.visible = False
                if viewer.layers.selection.active is layer:
                    before = self._before if self._before in viewer.layers else None
                    viewer.layers.selection.active = before
        self._layer = self._before = None
        self._on_change()

    def _shapes(self, entry: AnnotatedImage) -> Shapes:
        """Return the layer to draw in, lying on an image; make it once."""
        layers, place = self._viewer().layers, transform_of(entry.image, entry.axes)
        ndim = len(entry.shape)
        layer = self._layers.get(ndim)
        if layer is None or layer not in layers:
            layer = Shapes(
                ndim=ndim, name="proofreading", metadata={ROLE: "proofread"}, **place
            )
            layer.current_edge_color, layer.current_face_color = _ORANGE, _TINT
            layer.bind_key("Escape", lambda _layer: self.end(), overwrite=True)
            layer.mouse_drag_callbacks.append(self._on_drag)
            layer.events.mode.connect(self._on_mode)
            self._layers[ndim] = layer
            layers.append(layer)
        else:
            for name, value in place.items():
                setattr(layer, name, value)
        return layer

    def _on_drag(self, _layer: Shapes, event: Any) -> Iterator[None]:
        """Look at what was drawn once the button is up: only then its end is right."""
        yield
        while event.type == "mouse_move":
            yield
        self._timer.start()

    def _on_active(self, _event: Any = None) -> None:
        """Give way to whoever chooses another layer."""
        if self._viewer().layers.selection.active is not self._layer:
            self.end()

    def _on_mode(self, _event: Any = None) -> None:
        """Give way to another tool of napari's: S, D and others are its keys here.

        Not to moving the view, for which the mode changes while space is held.
        """
        if self._layer is None or self.gesture is None:
            return
        if self._layer.mode not in (self.gesture.mode, "pan_zoom"):
            self.end()

    def _take(self) -> None:
        """Hand on what was drawn; of two clicks, wait for the second."""
        layer, gesture = self._layer, self.gesture
        if layer is None or gesture is None or not layer.nshapes or layer._is_creating:
            return  # a lasso that is drawn without holding the button is not closed yet
        points = np.asarray(layer.data[-1], np.float64)
        zoom = self._viewer().scene.camera.zoom
        is_click = np.ptp(points, axis=0).max() * _step(layer) * zoom < _CLICK_PX
        if gesture.name in _OF_TWO_POINTS and is_click:
            if self._first is None:
                self._first = points[0]
                layer.data = []
                return
            points = np.stack([self._first, points[0]])
        self.end()
        self._on_drawn(gesture, points)


def _step(layer: Shapes) -> float:
    """Return world units per pixel."""
    return float(abs(layer.scale[-1])) or 1.0
