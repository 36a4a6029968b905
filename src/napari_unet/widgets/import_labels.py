"""The dock *Import labels*: labels that somebody has become annotation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog, QGridLayout, QWidget

from napari_unet.annotation.class_map import ClassMap
from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import NapariUnetError
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._label_import import (
    Pixels,
    Survey,
    import_job,
    survey_job,
)
from napari_unet.widgets._large_step import LargeStep
from napari_unet.widgets._layer_combo import LayerCombo
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
from napari_unet.widgets._proofread_sight import FreshIds
from napari_unet.widgets._value_table import ValueTable

__all__ = ["ImportDock"]

_NO_IMAGE = "Open an image first: the labels become its annotation."
_NO_LAYER = "Choose a label layer, or a file of labels."
_TIP = (
    "Paint the labels into the annotation, as one step that Ctrl+Z takes back. What is "
    "painted stays."
)
_READING = "Reading the labels …"
_PAINTING = "Painting the labels …"
_NOTHING = "Nothing was imported: all that is not ignored is painted already."
_PAINTED = "Nothing was imported: you painted meanwhile. Press Import again."
_EXCHANGED = "The import ended: the annotation was given another array meanwhile."
_LEFT = "Nothing was imported: another image or annotation was chosen meanwhile."


class ImportDock(Dock):
    """Choose labels, say what their values are, and paint them.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.labels = LayerCombo(self._choices, self._on_layer)
        self.browse = ToolButton("folder", "Open a file of labels.")
        self.table = ValueTable()
        self.note = wrapping(part="muted")
        self.run = Button("Import", "layers", "primary")
        self.result = wrapping()
        self._seen: tuple[Any, str] | None = None
        self._fresh: FreshIds | None = None
        self._goal: Labels | None = None  # the annotation that it was asked for,
        self._painted: TiledLabels | None = None  # as it was then
        self._survey = Bridge(self)
        self._import = Bridge(self)
        self._step = LargeStep(self)
        self._fill()
        self._connect()
        self.reset_choices()

    def _fill(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(label("Labels", "caption"), 0, 0)
        grid.addLayout(row(self.labels, self.browse), 0, 1)
        grid.setColumnStretch(1, 1)
        layout = self._column()
        layout.addLayout(grid)
        fill(layout, self.table, self.note, self.run, self.result, 1)

    def _connect(self) -> None:
        self.browse.clicked.connect(self._browse)
        self.run.clicked.connect(self.start)
        self._survey.finished.connect(self._on_surveyed)
        self._survey.failed.connect(self._on_failed)
        self._import.finished.connect(self._on_found)
        self._import.failed.connect(self._on_failed)
        self._step.finished.connect(self._on_painted)
        self._step.given_up.connect(lambda: self._tell(_EXCHANGED, "info"))
        self.state.changed.connect(self.refresh)
        self._begin_colours()
        # napari deletes the widget with the window and tells it nothing else
        stops = self._survey.stop, self._import.stop, self._step.stop
        self.destroyed.connect(lambda: [stop() for stop in stops])

    def _coloured(self) -> Iterable[Any]:
        return self.run, self.browse

    def _choices(self) -> list[Labels]:
        entry = self.state.book.current
        mine = None if entry is None else entry.annotation
        layers = self.state.viewer().layers
        return [i for i in layers if isinstance(i, Labels) and i is not mine]

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the label layers there are; called by napari when layers come or go."""
        choices = self._choices()
        chosen = self.labels.value
        self.labels.show_layer(chosen if chosen in choices else None)
        self._on_layer(self.labels.value)

    def refresh(self) -> None:
        """Show what the labels hold, as far as it is known, and what can be done."""
        if self.state.viewer() is None:
            return
        layer = self.labels.value
        if self._seen is not None and self._seen != (layer, self.state.mode):
            self._on_layer(layer)  # classes mean something else than objects
            return
        why_not = self._why_not(layer)
        busy = self._survey.is_running or self.is_running
        doing = _PAINTING if self._step.is_running else _READING
        self.note.setText(why_not or (doing if busy else self.table.note))
        self.note.setVisible(bool(self.note.text()))
        self.table.show_classes(self.state.classes)
        self.run.offer(
            not why_not and not busy and self.table.has_rows,
            _TIP,
            why_not or doing,
        )

    @property
    def is_running(self) -> bool:
        """Whether labels are being imported."""
        return self._import.is_running or self._step.is_running

    def _why_not(self, layer: Labels | None) -> str:
        """Say why these labels cannot become the annotation; ``""`` if they can."""
        entry = self.state.book.current
        if entry is None:
            return _NO_IMAGE
        if layer is None:
            return _NO_LAYER
        have, want = tuple(_array(layer).shape), tuple(entry.shape)
        if have != want:
            return (
                f"'{layer.name}' has {_size(have)} px, but '{entry.image.name}' needs "
                f"{_size(want)} px: labels must be of the same image."
            )
        return ""

    def _on_layer(self, layer: Labels | None) -> None:
        """Count the values of a layer, on a worker; what is chosen for them stays."""
        is_known = self.table.has_rows or self._survey.is_running
        if is_known and self._seen == (layer, self.state.mode):
            return
        self.table.clear()
        self._seen = layer, self.state.mode
        if layer is not None and not self._why_not(layer):
            self._survey.stop()
            data = _array(layer)
            self._survey.start(lambda token: survey_job(token, data))
        self.refresh()

    def _on_surveyed(self, found: Survey) -> None:
        self.table.show_values(found, self.state.mode, self.state.classes)
        self.refresh()

    def start(self) -> None:
        """Work out on a worker what is to be painted."""
        layer, entry = self.labels.value, self.state.book.current
        if layer is None or entry is None or self.is_running:
            return
        annotation = entry.annotation or self.state.book.new_annotation()
        if annotation is None:
            return
        self.state.painting.take()
        self._fresh = FreshIds(entry.copy, annotation)
        self._goal, self._painted = annotation, entry.copy
        try:
            class_map = self._class_map()
        except NapariUnetError as error:
            self._tell(str(error), "error")
            return
        data = _array(layer)
        self._import.start(lambda token: import_job(token, data, class_map))
        self._tell("", "info")

    def _class_map(self) -> ClassMap:
        """Return what the table says; new classes and numbers are made now."""
        if self.state.mode == "objects":
            assert self._fresh is not None
            return self.table.object_map(self._fresh.take)
        return self.table.class_map(lambda: self.state.classes.add().value)

    def _on_found(self, found: Pixels) -> None:
        goal = self._goal
        entry = self.state.book.current
        if entry is None or entry.annotation is None or entry.annotation is not goal:
            self._tell(_LEFT, "info")
            return
        self.state.painting.take()
        if entry.mode == "objects" and entry.copy is not self._painted:
            self._tell(_PAINTED, "info")  # maybe with the same numbers
            return
        if any(
            axis.max(initial=-1) >= n
            for axis, n in zip(found.where, entry.shape, strict=True)
        ):
            self._tell(_EXCHANGED, "info")
            return
        self._step.start(goal, found.where, found.values)
        self.refresh()

    def _on_painted(self, n_px: int, values: Any) -> None:
        if not n_px:
            self._tell(_NOTHING, "info")
            return
        goal = self._goal
        if goal in self.state.book.layers:
            self.state.book.layers.selection.active = goal  # Ctrl+Z is for it
        of_objects = self.state.mode == "objects"
        n_values = (
            int(np.count_nonzero(values > BACKGROUND)) if of_objects else len(values)
        )
        one, more = ("object", "objects") if of_objects else ("class", "classes")
        self._tell(
            f"Imported {n_px:,} px of {n_values:,} {one if n_values == 1 else more}."
            " Ctrl+Z takes it back.",
            "advice",
        )

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Labels", "", "Labels (*.tif *.tiff *.png *.npy);;All files (*)"
        )
        if path:
            self.open(path)

    def open(self, path: str) -> None:
        """Open a file as a label layer, as napari reads it, and choose that."""
        try:
            layers = self.state.viewer().open(path, layer_type="labels", stack=False)
        except Exception as error:  # a reader may fail in any way
            self._tell(f"{path} could not be read as labels: {error}", "error")
            return
        self.labels.show_layer(layers[0])
        self._on_layer(layers[0])

    def _on_failed(self, error: BaseException) -> None:
        self._tell(notify_error(error), "error")

    def _tell(self, text: str, level: str) -> None:
        self.result.setText(text)
        sync_property(self.result, "level", level)
        self.refresh()


def _array(layer: Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
