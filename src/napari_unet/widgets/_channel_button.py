"""Chooses which image layers are learned from together."""

from __future__ import annotations

from napari.layers import Image
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu

from napari_unet.config import MAX_CHANNELS
from napari_unet.widgets._parts import Button
from napari_unet.widgets._state import ViewerState

__all__ = ["ChannelButton"]

_TIP = (
    "Learn from several image layers at once, as channels of one image: a stain of the "
    "nuclei and one of the membranes, say. Layers of the same size and place are on "
    "offer. Other channels begin the learning again; the strokes stay."
)


class ChannelButton(Button):
    """Says how many channels there are; its menu checks and unchecks layers."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__("1 channel")
        self._state = state
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        self.setToolTip(_TIP)

    def refresh(self) -> None:
        """Show the number, where there is something to choose."""
        book = self._state.book
        if not self._menu.isVisible():
            self._menu.clear()  # it would keep layers that are gone
        self.setVisible(bool(book.channels.choices()))
        n = 1 if book.current is None else 1 + len(book.current.channels.layers)
        self.set_caption("1 channel" if n == 1 else f"{n} channels")

    def _fill(self) -> None:
        """Offer all layers at once, the image alone, and each of the others."""
        book = self._state.book
        entry, others = book.current, book.channels.choices()
        self._menu.clear()
        if entry is None:
            return
        chosen = list(entry.channels.layers)
        n_all = len(others) + 1
        title = f"All {n_all} layers of this size"
        can_all = chosen != others and n_all <= MAX_CHANNELS
        self._offer(title, others, is_enabled=can_all)
        alone = f"'{entry.image.name}' alone"
        self._offer(alone, [], is_enabled=bool(chosen))
        self._menu.addSeparator()
        for layer in others:
            is_in = layer in chosen
            changed = [i for i in others if (not is_in if i is layer else i in chosen)]
            self._offer(str(layer.name), changed, is_checked=is_in)

    def _offer(
        self,
        title: str,
        layers: list[Image],
        *,
        is_enabled: bool = True,
        is_checked: bool | None = None,
    ) -> None:
        """Add a choice of layers to the menu."""
        action = QAction(title, self._menu)
        action.setEnabled(is_enabled)
        if is_checked is not None:
            action.setCheckable(True)
            action.setChecked(is_checked)
        book = self._state.book
        action.triggered.connect(lambda _on: book.channels.choose(layers))
        self._menu.addAction(action)
