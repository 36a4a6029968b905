"""A viewer with the dock, the fake job, and strokes by real mouse events."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from fake_live import FakeLive
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_unet.widgets.segmentation import SegmentationDock


def worker_threads():
    """Return the worker threads that are alive."""
    return [t for t in threading.enumerate() if t.name == "napari-unet"]


@pytest.fixture(autouse=True)
def _no_thread_is_left(request):
    yield
    assert not worker_threads(), "a test left a worker thread behind"


@pytest.fixture(autouse=True)
def unsaved_place(tmp_path_factory, monkeypatch):
    """The folder for what is painted without a project: one for each test."""
    place = tmp_path_factory.mktemp("data") / "unsaved"
    monkeypatch.setattr("napari_unet.widgets._project.unsaved_place", lambda: place)
    return place


@pytest.fixture(autouse=True)
def guidance_file(tmp_path, monkeypatch):
    """The file of the settings of guidance: one for each test."""
    path = tmp_path / "config" / "guidance.json"
    monkeypatch.setattr(
        "napari_unet.widgets._guidance_file.guidance_file", lambda: path
    )
    return path


@pytest.fixture
def blobs():
    """An image of two bright squares on a dark ground, 96 x 128 px."""
    image = np.full((96, 128), 20, np.uint8)
    image[20:50, 20:50] = image[40:80, 80:110] = 200
    return image


@pytest.fixture
def open_dock(make_napari_viewer_proxy, qtbot):
    """Return a function that makes a viewer with the dock and a fake job."""
    opened = []

    def make(live=None, show=False):
        live = live or FakeLive()
        viewer = make_napari_viewer_proxy(show=show)
        dock = SegmentationDock(viewer, make_job=live)
        viewer.window.add_dock_widget(dock, name="Interactive segmentation")
        opened.append(dock)
        return SimpleNamespace(viewer=viewer, dock=dock, state=dock.state, live=live)

    yield make
    for dock in opened:
        dock.state.end()


@pytest.fixture
def painted(open_dock, blobs, qtbot):
    """Return a function that opens the dock, paints both classes, and waits."""

    def make(live=None, show=False, image=None):
        case = open_dock(live, show)
        case.viewer.add_image(blobs if image is None else image, name="blobs")
        case.layer = case.state.book.new_annotation()
        paint_both(case.layer)
        qtbot.waitUntil(lambda: case.state.can_learn)
        case.dock.refresh()  # or its buttons may still be disabled
        return case

    return make


def paint_both(layer):
    """Paint a stroke on the first blob and one on the ground, each undoable."""
    layer.brush_size = 3
    plane = (0,) * (layer.ndim - 2)
    for value, spots in ((2, [(30, 30), (30, 32)]), (1, [(10, 70), (12, 70)])):
        with layer.block_history():
            for spot in spots:
                layer.paint((*plane, *spot), value)


def wait_for_drawing(viewer, qtbot):
    """Wait until the canvas was drawn once more: only then its camera has its place."""
    raw = getattr(viewer, "__wrapped__", viewer)
    canvas = raw.window._qt_viewer.canvas
    drawn = []

    def note(_event):
        drawn.append(True)

    canvas._scene_canvas.events.draw.connect(note)
    canvas.native.update()
    qtbot.waitUntil(lambda: drawn != [])
    canvas._scene_canvas.events.draw.disconnect(note)


@pytest.fixture
def canvas_stroke():
    """Return a function that drags the mouse over the canvas along data points."""

    def drag(viewer, points_yx, button=Qt.MouseButton.LeftButton):
        raw = getattr(viewer, "__wrapped__", viewer)
        canvas = raw.window._qt_viewer.canvas
        widget, types, none = canvas.native, QEvent.Type, Qt.MouseButton.NoButton
        places = [
            QPointF(*canvas.view.camera.transform.map([x, y])[:2]) for y, x in points_yx
        ]

        def send(kind, place, changed, held):
            on_screen = QPointF(widget.mapToGlobal(place.toPoint()))
            modifier = Qt.KeyboardModifier.NoModifier
            event = QMouseEvent(kind, place, on_screen, changed, held, modifier)
            QApplication.sendEvent(widget, event)

        send(types.MouseMove, places[0], none, none)
        send(types.MouseButtonPress, places[0], button, button)
        for place in places[1:]:
            QTest.qWait(30)  # the canvas drops moves that come faster than 5 ms
            send(types.MouseMove, place, none, button)
        send(types.MouseButtonRelease, places[-1], button, none)

    return drag
