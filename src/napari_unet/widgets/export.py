"""The dock *Export labels*: a label layer to a file, written beside the GUI."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_unet.errors import NapariUnetError
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._export_job import export_job, export_path, label_options
from napari_unet.widgets._layer_combo import LayerCombo
from napari_unet.widgets._layers import mode_of
from napari_unet.widgets._notify import notify_error
from napari_unet.widgets._parts import (
    Button,
    ToolButton,
    fill,
    label,
    row,
    sync_property,
    wrapping,
)
from napari_unet.widgets._state import state_of
from napari_unet.widgets._stored_layer import store_of
from napari_unet.widgets._style import palette_of, style_sheet

__all__ = ["ExportDock"]

_PARTIAL = (
    "Only what you looked at was predicted. Use Predict whole image first to export "
    "all of it."
)


class ExportDock(QWidget):
    """Choose a label layer, a format and a file; says where the result went.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state_of(napari_viewer)
        self._saved: Path | None = None
        self._is_path_typed = False
        self.labels = LayerCombo(self._choices, self._on_layer)
        self.tiff = Button("TIFF", "", "left")
        self.png = Button("PNG", "", "right")
        self.tiff.setToolTip("Keeps scale, unit, class names and every plane. Default.")
        self.png.setToolTip("One plane, without scale and unit.")
        self.path = QLineEdit()
        self.browse = ToolButton("folder", "Choose the file.")
        self.export = Button("Export", "export", "primary")
        self.note = wrapping(part="muted")
        self.result = wrapping()
        self.show_folder = Button("Show in folder", "folder")
        self._bridge = Bridge(self)
        self._fill()
        self._connect()
        self.follow_theme()
        self.reset_choices()

    def _fill(self) -> None:
        self.setMinimumWidth(300)
        formats = QButtonGroup(self)
        for button in (self.tiff, self.png):
            button.setCheckable(True)
            formats.addButton(button)
        self.tiff.setChecked(True)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.addWidget(label("Labels", "caption"), 0, 0)
        grid.addWidget(self.labels, 0, 1)
        grid.addWidget(label("Format", "caption"), 1, 0)
        grid.addLayout(row(self.tiff, self.png, 1, spacing=0), 1, 1)
        grid.addWidget(label("File", "caption"), 2, 0)
        grid.addLayout(row(self.path, self.browse), 2, 1)
        grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(8)
        layout.addLayout(grid)
        fill(layout, self.note, self.export, self.result)
        layout.addLayout(row(self.show_folder, 1))
        layout.addStretch(1)
        self.show_folder.hide()

    def _connect(self) -> None:
        for button in (self.tiff, self.png):
            button.clicked.connect(self._on_format)
        self.path.textEdited.connect(self._on_typed)
        self.browse.clicked.connect(self._browse)
        self.export.clicked.connect(self.start)
        self.show_folder.clicked.connect(self._show_folder)
        self._bridge.finished.connect(self._on_saved)
        self._bridge.failed.connect(self._on_failed)
        self.state.renewed.connect(self.refresh)
        self.state.viewer().events.theme.connect(self.follow_theme)
        # napari deletes the widget with the window and tells it nothing else
        worker_of = self._bridge.stop
        self.destroyed.connect(lambda: worker_of())

    def follow_theme(self, _event: Any = None) -> None:
        """Take the colours of napari's theme."""
        palette = palette_of(self.state.viewer())
        self.setStyleSheet(style_sheet(palette))
        for piece in (self.export, self.browse, self.show_folder):
            piece.set_palette(palette)

    def _choices(self) -> list[Labels]:
        layers = self.state.viewer().layers
        return [layer for layer in layers if isinstance(layer, Labels)]

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the label layers there are; called by napari when layers come or go."""
        chosen = self.labels.value
        entry = self.state.book.current
        choices = self._choices()
        if chosen not in choices:
            prediction = None if entry is None else self._shown(entry)
            rest = choices[-1] if choices else None
            chosen = prediction if prediction in choices else rest
        self.labels.show_layer(chosen)
        self._on_layer(chosen)

    def start(self) -> None:
        """Write the file on a worker thread."""
        layer = self.labels.value
        path, _why_not = self._target()
        is_stored = layer is not None and store_of(layer) is not None
        if layer is None or path is None or self._bridge.is_running or is_stored:
            return
        entry = self._entry_of(layer)
        axes = entry.axes.replace("C", "") if entry is not None else None
        # the overlay goes on changing in place: the file gets what is there now
        data = layer.data.copy() if isinstance(layer.data, np.ndarray) else layer.data
        is_numbered = entry is not None and layer is entry.objects
        is_numbered = is_numbered or mode_of(layer) == "objects"
        names = {} if is_numbered else self.state.classes.names
        options = label_options(layer, axes, names)
        self.result.setText("Writing …")
        sync_property(self.result, "level", "info")
        self.show_folder.hide()
        self._bridge.start(lambda token: export_job(token, path, data, options))
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now and warn of what the file would lack."""
        layer = self.labels.value
        path, why_not = self._target()
        if layer is None:
            why_not = "There is no label layer yet."
        elif self._bridge.is_running:
            why_not = "Writing …"
        entry = self._entry_of(layer)
        stored = self._stored_text(layer)
        why_not = stored or why_not
        self.export.offer(not why_not, "Write the file.", why_not)
        notes = [stored] if stored else []
        if entry is not None and (
            (layer is entry.prediction and not entry.is_complete)
            or (layer is entry.objects and not entry.has_all_objects)
        ):
            notes.append(_PARTIAL)
        if stored:
            self.show_folder.setVisible(True)
        elif layer is not None and path is None:
            notes.append(why_not)
        elif layer is not None and path != self._saved and os.path.isfile(str(path)):
            notes.append("Replaces the file that is there.")
        self.note.setText("  ".join(notes))
        self.note.setVisible(bool(notes))

    def _stored_text(self, layer: Labels | None) -> str:
        """Say where labels are that are on disk already, and how far; else ``""``."""
        path = None if layer is None else store_of(layer)
        if path is None:
            return ""
        stored = self.state.stored.of(self._entry_of(layer))
        if stored is None or stored.path != path or stored.phase == "done":
            return f"Labels are in {path}"
        so_far = f"{stored.n_done:,} of {stored.n_tiles:,} tiles"
        return f"Labels are in {path}, so far {so_far}."

    def _target(self) -> tuple[Path | None, str]:
        """Return the file that is named, or None and why it cannot be written."""
        try:
            return export_path(self.path.text(), self._suffix), ""
        except NapariUnetError as error:
            return None, str(error)

    def _entry_of(self, layer: Labels | None) -> AnnotatedImage | None:
        """Return the image that a layer belongs to, if it is one of ours."""
        if layer is None:
            return None
        ours = (e for e in self.state.book if layer in (e.annotation, *e.predicted))
        return next(ours, None)

    def _shown(self, entry: AnnotatedImage) -> Labels | None:
        """Return the layer of the overlay that is shown."""
        if self.state.objects.is_on:
            return entry.objects
        return entry.stored or entry.prediction

    @property
    def _suffix(self) -> str:
        return ".tif" if self.tiff.isChecked() else ".png"

    def _on_layer(self, layer: Labels | None) -> None:
        if layer is not None and not self._is_path_typed:
            name = f"{layer.name}{self._suffix}".replace("/", "-")
            self.path.setText(str(Path.home() / name))
        self.refresh()

    def _on_format(self, _is_checked: bool) -> None:
        path, _why_not = self._target()
        if path is not None:
            self.path.setText(str(path.with_suffix(self._suffix)))
        self.refresh()

    def _on_typed(self, text: str) -> None:
        """Follow the suffix with the format; the text itself is hers."""
        self._is_path_typed = bool(text)
        suffix = os.path.splitext(text)[1].lower()
        if suffix in (".png", ".tif", ".tiff"):
            (self.png if suffix == ".png" else self.tiff).setChecked(True)
        self.refresh()

    def _browse(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export labels", self.path.text(), "Labels (*.tif *.tiff *.png)"
        )
        if path:
            self.path.setText(path)
            self._on_typed(path)

    def _on_saved(self, path: Path) -> None:
        self._saved = path
        self.state.stored.folder = path.parent
        size = path.stat().st_size
        text = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
        self._tell(f"Saved {path}  ({text})", "advice")
        self.show_folder.show()

    def _on_failed(self, error: BaseException) -> None:
        sentence = notify_error(error)
        is_expected = isinstance(error, NapariUnetError)
        self._tell(sentence if is_expected else f"Not written: {sentence}", "error")

    def _tell(self, text: str, level: str) -> None:
        self.result.setText(text)
        sync_property(self.result, "level", level)
        self.refresh()

    def _show_folder(self) -> None:
        layer = self.labels.value
        path = (None if layer is None else store_of(layer)) or self._saved
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))
