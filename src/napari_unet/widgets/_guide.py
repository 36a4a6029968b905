"""Where to paint next: asks for the least certain place, and goes there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_unet.config import GuidanceConfig
from napari_unet.jobs import JobEvent, RegionFound, UncertaintyMapped
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._live import LiveLoop
from napari_unet.widgets._place import Place, PlaceMark, go_to
from napari_unet.widgets._uncertainty import UncertaintyOverlay

__all__ = ["Guide", "why_here"]

_SURE = 0.1
"""Less is what smooth borders of objects have anyway."""

_HAND_MS = 50
"""How often a hand that paints is looked at, to move the view once it is lifted."""


def is_dragging() -> bool:
    """Tell whether a mouse button is held: the view must stay where it is."""
    return QApplication.mouseButtons() != Qt.MouseButton.NoButton


def why_here(score: float) -> str:
    """Return why a place was gone to; ``score`` is its mean uncertainty, 0..1."""
    if score < _SURE:
        return (
            f"Least sure here, and that is nearly sure: {score:.2f} of 1. Look for "
            "what is wrong instead."
        )
    return f"Least sure here: {score:.2f} of 1. If the overlay is wrong, correct it."


class Guide(QObject):
    """Leads from one uncertain place to the next, and shows uncertainty.

    Signals
    -------
    said : one sentence, why the viewer looks there
    """

    said = Signal(str)

    def __init__(
        self,
        viewer: Callable[[], Any],
        book: ImageBook,
        live: LiveLoop,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._book, self._live = viewer, book, live
        self.uncertainty = UncertaintyOverlay(book, live, self)
        self._mark = PlaceMark(self)
        self.config = GuidanceConfig()
        self._found: RegionFound | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_HAND_MS)
        self._timer.timeout.connect(self._go)

    def set_config(self, config: GuidanceConfig) -> None:
        """Measure uncertainty as the settings say."""
        self.config = config
        self.uncertainty.measure_by(config.uncertainty)

    def find_next(self) -> None:
        """Ask for the least certain place of the current image."""
        entry = self._book.current
        if entry is not None:
            self._live.send("find_uncertain", [entry.key])

    def toggle_uncertainty(self) -> None:
        """Show where the model is unsure, or hide it."""
        self.uncertainty.set_on(not self.uncertainty.is_on)

    def hear(self, event: JobEvent) -> bool:
        """Take an event of the job; False where it is not of these."""
        if isinstance(event, UncertaintyMapped):
            self.uncertainty.write(event)
        elif isinstance(event, RegionFound):
            self._found = event
            self._go()
        else:
            return False
        return True

    def stop(self) -> None:
        """Mark and draw nothing more: the dock closes."""
        self._timer.stop()
        self._found = None
        self._mark.hide()
        self.uncertainty.stop()

    def _go(self) -> None:
        """Show the place that was found, as soon as no stroke is being painted."""
        if self._found is not None and is_dragging():
            self._timer.start()
            return
        found, self._found = self._found, None
        if found is None:
            return
        entry = self._book.get(found.key)
        layer = None if entry is None else entry.prediction or entry.annotation
        if entry is None or layer is None:
            return  # its layers went while it was looked for
        self._book.choose(entry.image)
        place = Place(found.index, found.y, found.x, found.height, found.width)
        go_to(self._viewer(), layer, place)
        self._mark.show(self._book.layers, entry, place)
        self.said.emit(why_here(found.score))
