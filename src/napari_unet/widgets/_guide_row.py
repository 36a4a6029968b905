"""Two controls for where to paint next: go there, and see it."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox

from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._parts import Button
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["GuideButtons"]

_NEXT = (
    "Next uncertain region: go to where the model is least sure of what is not "
    f"painted; again: to the next ({KEYS['uncertain']}). It may be sure and wrong "
    "elsewhere: look there too."
)
_SHOW = (
    "Show how unsure the model is, 0 to 100 %, in an image layer of its own "
    f"({KEYS['uncertainty']}). Off by default; nothing is computed for it then."
)


class GuideButtons:
    """*Next uncertain*, and a switch for the overlay of uncertainty.

    The section of the overlay has room for them in rows that are there anyway.
    """

    def __init__(self, state: ViewerState) -> None:
        self._state = state
        self.next = Button("Next uncertain", key=KEYS["uncertain"])
        self.show_map = QCheckBox("unsure")
        self.show_map.setToolTip(_SHOW)
        self.next.clicked.connect(state.next_uncertain)
        self.show_map.toggled.connect(state.guide.uncertainty.set_on)

    def refresh(self) -> None:
        """Show what the state holds."""
        state = self._state
        has_image = state.book.current is not None
        self.next.offer(has_image and state.can_learn, _NEXT, state.why_not)
        with QSignalBlocker(self.show_map):
            self.show_map.setChecked(state.guide.uncertainty.is_on)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.next.set_palette(palette)
