"""A combo box of layers that shows a choice without reporting it as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from magicgui.widgets import create_widget
from qtpy.QtWidgets import QComboBox

__all__ = ["LayerCombo"]


class LayerCombo:
    """magicgui's combo box, asked for its layers each time.

    Parameters
    ----------
    choices
        Returns the layers to offer.
    on_chosen
        Called with a layer, or None, when a person chose it.
    """

    def __init__(
        self,
        choices: Callable[[], Sequence[Any]],
        on_chosen: Callable[[Any], object],
    ) -> None:
        combo: object = create_widget(
            widget_type="ComboBox",
            options={"choices": lambda _widget: choices(), "nullable": True},
        )
        self._combo = cast(Any, combo)
        self.native: QComboBox = self._combo.native
        self.native.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.native.setMinimumContentsLength(4)
        self._combo.changed.connect(on_chosen)

    @property
    def value(self) -> Any:
        """The layer that is shown, or None."""
        return self._combo.value

    @value.setter
    def value(self, layer: Any) -> None:
        self._combo.value = layer

    @property
    def layers(self) -> list[Any]:
        """The layers on offer."""
        return [layer for layer in self._combo.choices if layer is not None]

    def show(self, layer: Any) -> None:
        """Offer the layers there are now and show one of them, or none."""
        with self._combo.changed.blocked():
            self._combo.reset_choices()
            self._combo.value = layer if layer in self.layers else None
