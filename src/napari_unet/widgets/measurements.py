"""The dock *Measurements*: objects and classes as a table and a plot."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

from napari.layers import Image, Labels
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QProgressBar,
    QWidget,
)

from napari_unet.errors import NapariUnetError
from napari_unet.export import Table, measure_job, write_table
from napari_unet.jobs import CancelToken, JobEvent, Progress
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._bridge import Bridge
from napari_unet.widgets._dock import Dock
from napari_unet.widgets._layer_combo import LayerCombo
from napari_unet.widgets._measure_source import (
    Source,
    axes_of_labels,
    fitting_images,
    is_of_classes,
)
from napari_unet.widgets._measure_view import MeasureView
from napari_unet.widgets._measured_layer import MeasuredLayer
from napari_unet.widgets._notify import notify_error
from napari_unet.widgets._parts import Button, fill, label, row, sync_property, wrapping
from napari_unet.widgets._style import palette_of

__all__ = ["MeasurementsDock"]

_EMPTY = (
    "Choose labels and press Measure: each object becomes a row, with its size, shape "
    "and intensity. A click on a row, or on a point of the plot, goes to the object."
)
_NO_LABELS = (
    "There are no labels to measure yet: predict an image, or open a label image."
)
_PARTIAL = (
    "Only what you looked at was predicted. Use Predict whole image first to measure "
    "all of it."
)
_ARE_CLASSES = (
    "These labels are classes. To measure single objects, show Objects in the dock "
    "Interactive segmentation, and choose that layer."
)
_OUTDATED = "The labels changed since they were measured."
_TABLES = "Table (*.csv);;Parquet table (*.parquet)"


def save_job(
    _token: CancelToken, path: Path, table: Table
) -> Generator[JobEvent, None, Path]:
    """Write a table; returns the file."""
    yield from ()
    return write_table(path, table)


def _release(links: list[MeasuredLayer]) -> None:
    """Listen no more to layers that were measured."""
    while links:
        links.pop().release()


class MeasurementsDock(Dock):
    """Choose labels and an image; shows what is measured, and saves it.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        self.labels = LayerCombo(
            self._label_choices, self._on_labels, "The labels to measure."
        )
        self.image = LayerCombo(
            self._image_choices,
            self._on_image,
            "The image that intensities are measured of; none: sizes and shapes only.",
        )
        self.objects = Button("Objects", "", "left")
        self.classes = Button("Classes", "", "right")
        self.by_plane = QCheckBox("Each plane by itself")
        self.measure = Button("Measure", "", "primary")
        self.progress = QProgressBar()
        self.note = wrapping(part="muted")
        self.view = MeasureView(palette_of(self.state.viewer()))
        self.save = Button("Save table…", "export")
        self.result = wrapping()
        # one at most; a list, because what ends it must not hold the dock
        self._links: list[MeasuredLayer] = []
        self._wants_image = True
        self._pending: Callable[[], MeasuredLayer] | None = None
        self._bridge = Bridge(self)
        self._fill()
        self._connect()
        self.reset_choices()

    def _fill(self) -> None:
        rows = QButtonGroup(self)
        for button in (self.objects, self.classes):
            button.setCheckable(True)
            rows.addButton(button)
        self.objects.setChecked(True)
        self.by_plane.setToolTip(
            "Measure areas in each plane of the stack, instead of volumes."
        )
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.addWidget(label("Labels", "caption"), 0, 0)
        grid.addWidget(self.labels, 0, 1)
        grid.addWidget(label("Image", "caption"), 1, 0)
        grid.addWidget(self.image, 1, 1)
        grid.addWidget(label("Rows", "caption"), 2, 0)
        grid.addLayout(row(self.objects, self.classes, 1, spacing=0), 2, 1)
        grid.addWidget(self.by_plane, 3, 1)
        grid.setColumnStretch(1, 1)
        layout = self._column()
        layout.addLayout(grid)
        fill(layout, self.measure, self.progress, self.note)
        layout.addWidget(self.view, 1)
        layout.addLayout(row(self.save, 1))
        fill(layout, self.result)
        layout.addStretch(0)

    def _connect(self) -> None:
        self.measure.clicked.connect(self.toggle)
        self.save.clicked.connect(self._save)
        self.objects.clicked.connect(self.refresh)
        self.classes.clicked.connect(self.refresh)
        self.view.chosen.connect(self._go_to)
        self._bridge.received.connect(self._on_event)
        self._bridge.finished.connect(self._on_done)
        self._bridge.failed.connect(self._on_failed)
        self.state.renewed.connect(self.refresh)
        self._begin_colours()
        # napari deletes the widget with the window and tells it nothing else
        stop_worker, links = self._bridge.stop, self._links
        self.destroyed.connect(lambda: stop_worker())
        self.destroyed.connect(lambda: _release(links))

    def _coloured(self) -> Iterable[Any]:
        return self.measure, self.save, self.view

    # --- what is measured -----------------------------------------------------------

    def _label_choices(self) -> list[Labels]:
        layers = self.state.viewer().layers
        return [layer for layer in layers if isinstance(layer, Labels)]

    def _image_choices(self) -> list[Image]:
        return fitting_images(self.labels.value, self.state.viewer().layers)

    def _entry_of(self, layer: Labels | None) -> AnnotatedImage | None:
        """Return the image that a layer belongs to, if it is one of ours."""
        if layer is None:
            return None
        ours = (e for e in self.state.book if layer in (e.annotation, *e.predicted))
        return next(ours, None)

    def reset_choices(self, _event: Any = None) -> None:
        """Offer the layers there are; called by napari when layers come or go."""
        chosen, image = self.labels.value, self.image.value
        choices = self._label_choices()
        if chosen in choices:
            self.labels.show_layer(chosen)
            if image is None and self._wants_image:
                image = self._usual_image(chosen)
            self.image.show_layer(image)
            self.refresh()
            return
        entry = self.state.book.current
        predicted = [] if entry is None else [entry.objects, *entry.predicted]
        ours = [layer for layer in predicted if layer in choices]
        chosen = next(iter([*ours, *choices[::-1]]), None)
        self.labels.show_layer(chosen)
        self._on_labels(chosen)

    def _on_labels(self, layer: Labels | None) -> None:
        """Take the image that belongs to the labels, and say what a row may be."""
        entry = self._entry_of(layer)
        self._wants_image = True
        self.image.show_layer(self._usual_image(layer))
        is_of_ours = layer is not None and is_of_classes(layer, entry)
        (self.classes if is_of_ours else self.objects).setChecked(True)
        self.refresh()

    def _usual_image(self, layer: Labels | None) -> Image | None:
        """Return the image that labels are of, else one that they lie on."""
        entry, images = self._entry_of(layer), self._image_choices()
        if entry is not None and entry.image in images:
            return entry.image
        return images[-1] if images else None

    def _on_image(self, image: Image | None) -> None:
        self._wants_image = image is not None
        self.refresh()

    def toggle(self) -> None:
        """Measure on a worker thread, or stop that."""
        if self._bridge.is_running:
            self._bridge.cancel()
            return
        layer = self.labels.value
        if layer is None:
            return
        entry = self._entry_of(layer)
        source = Source(layer, self.image.value, entry, self.state.classes.names)
        per = "object" if self.objects.isChecked() else "class"
        try:
            options = source.options(per, by_plane=self.by_plane.isChecked())
        except NapariUnetError as error:
            self._on_failed(error)
            return
        viewer, axes = self.state.viewer(), options["axes"]
        self._pending = lambda: MeasuredLayer(viewer, layer, axes, self._on_news)
        self.progress.setValue(0)
        self._tell("")
        self._bridge.start(lambda token: measure_job(token, **options))
        self.refresh()

    def _on_event(self, event: JobEvent) -> None:
        if isinstance(event, Progress):
            self.progress.setValue(round(1000 * event.done / event.total))

    def _on_done(self, result: Table | Path | None) -> None:
        if isinstance(result, Path):
            self._tell(f"Saved {result}", "advice")
        elif result is None:
            self._tell("Stopped; nothing was measured.", "info")
        else:
            self._show(result)
        self.refresh()

    def _show(self, table: Table) -> None:
        assert self._pending is not None
        self.forget()
        self._links.append(self._pending())
        known = {entry.value: entry for entry in self.state.classes}
        self.view.show_table(table, {v: entry.colour for v, entry in known.items()})
        what = "object" if "label" in table else "class"
        n = table.n_rows
        ending = "" if n == 1 else "s" if what == "object" else "es"
        self._tell(f"{n:,} {what}{ending}" if n else f"There is no {what}.", "info")

    def forget(self) -> None:
        """Listen no more to the layer that was measured."""
        _release(self._links)

    @property
    def _measured(self) -> MeasuredLayer | None:
        """The layer of the table, before anything is measured None."""
        return self._links[0] if self._links else None

    def refresh(self) -> None:
        """Enable what can be done now, and say what the table would lack."""
        layer, is_running = self.labels.value, self._bridge.is_running
        entry = self._entry_of(layer)
        of_classes = layer is not None and is_of_classes(layer, entry)
        self.objects.offer(
            not of_classes, "One row per object, and time point.", _ARE_CLASSES
        )
        self.classes.setToolTip("One row per class: its area and share of the image.")
        self.by_plane.setVisible(self._has_planes(layer, entry))
        self.measure.set_caption("Stop" if is_running else "Measure")
        self.measure.offer(
            layer is not None,
            "Stop measuring." if is_running else "Measure these labels.",
            _NO_LABELS,
        )
        self.progress.setVisible(is_running)
        has_table = self.view.table.n_rows > 0
        self.view.setVisible(has_table)
        self.save.setVisible(has_table)
        self.save.offer(not is_running, "Save the table as CSV or Parquet.", "Busy …")
        notes = []
        if layer is None:
            notes.append(_NO_LABELS)
        elif not has_table and not is_running:
            notes.append(_EMPTY)
        if entry is not None and (
            (layer is entry.prediction and not entry.is_complete)
            or (layer is entry.objects and not entry.has_all_objects)
        ):
            notes.append(_PARTIAL)
        if self._measured is not None and self._measured.is_outdated:
            notes.append(_OUTDATED)
        self.note.setText("\n\n".join(notes))
        self.note.setVisible(bool(notes))

    def _has_planes(self, layer: Labels | None, entry: AnnotatedImage | None) -> bool:
        if layer is None:
            return False
        try:
            return "Z" in axes_of_labels(layer, self.image.value, entry)
        except NapariUnetError:
            return False

    # --- between table and viewer ---------------------------------------------------

    def _go_to(self, row_number: int) -> None:
        """Show an object in the viewer: a person chose its row or point."""
        if self._measured is not None:
            self._measured.go_to(self.view.table, row_number)

    def _on_news(self, row_label: int | None) -> None:
        """Follow the viewer: another label was chosen there, or the labels changed."""
        if row_label is not None and self._measured is not None:
            found = self._measured.find(self.view.table, row_label)
            if found is not None:
                self.view.select([found])
        self.refresh()

    # --- files ------------------------------------------------------------------------

    def _save(self) -> None:
        name = f"{self.labels.value.name if self.labels.value else 'table'}.csv"
        folder = self.state.stored.folder or Path.home()
        start = str(Path(folder) / name.replace("/", "-"))
        chosen, kind = QFileDialog.getSaveFileName(self, "Save table", start, _TABLES)
        if not chosen or self._bridge.is_running:
            return
        path = Path(chosen)
        if not path.suffix:
            path = path.with_name(
                path.name + (".parquet" if "parquet" in kind else ".csv")
            )
            if path.exists():  # about which nobody was asked
                self._tell(f"{path} is there already: choose it to replace it.")
                return
        table = self.view.table
        self._tell("Writing …")
        self._bridge.start(lambda token: save_job(token, path, table))
        self.refresh()

    def _on_failed(self, error: BaseException) -> None:
        sentence = notify_error(error)
        is_expected = isinstance(error, NapariUnetError)
        self._tell(sentence if is_expected else f"Stopped by {sentence}", "error")
        self.refresh()

    def _tell(self, text: str, level: str = "info") -> None:
        self.result.setText(text)
        self.result.setVisible(bool(text))
        sync_property(self.result, "level", level)
