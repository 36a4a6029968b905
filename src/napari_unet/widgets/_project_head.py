"""Which project is open, and what was done to it last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFrame, QMenu, QVBoxLayout, QWidget

from napari_unet.widgets._parts import (
    Button,
    ToolButton,
    eliding,
    row,
    set_part,
    wrapping,
)
from napari_unet.widgets._project_start import ask_new_folder, ask_project_folder
from napari_unet.widgets._style import Palette

__all__ = ["ProjectHead", "UndoBar"]


class ProjectHead(QWidget):
    """Name and folder of the project, and the way to another one.

    Signals
    -------
    make_wanted, open_wanted : Path of the folder
    close_wanted : the project is to be closed
    """

    make_wanted = Signal(object)
    open_wanted = Signal(object)
    close_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._folder: Path | None = None
        self.name = eliding("strong")
        self.folder = eliding("muted")
        self.show_folder = ToolButton("folder", "Show the project's folder.")
        self.more = ToolButton("more", "More: another project, close this one")
        first = row(self.name, self.show_folder, self.more, spacing=2)
        first.setStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(first)
        layout.addWidget(self.folder)
        self.show_folder.clicked.connect(self._show_folder)
        self.more.clicked.connect(self._open_menu)

    def show_project(self, name: str, folder: Path) -> None:
        """Show a project."""
        self._folder = folder
        self.name.setText(name)
        self.folder.setText(str(folder))

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.show_folder.set_palette(palette)
        self.more.set_palette(palette)

    def _show_folder(self) -> None:
        if self._folder is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._folder)))

    def _open_menu(self) -> None:
        menu = QMenu(self)
        menu.addAction("Open another project …", self._ask_open)
        menu.addAction("New project …", self._ask_make)
        menu.addSeparator()
        menu.addAction("Close project", self.close_wanted.emit)
        menu.exec(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _ask_open(self) -> None:
        folder = ask_project_folder(self)
        if folder is not None:
            self.open_wanted.emit(folder)

    def _ask_make(self) -> None:
        folder = ask_new_folder(self)
        if folder is not None:
            self.make_wanted.emit(folder)


class UndoBar(QFrame):
    """Says what was done last, and undoes it; hidden where there is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._undo: Callable[[], None] | None = None
        set_part(self, "tip")
        self.text = wrapping()
        self.button = Button("Undo")
        layout = row(self.text, self.button)
        layout.setContentsMargins(9, 5, 9, 5)
        layout.setStretch(0, 1)
        self.setLayout(layout)
        self.button.clicked.connect(self._on_clicked)
        self.hide()

    def offer(self, text: str, undo: Callable[[], None] | None) -> None:
        """Show what was done; with None it cannot be undone, or was undone itself."""
        self._undo = undo
        self.text.setText(text)
        self.button.setVisible(undo is not None)
        self.setVisible(bool(text))

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.button.set_palette(palette)

    def _on_clicked(self) -> None:
        undo, self._undo = self._undo, None
        if undo is not None:
            self.button.hide()
            undo()
