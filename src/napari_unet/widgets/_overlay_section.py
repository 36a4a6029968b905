"""The overlay's controls, and the two ways to take a result away."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QGridLayout,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets._guide_row import GuideButtons
from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._objects_row import ObjectsRow
from napari_unet.widgets._parts import Button, label, row
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._store_row import StoreRow
from napari_unet.widgets._style import Palette

__all__ = ["OverlaySection"]


class OverlaySection(QWidget):
    """Live, opacity, fill or outline, classes or objects; predict everything; export.

    Signals
    -------
    export_wanted : the export dock should open
    """

    export_wanted = Signal()

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        overlay = state.overlay
        self.live = QCheckBox("live")
        self.live.setToolTip(
            "Renew what you look at by itself, after each stroke and each better "
            "model. On by default."
        )
        self.hide_button = Button("Hide", key=KEYS["hide"])
        self.hide_button.setToolTip(
            f"Hide the overlay while pressed, or while {KEYS['hide']} is held; "
            f"{KEYS['annotation']} hides what you painted."
        )
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(5, 100)
        self.opacity.setToolTip("Opacity of the overlay, %. 50 % by default.")
        self.filled = Button("Filled", "", "left")
        self.outline = Button("Outline", "", "right", KEYS["outline"])
        self.outline.setToolTip(
            f"Filled areas or their outlines ({KEYS['outline']}). Outlines are "
            "drawn more slowly on large images."
        )
        self.filled.setToolTip(self.outline.toolTip())
        group = QButtonGroup(self)
        for button in (self.filled, self.outline):
            button.setCheckable(True)
            group.addButton(button)
        self.guide = GuideButtons(state)
        self.store = StoreRow(state)
        self.predict = Button("Predict whole image", key=KEYS["predict"])
        self.export = Button("Export", key=KEYS["export"])
        self._fill()
        pieces: list[QWidget] = [
            self.live,
            self.opacity,
            self.filled,
            self.outline,
            self.hide_button,
            self.guide.show_map,
        ]
        pieces += self.objects.pieces
        self._tips: dict[QWidget, str] = {piece: piece.toolTip() for piece in pieces}
        self.live.toggled.connect(overlay.set_live)
        self.opacity.valueChanged.connect(lambda v: overlay.set_opacity(v / 100))
        self.outline.toggled.connect(overlay.set_outline)
        self.hide_button.pressed.connect(overlay.hide)
        self.hide_button.released.connect(overlay.unhide)
        self.predict.clicked.connect(state.predict_all)
        self.export.clicked.connect(self.export_wanted)

    def _fill(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.addWidget(label("Overlay", "caption"), 0, 0)
        grid.addLayout(row(self.live, self.guide.show_map, 1, self.hide_button), 0, 1)
        grid.addWidget(label("Opacity", "muted"), 1, 0)
        style = row(self.filled, self.outline, spacing=0)
        second = row(self.opacity)
        second.addLayout(style)
        second.setStretch(0, 1)
        second.setSpacing(10)
        grid.addLayout(second, 1, 1)
        self.objects = ObjectsRow(self._state, grid, 2)
        grid.setColumnStretch(1, 1)
        last = row(self.predict, self.guide.next)
        last.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(grid)
        layout.addLayout(last)
        layout.addWidget(self.store)

    def refresh(self) -> None:
        """Show what the state holds."""
        style = self._state.overlay.style
        for widget, value in (
            (self.live, self._state.overlay.is_live),
            (self.outline, style.is_outline),
            (self.filled, not style.is_outline),
        ):
            with QSignalBlocker(widget):
                widget.setChecked(value)
        with QSignalBlocker(self.opacity):
            self.opacity.setValue(round(style.opacity * 100))
        self.objects.refresh()
        self.guide.refresh()
        entry = self._state.book.current
        has_image = entry is not None
        for piece in self._tips:
            piece.setEnabled(has_image)
        self.export.offer(
            has_image,
            f"Write labels to a file: TIFF, PNG ({KEYS['export']}).",
            "Open an image first.",
        )
        why_not = "" if has_image else "Open an image first."
        for piece, tip in self._tips.items():
            piece.setToolTip(why_not or tip)
        self.store.refresh()
        self.predict.set_caption(self.store.caption)
        why_not = self._state.why_not if not self._state.can_learn else ""
        why_not = why_not or self.store.why_not
        self.predict.offer(
            has_image and not why_not,
            "Predict every plane of the image with what is shown, not only the part "
            f"you look at ({KEYS['predict']}).",
            why_not,
        )

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        for button in (self.hide_button, self.predict, self.export):
            button.set_palette(palette)
        self.guide.set_palette(palette)
        self.store.set_palette(palette)
