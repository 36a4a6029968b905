"""The overlay of uncertainty: an image layer for each image, made when it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_unet.config import UncertaintyMeasure
from napari_unet.jobs import UncertaintyMapped
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._layers import (
    ROLE,
    SHOWN_OF,
    add_below,
    follow,
    is_rectangle_inside,
    transform_of,
)
from napari_unet.widgets._live import LiveLoop

__all__ = ["UncertaintyOverlay"]

REDRAW_MS = 150
"""A plane of 4096 x 4096 px takes as long to draw."""


class UncertaintyOverlay(QObject):
    """Whether uncertainty is shown, and the layers in which it is, in %.

    Nothing is computed for it while it is off.

    Signals
    -------
    changed : shown or not
    """

    changed = Signal()

    def __init__(
        self, book: ImageBook, live: LiveLoop, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._book, self._live = book, live
        self.is_on = False
        self.measure: UncertaintyMeasure = "entropy"
        self._layers: WeakKeyDictionary[AnnotatedImage, Image] = WeakKeyDictionary()
        self._releases: WeakKeyDictionary[AnnotatedImage, Callable[[], None]] = (
            WeakKeyDictionary()
        )
        self._stale: set[Image] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._redraw)
        book.changed.connect(self._on_book_changed)

    def layer_of(self, entry: AnnotatedImage) -> Image | None:
        """Return the layer of an image, if it has one that is still there."""
        layer = self._layers.get(entry)
        if layer is not None and layer not in self._book.layers:
            self._let_go(entry)
            return None
        return layer

    def set_on(self, is_on: bool) -> None:
        """Show uncertainty, or hide it and compute none."""
        if is_on == self.is_on:
            return
        self.is_on = is_on
        entry = self._book.current
        if is_on and entry is not None:
            self._make(entry)
        for other in self._book:
            layer = self.layer_of(other)
            if layer is not None:
                layer.visible = is_on
        self._live.map_uncertainty(is_on, self.measure)
        self.changed.emit()

    def measure_by(self, measure: UncertaintyMeasure) -> None:
        """Measure differently: also what regions are ranked by."""
        if measure != self.measure:
            self.measure = measure
            self._live.map_uncertainty(self.is_on, measure)

    def write(self, part: UncertaintyMapped) -> None:
        """Write a map into its layer, in place; it is drawn in a moment."""
        entry = self._book.get(part.key)
        layer = None if entry is None else self.layer_of(entry)
        if not self.is_on or layer is None:
            return
        percent = np.asarray(part.percent)
        if not is_rectangle_inside(part.index, part.y, part.x, percent, layer.data):
            return
        y1, x1 = part.y + percent.shape[0], part.x + percent.shape[1]
        layer.data[part.index][part.y : y1, part.x : x1] = percent
        self._stale.add(layer)
        if not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Draw no more: the dock closes."""
        self._timer.stop()

    def _make(self, entry: AnnotatedImage) -> None:
        if self.layer_of(entry) is not None:
            return
        layer = Image(
            np.zeros(entry.shape, np.uint8),
            name=f"{entry.image.name} uncertainty (%)",
            colormap="magma",
            blending="additive",
            contrast_limits=(0, 100),
            metadata={ROLE: "uncertainty", SHOWN_OF: entry.key},
            rgb=False,
            **transform_of(entry.image, entry.axes),
        )
        self._layers[entry] = layer
        self._releases[entry] = follow(layer, entry.image, entry.axes)
        add_below(self._book.layers, layer, entry.prediction or entry.annotation)

    def _let_go(self, entry: AnnotatedImage) -> None:
        self._layers.pop(entry, None)
        release = self._releases.pop(entry, None)
        if release is not None:
            release()

    def _on_book_changed(self) -> None:
        """Go with the image that is worked on; a layer that was deleted ends it."""
        entry = self._book.current
        if not self.is_on or entry is None:
            return
        had_layer = entry in self._layers
        if self.layer_of(entry) is None and had_layer:
            self.set_on(False)  # made anew in the middle of a removal, napari crashes
        else:
            self._make(entry)

    def _redraw(self) -> None:
        stale, self._stale = self._stale, set()
        for layer in stale:
            layer.refresh(extent=False, thumbnail=True, highlight=False)
