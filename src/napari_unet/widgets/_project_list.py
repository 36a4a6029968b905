"""The images of a project: how far each is, open one, say that it is done."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._parts import Button, eliding, fill, row
from napari_unet.widgets._project_rows import (
    FILTERS,
    ImageDetailed,
    ImageRow,
    is_passed,
    painted_text,
    summary_text,
    unsure_text,
)
from napari_unet.widgets._row_delegate import Look
from napari_unet.widgets._row_list import RowList
from napari_unet.widgets._style import Palette

__all__ = ["STATUS_COLOURS", "ImageSection"]

STATUS_COLOURS = {
    "todo": "#8C949C",
    "annotated": "#56B4E9",
    "corrected": "#E69F00",
    "done": "#009E73",
    "missing": "#D55E00",
}
"""Grey, then the palette of Okabe and Ito (2008); the word stands beside each."""

_PICTURE_PX = 40
_NEXT = (
    f"Open the next image that is not done ({KEYS['next_image']}), those without "
    "strokes first. The one you are at is saved, leaves the viewer, and goes on being "
    "learned from."
)
_NONE_CHOSEN = "Choose an image in the list first."


class ImageSection(QWidget):
    """The list of images, its filter, and what can be done with the chosen ones.

    Signals
    -------
    open_wanted : number
    next_wanted : the next unfinished image is asked for
    add_wanted : list of Path, files or folders
    done_wanted : (numbers, whether they are done)
    remove_wanted : numbers
    found : (number, Path) where a missing image is now
    """

    open_wanted = Signal(int)
    next_wanted = Signal()
    add_wanted = Signal(list)
    done_wanted = Signal(list, bool)
    remove_wanted = Signal(list)
    found = Signal(int, object)

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[int, ImageRow] = {}
        self._current: int | None = None
        self.summary = eliding("muted")
        self.add = Button("Add images …", "plus")
        self.next = Button("Next", "next", "primary", KEYS["next_image"])
        self.filter = QComboBox()
        self.search = QLineEdit()
        self.by_uncertainty = QCheckBox("least sure first")
        self.list = RowList(self._look, picture_px=_PICTURE_PX, is_multiple=True)
        self.open = Button("Open")
        self.done = Button("Done", "check")
        self.locate = Button("Find …")
        self.remove = Button("Remove")
        self._fill()
        self._connect()

    def _fill(self) -> None:
        self.filter.addItems(list(FILTERS))
        self.filter.setToolTip("Show only the images of one status.")
        self.search.setPlaceholderText("name")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Show only images with this in their name.")
        self.add.setToolTip("List files, or all images of a folder. None is opened.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(row(self.next, self.add))
        narrowing = row(self.filter, self.search)
        narrowing.setStretch(1, 1)
        layout.addLayout(narrowing)
        self.by_uncertainty.setToolTip(
            "List those first whose prediction is least sure; Next then opens them in "
            "this order. Known from 'napari-unet project predict'."
        )
        fill(layout, self.by_uncertainty)
        layout.addWidget(self.list, 1)
        fill(layout, self.summary)
        layout.addLayout(row(self.open, self.done, self.locate, self.remove, spacing=4))

    def _connect(self) -> None:
        self.filter.currentIndexChanged.connect(self._show)
        self.search.textChanged.connect(self._show)
        self.list.wanted.connect(self.open_wanted)
        self.list.changed.connect(self.refresh)
        self.add.clicked.connect(self._ask_add)
        self.by_uncertainty.toggled.connect(self._show)
        self.next.clicked.connect(self._on_next)
        self.open.clicked.connect(self._on_open)
        self.done.clicked.connect(self._on_done)
        self.remove.clicked.connect(
            lambda: self.remove_wanted.emit([row.number for row in self.list.chosen])
        )
        self.locate.clicked.connect(self._ask_place)

    # --- show -----------------------------------------------------------------------

    @property
    def rows(self) -> list[ImageRow]:
        """All images, whatever is filtered."""
        return list(self._rows.values())

    def show_rows(self, rows: tuple[ImageRow, ...]) -> list[int]:
        """Show these images; return the numbers of those that were not shown before."""
        before = self._rows
        self._rows = {}
        for shown in rows:
            known = before.get(shown.number)
            if known is not None and shown.n_px is None:
                shown = ImageRow(**{**vars(shown), "n_px": known.n_px})
            self._rows[shown.number] = shown
        self._show()
        return [number for number in self._rows if number not in before]

    def show_detail(self, event: ImageDetailed) -> None:
        """Show what is painted on an image, and its thumbnail."""
        if event.row.number in self._rows:
            self._rows[event.row.number] = event.row
            self.list.set_picture(event.row.number, event.picture)
            self._show()

    def clear(self) -> None:
        """Show another project's images from now on."""
        self._rows = {}
        self.list.forget_pictures()
        self.search.clear()
        self.filter.setCurrentIndex(0)
        self._show()

    def show_current(self, number: int | None) -> None:
        """Mark the image that is worked on."""
        if number == self._current:
            return
        self._current = number
        if number is not None:
            self.list.choose(number, only=True)
        self.list.refresh()
        self.refresh()

    def _show(self) -> None:
        counts = {
            name: sum(is_passed(row, name) for row in self._rows.values())
            for name in FILTERS
        }
        with QSignalBlocker(self.filter):
            for place, name in enumerate(FILTERS):
                self.filter.setItemText(place, f"{name} ({counts[name]:,})")
        chosen = FILTERS[self.filter.currentIndex()]
        text = self.search.text().strip()
        self.by_uncertainty.setVisible(any(r.unsure is not None for r in self.rows))
        self.list.show_rows(
            [row for row in self._in_order() if is_passed(row, chosen, text)]
        )
        self.summary.setText(summary_text(self.rows))
        self.refresh()

    def _in_order(self) -> list[ImageRow]:
        """Return the rows as they came, or the least certain ones first."""
        if not self.by_uncertainty.isChecked():
            return self.rows
        return sorted(self.rows, key=lambda r: 1 if r.unsure is None else -r.unsure)

    def refresh(self) -> None:
        """Enable what can be done with the chosen images; else say why not."""
        chosen = self.list.chosen
        one = chosen[0] if len(chosen) == 1 else None
        why = "Choose one image." if chosen else _NONE_CHOSEN
        is_lost = one is not None and one.is_missing
        self.open.offer(
            one is not None and not one.is_missing,
            "Open it in the viewer (double click, Enter).",
            "Its file is missing: say where it is with Find …" if is_lost else why,
        )
        self.locate.offer(
            is_lost,
            "Say where the file is now; others that lie beside it are found too.",
            "For an image whose file is missing." if chosen else _NONE_CHOSEN,
        )
        is_open = any(row.number == self._current for row in chosen)
        self.remove.offer(
            bool(chosen) and not is_open,
            "Take it out of the list. Its file and your strokes stay.",
            "It is open: go to another image first." if is_open else _NONE_CHOSEN,
        )
        are_done = bool(chosen) and all(row.is_done for row in chosen)
        self.done.set_caption("Not done" if are_done else "Done")
        self.done.offer(
            bool(chosen),
            f"Say that it is {'not ' if are_done else ''}done ({KEYS['done']} for the "
            "one that is open). Next passes over what is done.",
            _NONE_CHOSEN,
        )
        n_left = sum(not row.is_done for row in self._rows.values())
        why = "Every image is done." if self._rows else "Add images first."
        self.next.offer(n_left > 0, _NEXT, why)

    def _look(self, image: ImageRow) -> Look:
        return Look(
            title=image.name,
            badge=image.badge,
            colour=STATUS_COLOURS[image.badge],
            details_end=unsure_text(image.unsure) + painted_text(image.n_px),
            is_current=image.number == self._current,
            tip=f"{image.name}: {image.badge}\n{image.place}",
        )

    # --- ask ------------------------------------------------------------------------

    def _on_open(self) -> None:
        for image in self.list.chosen:
            self.open_wanted.emit(image.number)

    def _on_next(self) -> None:
        """Open the next unfinished image, or the least certain one."""
        known = [r for r in self._in_order() if r.unsure is not None]
        left = [
            r
            for r in known
            if not (r.is_done or r.is_missing or r.number == self._current)
        ]
        if self.by_uncertainty.isChecked() and left:
            self.open_wanted.emit(left[0].number)
        else:
            self.next_wanted.emit()

    def _on_done(self) -> None:
        chosen = self.list.chosen
        are_done = all(image.is_done for image in chosen)
        self.done_wanted.emit([image.number for image in chosen], not are_done)

    def _ask_add(self) -> None:
        menu = QMenu(self)
        menu.addAction("Files …", self._ask_files)
        menu.addAction("All images of a folder …", self._ask_folder)
        menu.exec(self.add.mapToGlobal(self.add.rect().bottomLeft()))

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add images", str(Path.home()))
        if paths:
            self.add_wanted.emit([Path(path) for path in paths])

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add images", str(Path.home()))
        if path:
            self.add_wanted.emit([Path(path)])

    def _ask_place(self) -> None:
        image = self.list.chosen[0]
        path, _ = QFileDialog.getOpenFileName(
            self, f"Where is {image.name} now?", str(Path(image.place).parent)
        )
        if path:
            self.found.emit(image.number, Path(path))

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        for piece in (self.add, self.next, self.open, self.done, self.locate):
            piece.set_palette(palette)
        self.remove.set_palette(palette)
        self.list.set_palette(palette)
