"""What is chosen before an export: labels, format, what the values mean, the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import FileError, NapariUnetError
from napari_unet.export import FORMATS, Format, format_of
from napari_unet.widgets._eliding import ElidingCombo
from napari_unet.widgets._layer_combo import LayerCombo
from napari_unet.widgets._parts import Button, ToolButton, label, row, wrapping

__all__ = ["ExportForm", "export_path"]


def export_path(text: str, suffix: str) -> Path:
    """Return the file that a typed text names; ``suffix`` is for one that has none.

    Raises
    ------
    FileError
        If it names no file, a folder, or a format that labels cannot be written to.
    """
    if not text.strip():
        raise FileError("Choose a file first.")
    try:
        path = Path(text.strip()).expanduser()
    except RuntimeError as error:
        raise FileError(
            f"{text} starts with the name of nobody who has a home folder here; "
            "choose another folder"
        ) from error
    is_store = path.suffix.lower() == ".zarr"
    if not path.name or (os.path.isdir(path) and not is_store):
        raise FileError(f"{path} is a folder; give the name of a file in it")
    if not path.suffix:
        path = path.with_name(f"{path.name}{suffix}")
    format_of(path)
    return path


class ExportForm(QWidget):
    """The rows of the dock *Export labels*.

    Parameters
    ----------
    choices
        Returns the label layers to offer.

    Signals
    -------
    layer_chosen : the layer, or None
    changed : anything else
    """

    layer_chosen = Signal(object)
    changed = Signal()

    def __init__(self, choices: Callable[[], Sequence[Any]]) -> None:
        super().__init__()
        self.labels = LayerCombo(choices, self.layer_chosen.emit)
        self.format = ElidingCombo("What other programs read.")
        self.about = wrapping(part="muted", n_lines=2)
        self.of_classes = Button("Classes", "", "left")
        self.of_objects = Button("Objects", "", "right")
        self.classes = LayerCombo(
            choices,
            lambda _layer: self.changed.emit(),
            "Labels that say which class each object has.",
        )
        self.path = QLineEdit()
        self.browse = ToolButton("folder", "Choose the file.")
        self.is_path_typed = False
        self._fill()
        self._connect()

    def _fill(self) -> None:
        kinds = QButtonGroup(self)
        for button in (self.of_classes, self.of_objects):
            button.setCheckable(True)
            kinds.addButton(button)
        self.of_classes.setChecked(True)
        self.of_classes.setToolTip("Each value is a class.")
        self.of_objects.setToolTip("Each value is the number of an object.")
        self.format.set_items([each.title for each in FORMATS.values()])
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        self._class_caption = label("Class of each", "caption")
        rows = (
            (label("Labels", "caption"), row(self.labels)),
            (
                label("Values are", "caption"),
                row(self.of_classes, self.of_objects, 1, spacing=0),
            ),
            (self._class_caption, row(self.classes)),
            (label("Format", "caption"), row(self.format)),
            (label("File", "caption"), row(self.path, self.browse)),
        )
        for number, (caption, content) in enumerate(rows):
            grid.addWidget(caption, number, 0)
            grid.addLayout(content, number, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(grid)
        layout.addWidget(self.about)
        self._tell()

    def _connect(self) -> None:
        for button in (self.of_classes, self.of_objects):
            button.clicked.connect(self._on_kind)
        self.format.activated.connect(self._on_format)
        self.path.textEdited.connect(self.on_typed)
        self.browse.clicked.connect(self._browse)

    @property
    def chosen(self) -> Format:
        """The format."""
        return list(FORMATS.values())[self.format.currentIndex()]

    @property
    def are_objects(self) -> bool:
        """Whether values are numbers of objects."""
        return self.of_objects.isChecked()

    def set_kind(self, are_objects: bool, classes: Any = None) -> None:
        """Say what the values are, and which layer tells the class of objects."""
        (self.of_objects if are_objects else self.of_classes).setChecked(True)
        self.classes.show_layer(classes)
        self._tell()

    def target(self) -> tuple[Path | None, str]:
        """Return the file that is named, or None and why it cannot be written."""
        try:
            return export_path(self.path.text(), self.chosen.suffixes[0]), ""
        except NapariUnetError as error:
            return None, str(error)

    def suggest(self, folder: Path, name: str) -> None:
        """Name a file, unless a person has typed one."""
        if not self.is_path_typed:
            file = f"{name}{self.chosen.suffixes[0]}".replace("/", "-")
            self.path.setText(str(folder / file))

    def on_typed(self, text: str) -> None:
        """Follow the suffix with the format; the text itself is hers."""
        self.is_path_typed = bool(text)
        try:
            found = format_of(text.strip())
        except FileError:  # a suffix is typed letter by letter
            found = self.chosen
        self.format.setCurrentIndex(list(FORMATS).index(found.name))
        self._tell()
        self.changed.emit()

    def _on_kind(self) -> None:
        self._tell()
        self.changed.emit()

    def _on_format(self, _index: int) -> None:
        path, _why_not = self.target()
        if path is not None:
            suffixes = format_of(path).suffixes
            ending = max((s for s in suffixes if _ends(path, s)), key=len)
            stem = path.name[: -len(ending)]
            self.path.setText(str(path.with_name(stem + self.chosen.suffixes[0])))
        self._tell()
        self.changed.emit()

    def _tell(self) -> None:
        chosen = self.chosen
        self.about.setText(f"Keeps {chosen.keeps}.\nLoses {chosen.loses}.")
        for piece in (self._class_caption, self.classes):
            piece.setVisible(self.are_objects)

    def _browse(self) -> None:
        filters = [
            f"{each.title} (*{' *'.join(each.suffixes)})" for each in FORMATS.values()
        ]
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Export labels",
            self.path.text(),
            ";;".join(filters),
            filters[self.format.currentIndex()],
        )
        if path:
            self.path.setText(path)
            self.on_typed(path)


def _ends(path: Path, suffix: str) -> bool:
    return path.name.lower().endswith(suffix)
