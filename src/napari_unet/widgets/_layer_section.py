"""The top of the dock: which image, how its axes are read, which annotation."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QWidget

from napari_unet.widgets._layers import image_axes_choices
from napari_unet.widgets._parts import Button, eliding, fill, label, row
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["LayerSection"]

_AXES_TIP = (
    "How the image's axes are read: Z depth, T time, C channels, Y rows, X columns. "
    "The default follows the layer's axis labels, else the number of axes. Channels "
    "are learned from together; they have no strokes of their own."
)


class LayerSection(QWidget):
    """Shows the current image and annotation; the state decides what fits.

    Signals
    -------
    sample_wanted : name of a sample
    """

    sample_wanted = Signal(str)

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        book = state.book
        self.image = create_widget(
            widget_type="ComboBox",
            options={"choices": lambda _widget: book.image_choices(), "nullable": True},
        )
        self.annotation = create_widget(
            widget_type="ComboBox",
            options={
                "choices": lambda _widget: book.annotation_choices(),
                "nullable": True,
            },
        )
        self.image.native.setToolTip("The image to segment. Any image layer will do.")
        self.annotation.native.setToolTip(
            "The label layer with your strokes: 0 unlabelled, 1 background, 2, 3, ... "
            "the classes. Only you write into it."
        )
        self.info = eliding("muted")
        self.axes = QComboBox()
        self.axes.setToolTip(_AXES_TIP)
        self.new = Button("New", "plus")
        self._fill()
        self.image.changed.connect(self._on_image)
        self.annotation.changed.connect(self._on_annotation)
        self.axes.textActivated.connect(book.choose_axes)
        self.new.clicked.connect(lambda: book.new_annotation())

    def _fill(self) -> None:
        for box in (self.image.native, self.annotation.native, self.axes):
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        self.image.native.setMinimumContentsLength(8)
        self.annotation.native.setMinimumContentsLength(8)
        self.axes.setMinimumContentsLength(4)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.addWidget(label("Image", "caption"), 0, 0)
        grid.addWidget(self.image.native, 0, 1)
        facts = row(self.info, self.axes)
        facts.setStretch(0, 1)
        grid.addLayout(facts, 1, 1)
        grid.addWidget(label("Annotation", "caption"), 2, 0)
        last = row(self.annotation.native, self.new)
        last.setStretch(0, 1)
        grid.addLayout(last, 2, 1)
        grid.setColumnStretch(1, 1)

    def refresh(self) -> None:
        """Show what the state holds."""
        book = self._state.book
        entry = book.current
        self._sync(self.image, entry.image if entry else None)
        self._sync(self.annotation, entry.annotation if entry else None)
        self.annotation.enabled = entry is not None
        self.new.offer(
            entry is not None,
            "Make an annotation layer that lies on the image to the pixel, and take "
            "the brush.",
            "Choose an image first.",
        )
        self._refresh_axes()

    def _refresh_axes(self) -> None:
        entry = self._state.book.current
        choices = image_axes_choices(entry.image) if entry else []
        self.axes.setVisible(len(choices) > 1)
        if entry is None:
            self.info.setText("")
            return
        size = " × ".join(str(n) for n in entry.shape)
        colours = ", RGB" if entry.image.rgb else ""
        self.info.setText(f"{size} px, {entry.pixels.dtype}{colours}")
        if [self.axes.itemText(i) for i in range(self.axes.count())] != choices:
            self.axes.clear()
            self.axes.addItems(choices)
        self.axes.setCurrentText(entry.axes)

    def _sync(self, combo: Any, layer: Any) -> None:
        """Offer the layers there are and show one, without reporting a choice."""
        with combo.changed.blocked():
            combo.reset_choices()
            combo.value = layer if layer in combo.choices else None

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.new.set_palette(palette)

    def _on_image(self, image: Any) -> None:
        self._state.book.choose(image)

    def _on_annotation(self, layer: Any) -> None:
        self._state.book.annotate_in(layer)


class EmptySection(QWidget):
    """Stands in for the layers while the viewer has no image."""

    sample_wanted = Signal(str)

    def __init__(self, samples: dict[str, str]) -> None:
        super().__init__()
        from qtpy.QtWidgets import QVBoxLayout

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        text = label("Open an image, or try a sample:", "strong", wrap=True)
        self.buttons = {
            name: Button(title, "", "primary" if not i else "")
            for i, (name, title) in enumerate(samples.items())
        }
        for name, button in self.buttons.items():
            button.clicked.connect(lambda _on, name=name: self.sample_wanted.emit(name))
        buttons = row(*self.buttons.values())
        fill(layout, text)
        layout.addLayout(buttons)
        layout.setAlignment(Qt.AlignmentFlag.AlignTop)
