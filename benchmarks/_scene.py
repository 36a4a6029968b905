"""A viewer with the real dock and the real learner, for faults and for the soak."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import napari
import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QApplication

from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.config import FineTuneConfig, LearnerConfig
from napari_unet.project import Project
from napari_unet.sample import load_sample
from napari_unet.widgets.segmentation import SegmentationDock

__all__ = ["QUICK", "Scene", "turn", "wait", "worker_threads"]

QUICK = LearnerConfig(
    device="cpu",
    n_threads=1,
    fine_tune=FineTuneConfig(patch_px=64, batch_size=4, score_every_s=5),
)
"""Small patches, so that a step does not take long; the network is the usual one."""

TIMEOUT_S = 120.0  # on a busy machine, the first import of torch takes long
_PASSING = ("", "Getting ready ...")


def worker_threads() -> list[threading.Thread]:
    """Return the threads of jobs that are alive."""
    return [t for t in threading.enumerate() if t.name == "napari-unet"]


def turn(seconds: float = 0.0) -> None:
    """Let the window have its turns for some time."""
    until = time.monotonic() + seconds
    while True:
        QApplication.processEvents()
        if time.monotonic() >= until:
            return
        time.sleep(0.005)


def wait(condition: Callable[[], bool], seconds: float = TIMEOUT_S) -> bool:
    """Let the window have its turns until something holds; say whether it came."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        turn(0.02)
    return True


class Scene:
    """One viewer; a crop of the sample is painted on, and all that is said is noted.

    Parameters
    ----------
    folder
        Where what is painted goes that is in no project.
    show
        Whether the window is seen, so that the mouse can be moved in it.
    """

    def __init__(self, folder: Path, *, show: bool = False) -> None:
        self._place = patch(
            "napari_unet.widgets._project.unsaved_place", lambda: folder / "unsaved"
        )
        self._place.start()
        self.folder, self.said = folder, list[str]()
        sample = load_sample("nuclei")
        self.truth = sample.truth[:128, :160]
        self.image = sample.image[:128, :160]
        self.viewer = napari.Viewer(show=show)
        self.dock = SegmentationDock(self.viewer)
        self.viewer.window.add_dock_widget(self.dock)
        self.state = self.dock.state
        self.session, self.keeper = self.state.session, self.state.project
        self.state.set_config(QUICK)
        self.state.renewed.connect(self._note)
        notification_manager.notification_ready.connect(self._note_notification)
        self.viewer.add_image(self.image, name="nuclei")
        self.seed = 0
        self.paint()

    # --- what a person does --------------------------------------------------------

    def paint(self, n_strokes: int = 3) -> None:
        """Add strokes of each class; on a new layer where there is none."""
        entry = self.state.book.current
        assert entry is not None
        if entry.annotation is None:
            self.state.book.new_annotation()
        self.seed += 1
        new = simulate_strokes(self.truth, n_strokes, seed=self.seed)
        plane = (0,) * (self.layer.ndim - 2)  # of a stack, the first
        rows, columns = np.nonzero((new > 0) & (self.layer.data[plane] == 0))
        self.layer.data_setitem(
            (*(np.full_like(rows, i) for i in plane), rows, columns), new[rows, columns]
        )

    def learn_soon(self) -> bool:
        """Press Learn, where it is not pressed; whether it can be."""
        wait(lambda: self.state.can_learn)
        self.dock.refresh()
        is_on = self.session.phase == "learning"
        if not is_on and self.dock.learning.learn.isEnabled():
            self.dock.learning.learn.click()
        return self.session.phase == "learning"

    def learn(self) -> bool:
        """Press Learn; whether a step is done."""
        step = self.session.step
        if not self.learn_soon():
            return False
        return wait(lambda: self.session.step not in (0, step))

    def pause(self) -> None:
        """Press Pause, and wait for the scores."""
        if self.session.phase == "learning":
            self.dock.learning.learn.click()
        turn(0.2)

    def dock_again(self) -> None:
        """Open the dock that was closed."""
        self.viewer.window.add_dock_widget(self.dock)

    # --- what is there -------------------------------------------------------------

    @property
    def layer(self) -> Any:
        """The layer that is painted in."""
        entry = self.state.book.current
        return None if entry is None else entry.annotation

    @property
    def project_folder(self) -> Path:
        """Where what is painted goes."""
        project = self.keeper.project
        assert project is not None
        return project.folder

    def is_saved(self, labels: np.ndarray, folder: Path) -> bool:
        """Whether exactly these labels are on the disk, as others read it."""
        with Project.open(folder, is_read_only=True) as project:
            names = project.annotations.layers()
            kept = (project.annotations.load(*name) for name in names)
            return any(k is not None and np.array_equal(k, labels) for k in kept)

    def close(self) -> None:
        """Close the viewer, as its window's cross does."""
        notification_manager.notification_ready.disconnect(self._note_notification)
        self.viewer.close()
        turn(0.1)
        self._place.stop()

    def _note(self) -> None:
        self._hear(self.session.message)
        self._hear(self.keeper.problem and f"Not saved: {self.keeper.problem}")

    def _note_notification(self, notification: Any) -> None:
        self._hear(str(notification.message))

    def _hear(self, sentence: str) -> None:
        if sentence not in (*_PASSING, *self.said):
            self.said.append(sentence)
