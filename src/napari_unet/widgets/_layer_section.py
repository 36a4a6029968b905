"""The top of the dock: image and axes, annotation, how large the objects are."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from napari_unet.widgets._channel_button import ChannelButton
from napari_unet.widgets._eliding import ElidingCombo
from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._layer_combo import LayerCombo
from napari_unet.widgets._layers import image_array, image_axes_choices
from napari_unet.widgets._object_size import ObjectSizeCombo
from napari_unet.widgets._parts import Button, eliding, fill, label, row, wrapping
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["LayerSection"]

_IMAGE_TIP = "The image to segment. Any image layer will do."
_ANNOTATION_TIP = (
    "The label layer that you paint in: 0 unlabelled, 1 background, 2, 3, ... the "
    "classes, or the objects. Only you write into it."
)
_AXES_TIP = (
    "How the image's axes are read: Z depth, T time, C channels, Y rows, X columns. "
    "The default follows the layer's axis labels, else the number of axes. Channels "
    "are learned from together; they have no strokes of their own."
)


class LayerSection(QWidget):
    """Shows the current image and annotation; the state decides what fits."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        book = state.book
        self.image = LayerCombo(book.image_choices, book.choose, _IMAGE_TIP)
        self.annotation = LayerCombo(
            book.annotation_choices, book.annotate_in, _ANNOTATION_TIP
        )
        self.info = eliding("muted")
        self.channels = ChannelButton(state)
        self.axes = ElidingCombo(_AXES_TIP)
        self.objects = ObjectSizeCombo(state)
        self.new = Button("New", "plus", key=KEYS["new"])
        self._fill()
        self.axes.textActivated.connect(book.choose_axes)
        self.new.clicked.connect(lambda: book.new_annotation())

    def _fill(self) -> None:
        self.axes.setMinimumContentsLength(4)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(3)
        grid.addWidget(label("Image", "caption"), 0, 0)
        grid.addWidget(self.image, 0, 1)
        facts = row(self.info, self.channels, self.axes)
        facts.setStretch(0, 1)
        grid.addLayout(facts, 1, 0, 1, 2)
        grid.addWidget(label("Annotation", "caption"), 2, 0)
        last = row(self.annotation, self.new)
        last.setStretch(0, 1)
        grid.addLayout(last, 2, 1)
        grid.addWidget(label("Object size", "caption"), 3, 0)
        grid.addWidget(self.objects, 3, 1)
        grid.setColumnStretch(1, 1)

    def refresh(self) -> None:
        """Show what the state holds."""
        book = self._state.book
        entry = book.current
        self.image.show_layer(entry.image if entry else None)
        self.annotation.show_layer(entry.annotation if entry else None)
        self.annotation.setEnabled(entry is not None)
        has_annotation = entry is not None and entry.annotation is not None
        # then its name needs the room more
        self.new.set_caption("" if has_annotation else "New")
        self.new.offer(
            entry is not None,
            "Make an annotation layer that lies on the image to the pixel, and take "
            f"the brush ({KEYS['new']}).",
            "Choose an image first.",
        )
        self.objects.refresh()
        self.channels.refresh()
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
        self.info.setText(f"{size} px, {image_array(entry.image).dtype}{colours}")
        self.axes.set_items(choices)
        self.axes.setCurrentText(entry.axes)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.new.set_palette(palette)


class EmptySection(QWidget):
    """Stands in for the layers while the viewer has no image.

    Signals
    -------
    sample_wanted : name of a sample
    """

    sample_wanted = Signal(str)

    def __init__(self, samples: dict[str, str]) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        text = wrapping("Drag an image in, or try a sample:", "strong")
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
