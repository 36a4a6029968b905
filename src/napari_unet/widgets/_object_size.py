"""The choice of how large the objects are, and what the learner made of it."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker

from napari_unet.widgets._eliding import ElidingCombo
from napari_unet.widgets._state import ViewerState

__all__ = ["OBJECT_SIZES", "ObjectSizeCombo"]

OBJECT_SIZES = {1: "up to {} px", 2: "up to {} px", 3: "larger than {} px"}
"""What is offered, by how many sizes of the image the network then sees."""

_LARGEST_PX = {1: 50, 2: 200, 3: 200}

_AUTOMATIC = "automatic"
_TIP = (
    "How large the objects are across, in px of the image. The network sees the image "
    "at full size, for larger objects also at half or a quarter, and so further around "
    "each pixel. 'automatic', the default, suits most images and says how far it sees. "
    "Choose yourself where large objects get holes or small ones run "
    "together. Your strokes stay; what Learn has trained begins again."
)


class ObjectSizeCombo(ElidingCombo):
    """Offers the sizes; the first item says what was chosen automatically."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__(_TIP)
        self._state = state
        self.addItem(_AUTOMATIC, None)
        for n_scales in OBJECT_SIZES:
            self.addItem("", n_scales)
        self.activated.connect(self._choose)

    def refresh(self) -> None:
        """Show what is set, and what was chosen where nothing is."""
        n_scales = self._state.n_scales
        reach_px = self._state.session.reach_px if n_scales is None else 0
        text = f"{_AUTOMATIC}: sees {reach_px} px" if reach_px else _AUTOMATIC
        with QSignalBlocker(self):
            self.setItemText(0, text)
            factor = self._state.config.downsampling
            for n, name in OBJECT_SIZES.items():
                size_px = _LARGEST_PX[n] * factor
                self.setItemText(self.findData(n), name.format(size_px))
            self.setCurrentIndex(self.findData(n_scales))
        self._tell()

    def _choose(self, index: int) -> None:
        self._state.set_scales(self.itemData(index))
