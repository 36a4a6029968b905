"""The dock *Interactive segmentation*: paint, learn, look, take away."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, QTimer
from qtpy.QtWidgets import QFileDialog, QMenu, QVBoxLayout, QWidget

from napari_unet.errors import NapariUnetError
from napari_unet.export import model_path
from napari_unet.widgets._border_weights import BorderWeights
from napari_unet.widgets._docked import Docked
from napari_unet.widgets._export_model import ModelExporter
from napari_unet.widgets._help import HelpPage
from napari_unet.widgets._layer_section import EmptySection, LayerSection
from napari_unet.widgets._learn_section import LearnSection
from napari_unet.widgets._live import JobFactory, live_job
from napari_unet.widgets._open import open_dock
from napari_unet.widgets._overlay_section import OverlaySection
from napari_unet.widgets._paint_section import PaintSection
from napari_unet.widgets._parts import (
    TipLine,
    ToolButton,
    eliding,
    fill,
    line,
    row,
    sync_property,
    wrapping,
)
from napari_unet.widgets._project_line import OfferCard, ProjectLine
from napari_unet.widgets._samples import SAMPLE_TITLES, add_sample
from napari_unet.widgets._tips import tip_text

__all__ = ["SegmentationDock"]

REFRESH_MS = 50
"""Repaints are bundled: each one makes napari compose the canvas anew."""


class SegmentationDock(Docked):
    """The main dock.

    Parameters
    ----------
    napari_viewer
        The viewer, given by napari because of the parameter's name.
    make_job
        What the worker runs; the real learner unless a test says otherwise.
    """

    def __init__(
        self,
        napari_viewer: Any,
        parent: QWidget | None = None,
        *,
        make_job: JobFactory = live_job,
    ) -> None:
        super().__init__(napari_viewer, parent, make_job=make_job)
        self.empty = EmptySection(SAMPLE_TITLES)
        self.layers = LayerSection(self.state)
        self.paint = PaintSection(self.state)
        self.classes, self.objects = self.paint.class_table, self.paint.object_table
        self.tip = TipLine()
        self.learning = LearnSection(self.state)
        self.overlay = OverlaySection(self.state)
        self.message = wrapping()
        self.offer = OfferCard(self.state.project)
        self.project = ProjectLine(self.state.project)
        self.device = eliding("muted")
        self.more = ToolButton("more", "More: curves, save the model, start over")
        self.border_weights = BorderWeights(self.state)
        self.exporter = ModelExporter(self.state)
        self.help = ToolButton("help", "How to work with this dock, and the keys")
        self._sections = (self.layers, self.paint, self.learning, self.overlay)
        self._fill()
        self._connect()
        self._open()

    def _fill(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 6, 10, 4)
        layout.setSpacing(4)
        fill(layout, self.offer, self.empty, self.layers, self.paint, self.tip, line())
        fill(layout, self.learning, line(), self.overlay, line(), self.message, 1)
        fill(layout, self.project)
        foot = row(self.device, self.overlay.export, self.help, self.more, spacing=2)
        foot.setStretch(0, 1)
        layout.addLayout(foot)

    def _connect(self) -> None:
        self._age_timer = QTimer(self)
        self._age_timer.setInterval(1000)
        self._age_timer.timeout.connect(self.learning.refresh_age)
        self._age_timer.timeout.connect(self.project.refresh)
        self._refresh_timer = QTimer(self)
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.setInterval(REFRESH_MS)
        self._refresh_timer.timeout.connect(self.refresh)
        self.empty.sample_wanted.connect(self._open_sample)
        self.overlay.export_wanted.connect(lambda: self._open_dock("Export labels"))
        self.help.clicked.connect(lambda: HelpPage(self).open_at(self.help))
        self.more.clicked.connect(self._open_menu)
        self.project.wanted.connect(lambda: self._open_dock("Project"))

    # --- life ----------------------------------------------------------------------

    def _follow(self) -> None:
        """Follow the viewer; also when a closed dock is docked again."""
        self.state.changed.connect(self._refresh_soon)
        self.state.renewed.connect(self._refresh_soon)
        self._begin_colours()
        self.state.resume()
        self._age_timer.start()
        self.refresh()
        # napari deletes the widget with the window and tells it nothing else
        self.destroyed.connect(self.state.end)

    def _unfollow(self) -> None:
        """Stop the worker: the dock was closed with its X."""
        self.destroyed.disconnect(self.state.end)
        self._age_timer.stop()
        self._refresh_timer.stop()
        self.border_weights.stop()
        self.exporter.stop()
        self.state.changed.disconnect(self._refresh_soon)
        self.state.renewed.disconnect(self._refresh_soon)
        self.state.viewer().events.theme.disconnect(self.follow_theme)
        self.state.suspend()

    # --- show ----------------------------------------------------------------------

    def _coloured(self) -> Iterable[Any]:
        rest = self.tip, self.help, self.more, self.project, self.offer
        return *self._sections, *rest

    def refresh(self) -> None:
        """Show what the state holds."""
        if self.state.viewer() is None:  # it closed before the timer rang
            return
        session = self.state.session
        has_image = self.state.book.current is not None
        self.empty.setVisible(not has_image)
        self.layers.setVisible(has_image)
        # their rows take the room that a small screen has for the rest
        is_full = self.state.objects.is_on
        self.learning.set_brief(is_full)
        self.message.most_lines = 2 if is_full else None
        for section in self._sections:
            section.refresh()
        # one thing to do at a time; were both there for a moment, the window would grow
        if self.state.project.offer is not None:
            self.tip.hide()
        self.offer.refresh()
        self.tip.setVisible(has_image and self.state.project.offer is None)
        tip = tip_text(self.state)
        self.tip.set_text(tip)
        self.message.setText("" if session.message == tip else session.message)
        sync_property(self.message, "level", session.message_level)
        self.device.setText(session.device)
        self.project.refresh()

    def _refresh_soon(self) -> None:
        """Show the state once for all changes of a moment.

        A timer that each change began anew would never ring while tiles stream in.
        """
        if not self._refresh_timer.isActive():
            self._refresh_timer.start()

    def sizeHint(self) -> QSize:
        """Return a width that leaves the canvas most of a small screen."""
        needed = self.minimumSizeHint().width()
        return QSize(max(320, needed), super().sizeHint().height())

    def reset_choices(self, _event: Any = None) -> None:
        """Show other layers; napari calls this when the layer list changes."""
        self._refresh_soon()

    # --- ask -----------------------------------------------------------------------

    def _open_sample(self, name: str) -> None:
        add_sample(self.state.viewer(), name)

    def _open_dock(self, title: str) -> None:
        open_dock(self.state.viewer(), title)

    def _open_menu(self) -> None:
        menu = QMenu(self)
        menu.addAction("Learning curves", lambda: self._open_dock("Learning curves"))
        menu.addAction("Project", lambda: self._open_dock("Project"))
        menu.addAction("Settings", lambda: self._open_dock("Settings"))
        menu.addAction("Export labels", lambda: self._open_dock("Export labels"))
        menu.addAction("Proofread", lambda: self._open_dock("Proofread"))
        menu.addAction("Import labels …", lambda: self._open_dock("Import labels"))
        colour = menu.addAction("Colour the background too")
        if colour is not None:
            colour.setCheckable(True)
            colour.setChecked(self.state.overlay.style.has_background)
            colour.toggled.connect(self.state.overlay.set_background)
        menu.addAction("Show border weights", self.border_weights.show)
        menu.addSeparator()
        save = menu.addAction("Save model …", self._save)
        out = menu.addAction("Export model …", lambda: self.exporter.ask(self))
        over = menu.addAction("Start over", self.state.start_over)
        for action in (save, out, over):
            if action is not None:
                action.setEnabled(self.state.live.is_running)
        menu.exec(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save model", "model.safetensors", "Model (*.safetensors)"
        )
        if not path:
            return
        try:
            target = model_path(path)
        except NapariUnetError as error:
            self.state.warn(str(error))
            return
        if target != Path(path) and target.exists():  # about which nobody was asked
            self.state.warn(f"{target} is there already: choose it to replace it.")
            return
        self.state.live.send("save", str(target))
