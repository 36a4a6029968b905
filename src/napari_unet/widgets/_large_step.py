"""Many pixels painted as one step that can be undone, without holding up the window."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

__all__ = ["LargeStep"]

PIECE_PX = 2**20
"""Some 0.1 s of napari's painting; 64 million pixels at once would take 6 s."""

_RESTING = "pan_zoom"


def _take_up(layer: Labels, mode: str) -> None:
    if layer.mode == _RESTING:
        layer.mode = mode


class LargeStep(QObject):
    """Paints where nothing is, a piece in each turn of the event loop.

    The brush is laid down meanwhile (a layer that is not editable would forget what can
    be undone); who takes it up and paints makes more than one step of it, and loses
    nothing. Whoever copies the layer hears of the step when all of it is done.

    Signals
    -------
    finished : how many pixels were painted, and an array of their values
    given_up : the layer was given another array, which has no such pixels
    """

    finished = Signal(int, object)
    given_up = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._go_on)
        self._ending = ExitStack()
        self._layer: Labels | None = None

    @property
    def is_running(self) -> bool:
        """Whether pixels are still to be painted."""
        return self._layer is not None

    def start(
        self,
        layer: Labels,
        where: tuple[NDArray[np.int32], ...],
        values: NDArray[np.uint16],
    ) -> None:
        """Begin to paint; what fits into one piece is done when this returns."""
        self._layer, self._where, self._values = layer, where, values
        self._data = layer.data
        self._at = self._n_px = 0
        self._shown: NDArray[np.uint16] = values[:0]
        self._ending.enter_context(layer.block_history())
        self._go_on()
        if self.is_running:
            self._ending.callback(_take_up, layer, str(layer.mode))
            layer.mode = _RESTING
            self._timer.start()

    def stop(self) -> None:
        """Leave it at what is painted so far: one step still, and said to nobody."""
        self._timer.stop()
        layer, self._layer = self._layer, None
        self._ending.close()
        if layer is not None and self._n_px:
            layer.refresh()

    def _go_on(self) -> None:
        if self._layer is None or self._layer.data is not self._data:
            self.stop()
            self.given_up.emit()
            return
        try:
            self._paint_piece()
        except BaseException:
            self.stop()  # or the next turn fails again
            raise
        if self._at >= len(self._values):
            self.stop()
            self.finished.emit(self._n_px, self._shown)

    def _paint_piece(self) -> None:
        assert self._layer is not None
        piece = slice(self._at, self._at + PIECE_PX)
        self._at += PIECE_PX
        where, values = tuple(axis[piece] for axis in self._where), self._values[piece]
        is_free = np.asarray(self._layer.data[where]) == 0
        values = values[is_free]
        if len(values):
            where = tuple(axis[is_free] for axis in where)
            self._layer.data_setitem(where, values, refresh=False)
            self._n_px += len(values)
            self._shown = np.union1d(self._shown, values)
