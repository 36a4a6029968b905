"""The dock *Export labels*: a label layer to a file, written beside the GUI."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.export import export_job
from napari_unet.jobs import CancelToken, JobEvent, Progress
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._export_form import ExportForm
from napari_unet.widgets._label_facts import LabelFacts, label_facts
from napari_unet.widgets._notify import notify_error
from napari_unet.widgets._parts import Button, fill, row, sync_property, wrapping
from napari_unet.widgets._stored_layer import store_of

__all__ = ["ExportDock"]

_PARTIAL = (
    "Only what you looked at was predicted. Use Predict whole image first to export "
    "all of it."
)

_COPIED_BYTES = 2**28


class ExportDock(Dock):
    """Choose a label layer, a format and a file; says where the result went.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self._saved: Path | None = None
        self.form = ExportForm(self._choices)
        self.export = Button("Export", "export", "primary")
        self.note = wrapping(part="muted")
        self.result = wrapping()
        self.show_folder = Button("Show in folder", "folder")
        self._bridge = Bridge(self)
        self._fill()
        self._connect()
        self.reset_choices()

    def _fill(self) -> None:
        layout = self._column()
        fill(layout, self.form, self.note, self.export, self.result)
        layout.addLayout(row(self.show_folder, 1))
        layout.addStretch(1)
        self.show_folder.hide()

    def _connect(self) -> None:
        self.form.layer_chosen.connect(self._on_layer)
        self.form.changed.connect(self.refresh)
        self.export.clicked.connect(self._on_export)
        self.show_folder.clicked.connect(self._show_folder)
        self._bridge.received.connect(self._on_event)
        self._bridge.finished.connect(self._on_saved)
        self._bridge.failed.connect(self._on_failed)
        self.state.renewed.connect(self.refresh)
        self._begin_colours()
        # napari deletes the widget with the window and tells it nothing else
        worker_of = self._bridge.stop
        self.destroyed.connect(lambda: worker_of())

    def _coloured(self) -> Iterable[Any]:
        return self.export, self.form.browse, self.show_folder

    def _choices(self) -> list[Labels]:
        layers = self.state.viewer().layers
        return [layer for layer in layers if isinstance(layer, Labels)]

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the label layers there are; called by napari when layers come or go."""
        before = chosen = self.form.labels.value
        entry = self.state.book.current
        choices = self._choices()
        if chosen not in choices:
            prediction = None if entry is None else self._shown(entry)
            rest = choices[-1] if choices else None
            chosen = prediction if prediction in choices else rest
        self.form.labels.show_layer(chosen)
        if chosen is not before:
            self._on_layer(chosen)
            return
        self.form.classes.show_layer(self.form.classes.value)
        self.refresh()

    def start(self) -> None:
        """Write the file on a worker thread."""
        layer = self.form.labels.value
        path, _why_not = self.form.target()
        is_growing = self._stored_text(layer)[1]
        if layer is None or path is None or self._bridge.is_running or is_growing:
            return
        facts = self._facts(layer)
        classes = self.form.classes.value if self.form.are_objects else None
        source = _source(layer)
        of_objects = None if classes is None else _source(classes)
        name = self.form.chosen.name
        entry = self._entry_of(layer)
        image = layer.name if entry is None else entry.image.name

        def job(token: CancelToken) -> Generator[JobEvent, None, Path | None]:
            return export_job(
                path,
                source(),
                token=token,
                format=name,
                class_labels=None if of_objects is None else of_objects(),
                name=image,
                **asdict(facts),
            )

        self.result.setText("Writing …")
        sync_property(self.result, "level", "info")
        self.show_folder.hide()
        self._bridge.start(job)
        self.refresh()

    def refresh(self) -> None:
        """Enable what can be done now and warn of what the file would lack."""
        layer = self.form.labels.value
        path, why_not = self.form.target()
        is_running = self._bridge.is_running
        self.export.set_caption("Cancel" if is_running else "Export")
        entry = self._entry_of(layer)
        stored, is_growing = self._stored_text(layer)
        if layer is None:
            why_not = "There is no label layer yet."
        elif is_growing:
            why_not = stored
        tip = "Stop writing; no file is left." if is_running else "Write the file."
        self.export.offer(is_running or not why_not, tip, why_not)
        notes = [stored] if stored else []
        if entry is not None and (
            (layer is entry.prediction and not entry.is_complete)
            or (layer is entry.objects and not entry.has_all_objects)
        ):
            notes.append(_PARTIAL)
        if stored:
            self.show_folder.setVisible(True)
        if layer is not None and path is None:
            notes.append(why_not)
        elif layer is not None and path != self._saved and os.path.exists(str(path)):
            notes.append("Replaces the file that is there.")
        self.note.setText("  ".join(notes))
        self.note.setVisible(bool(notes))

    def _facts(self, layer: Labels) -> LabelFacts:
        """Return what the file should say of a layer."""
        entry = self._entry_of(layer)
        names = None if entry is None else self.state.classes.names
        facts = label_facts(lambda name: getattr(layer, name), names)
        if entry is not None:
            facts = replace(facts, axes=entry.axes.replace("C", ""))
        if facts.are_objects != self.form.are_objects:  # a person knows better
            facts = replace(facts, are_objects=self.form.are_objects, class_colours={})
            if not facts.are_objects and facts.class_names.get(1) == "background":
                facts = replace(facts, background=1)
        return facts

    def _stored_text(self, layer: Labels | None) -> tuple[str, bool]:
        """Say where labels are that are on disk already; and whether they grow."""
        path = None if layer is None else store_of(layer)
        if path is None:
            return "", False
        stored = self.state.stored.of(self._entry_of(layer))
        if stored is None or stored.path != path or stored.phase == "done":
            return f"Labels are in {path}", False
        so_far = f"{stored.n_done:,} of {stored.n_tiles:,} tiles"
        return f"Labels are in {path}, so far {so_far}.", True

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

    def _on_layer(self, layer: Labels | None) -> None:
        if layer is not None:
            entry = self._entry_of(layer)
            is_cut = entry is not None and layer is entry.objects
            facts = label_facts(lambda name: getattr(layer, name))
            classes = entry.prediction if entry is not None and is_cut else None
            self.form.set_kind(facts.are_objects, classes)
            self.form.suggest(Path.home(), str(layer.name))
        self.refresh()

    def _on_export(self) -> None:
        if self._bridge.is_running:
            self._bridge.cancel()
        else:
            self.start()

    def _on_event(self, event: JobEvent) -> None:
        if isinstance(event, Progress):
            self.result.setText(f"Writing … {event.done / event.total:.0%}")

    def _on_saved(self, path: Path | None) -> None:
        if path is None:
            self._tell("Cancelled: nothing was written.", "info")
            return
        self._saved = path
        self.state.stored.folder = path.parent
        self._tell(f"Saved {path}{_size_text(path)}", "advice")
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
        layer = self.form.labels.value
        path = self._saved or (None if layer is None else store_of(layer))
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


def _source(layer: Labels) -> Callable[[], Any]:
    """Return what gives a layer's labels at full resolution, called on the worker."""
    store = store_of(layer)
    if store is not None:
        # what the layer shows has gaps where the live overlay is newer
        return lambda: _open_store(store)
    data = layer.data[0] if layer.multiscale else layer.data
    if not isinstance(data, np.ndarray) or isinstance(data, np.memmap):
        return lambda: data
    # the overlay goes on changing in place: the file gets what is there now, or a
    # moment later, where to copy it would freeze the window
    if data.nbytes > _COPIED_BYTES:
        return data.copy
    kept = data.copy()
    return lambda: kept


def _open_store(path: Path) -> Any:
    import zarr

    return zarr.open_array(path / "0", mode="r")


def _size_text(path: Path) -> str:
    """Return the size of a file, in brackets; nothing for a folder."""
    if path.is_dir():
        return ""
    size = path.stat().st_size
    return f"  ({size / 1e6:.1f} MB)" if size >= 1e5 else f"  ({size / 1e3:.1f} kB)"
