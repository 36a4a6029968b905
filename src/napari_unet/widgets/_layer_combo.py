"""A combo box of layers that shows a choice without reporting it as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QSignalBlocker

from napari_unet.widgets._eliding import ElidingCombo

__all__ = ["LayerCombo"]

_NONE = "none"


class LayerCombo(ElidingCombo):
    """Asks for its layers each time; the first item stands for no layer.

    Parameters
    ----------
    choices
        Returns the layers to offer.
    on_chosen
        Called with a layer, or None, when a person chose it.
    tip
        What the tooltip says below the layer's name.
    """

    def __init__(
        self,
        choices: Callable[[], Sequence[Any]],
        on_chosen: Callable[[Any], object],
        tip: str = "",
    ) -> None:
        super().__init__(tip)
        self._choices = choices
        self._layers: list[Any] = []
        self.addItem(_NONE)
        self.activated.connect(lambda _index: on_chosen(self.value))

    @property
    def value(self) -> Any:
        """The layer that is shown, or None."""
        index = self.currentIndex() - 1
        return self._layers[index] if 0 <= index < len(self._layers) else None

    @property
    def layers(self) -> list[Any]:
        """The layers on offer."""
        return list(self._layers)

    def show_layer(self, layer: Any) -> None:
        """Offer the layers there are now and show one of them, or none."""
        self._layers = list(self._choices())
        with QSignalBlocker(self):
            self.set_items([_NONE, *(str(offered.name) for offered in self._layers)])
            index = self._layers.index(layer) + 1 if layer in self._layers else 0
            self.setCurrentIndex(index)
        self._tell()
