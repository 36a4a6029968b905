"""The dock *Project* without a project: make one, open one, go on with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from napari_unet.project import SUFFIX
from napari_unet.widgets._parts import Button, fill, label, row, set_part, wrapping
from napari_unet.widgets._style import Palette

__all__ = ["StartSection", "ask_new_folder", "ask_project_folder"]

_WHAT = (
    "A project keeps images, strokes, settings and models together in one folder, and "
    "learns from all annotated images at once. What you have painted so far goes along "
    "into a new one."
)


def ask_new_folder(parent: QWidget) -> Path | None:
    """Ask for the name of a new folder; None where a person thought better of it."""
    start = Path.home() / f"images{SUFFIX}"
    path, _ = QFileDialog.getSaveFileName(
        parent,
        "New project: name of its folder",
        str(start),
        f"Project folder (*{SUFFIX})",
    )
    return Path(path) if path else None


def ask_project_folder(parent: QWidget) -> Path | None:
    """Ask for the folder of a project."""
    path = QFileDialog.getExistingDirectory(
        parent, "Open project: its folder", str(Path.home())
    )
    return Path(path) if path else None


class StartSection(QWidget):
    """Two sentences, two buttons, and the projects that were open lately.

    Signals
    -------
    make_wanted, open_wanted : Path of the folder
    """

    make_wanted = Signal(object)
    open_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.make = Button("New project …", "plus", "primary")
        self.open = Button("Open project …", "folder")
        self.make.setToolTip("Asks for a folder. What you have painted goes along.")
        self.open.setToolTip("Asks for the folder of a project.")
        self.recent: list[Button] = []
        self._caption = label("Open again", "caption")
        self._caption.hide()
        self._list = QVBoxLayout()
        self._list.setSpacing(2)
        self._palette: Palette | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        fill(layout, wrapping(_WHAT, "muted"))
        layout.addLayout(row(self.make, self.open))
        fill(layout, self._caption)
        layout.addLayout(self._list)
        self.make.clicked.connect(self._ask_make)
        self.open.clicked.connect(self._ask_open)

    def show_recent(self, folders: Sequence[Path]) -> None:
        """Offer projects that were open lately."""
        for button in self.recent:
            self._list.removeWidget(button)
            button.deleteLater()
        self.recent = [self._recent_button(folder) for folder in folders]
        fill(self._list, *self.recent)
        self._caption.setVisible(bool(folders))

    def _recent_button(self, folder: Path) -> Button:
        name = folder.name.removesuffix(SUFFIX)
        button = Button(f"{name}   in {_short(folder.parent)}", "folder")
        set_part(button, "entry")
        button.setToolTip(str(folder))
        button.clicked.connect(lambda: self.open_wanted.emit(folder))
        if self._palette is not None:
            button.set_palette(self._palette)
        return button

    def _ask_make(self) -> None:
        folder = ask_new_folder(self)
        if folder is not None:
            self.make_wanted.emit(folder)

    def _ask_open(self) -> None:
        folder = ask_project_folder(self)
        if folder is not None:
            self.open_wanted.emit(folder)

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self._palette = palette
        for button in (self.make, self.open, *self.recent):
            button.set_palette(palette)


def _short(folder: Path) -> str:
    """Return a folder as people write it, its middle left out where it is long."""
    try:
        text = f"~/{folder.relative_to(Path.home()).as_posix()}".removesuffix("/.")
    except ValueError:
        text = str(folder)
    return text if len(text) <= 30 else f"{text[:12]}…{text[-17:]}"
