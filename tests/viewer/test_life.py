"""Every way out leaves the controls usable and no thread behind."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import paint_both, worker_threads
from fake_live import FakeLive

from napari_unet.widgets._state import state_of
from napari_unet.widgets.segmentation import SegmentationDock


def test_no_thread_before_the_first_stroke(open_dock, blobs):
    case = open_dock()
    case.viewer.add_image(blobs)
    case.state.book.new_annotation()
    case.state.painting.take()
    assert not worker_threads()
    assert not case.live.inboxes


def test_image_deleted_in_mid_run(painted, qtbot):
    case = painted(FakeLive(tile_delay_s=0.05))
    case.state.learn(True)
    case.state.predict_all()
    case.viewer.layers.remove("blobs")
    key = case.live.inbox.calls("annotate")[-1][0]
    assert case.live.inbox.calls("forget") == [(key,)]
    assert case.state.book.current is None
    qtbot.waitUntil(lambda: case.dock.empty.isVisibleTo(case.dock))
    # what the job said before it heard of this may still come in
    qtbot.waitUntil(lambda: case.state.session.phase != "learning")
    assert case.live.inbox.thread.is_alive()
    assert case.live.inbox.calls("show")[-1] == (None,)


def test_annotation_deleted_in_mid_run(painted, qtbot):
    case = painted(FakeLive(tile_delay_s=0.05))
    case.state.learn(True)
    key, *_ = case.live.inbox.calls("annotate")[-1]
    case.viewer.layers.remove("blobs annotation")
    assert case.live.inbox.calls("forget") == [(key,)]
    assert not case.state.live.has_annotations
    assert case.state.session.phase == "paused"
    assert case.live.inbox.calls("learn")[-1] == (False,)
    qtbot.waitUntil(lambda: "New" in case.dock.tip.text)
    assert not case.dock.learning.learn.isEnabled()
    assert case.dock.learning.learn.text() == "Learn  K"
    layer = case.state.book.new_annotation()
    paint_both(layer)
    qtbot.waitUntil(lambda: case.state.can_learn)
    assert case.live.inbox.calls("annotate")[-1][0] == key


def test_a_worker_that_does_not_end_is_said(painted, monkeypatch):
    case = painted()
    seen = []
    monkeypatch.setattr("napari_unet.widgets._notify.show_warning", seen.append)
    bridge_stop = case.state.live.bridge.stop
    monkeypatch.setattr(
        case.state.live.bridge, "stop", lambda timeout_s: not bridge_stop(timeout_s)
    )
    case.viewer.window.remove_dock_widget(case.dock)
    assert len(seen) == 1
    assert "still busy" in seen[0]
    assert case.state.session.message == seen[0]


def test_prediction_deleted_in_mid_run_comes_back_when_asked(painted, qtbot):
    case = painted(FakeLive(tile_delay_s=0.02))
    case.viewer.layers.remove("blobs prediction")
    case.state.overlay.look()
    assert case.live.inbox.calls("show")[-1] == (None,)
    assert case.state.book.current.prediction is None
    case.state.predict_all()
    prediction = case.state.book.current.prediction
    assert prediction in case.state.viewer().layers
    qtbot.waitUntil(lambda: case.state.book.current.is_complete)


def test_tiles_for_a_layer_of_another_shape_are_ignored(painted, qtbot):
    case = painted()
    prediction = case.state.book.current.prediction
    prediction.data = np.zeros((5, 5), np.uint8)
    case.layer.paint((60, 60), 1)
    n_sent = len(case.live.inbox.calls("annotate"))
    qtbot.waitUntil(lambda: len(case.live.inbox.calls("annotate")) > n_sent)
    assert prediction.data.shape == (5, 5)


def test_other_pixels_of_the_same_shape_are_learned_from(painted, blobs, qtbot):
    case = painted()
    entry = case.state.book.current
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    other = np.flipud(blobs).copy()
    case.viewer.layers["blobs"].data = other
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1][1] is other)
    key, _, annotation, *_ = case.live.inbox.calls("annotate")[-1]
    assert key == entry.key
    assert np.array_equal(annotation, case.layer.data)
    assert case.state.book.current is entry


@pytest.mark.parametrize("shape", [(50, 60), (3, 50, 60)])
def test_an_image_of_another_shape_begins_anew(painted, qtbot, shape):
    case = painted()
    old = case.state.book.current
    case.viewer.layers["blobs"].data = np.zeros(shape, np.uint8)
    assert "another shape" in case.state.session.message
    assert case.live.inbox.calls("forget") == [(old.key,)]
    new = case.state.book.current
    assert (new.shape, new.annotation, new.prediction) == (shape, None, None)
    case.layer.paint((60, 60), 1)  # nobody listens, nothing breaks
    layer = case.state.book.new_annotation()
    assert layer.data.shape == shape
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1][2].shape == shape)


def test_renamed_image_stays_current(painted, qtbot):
    case = painted()
    case.viewer.layers["blobs"].name = "cells"
    qtbot.waitUntil(lambda: case.dock.layers.image.currentText() == "cells")
    assert case.state.book.current.image.name == "cells"


def test_viewer_closed_in_mid_run_leaves_no_thread(make_napari_viewer, blobs, qtbot):
    live = FakeLive(tile_delay_s=0.05)
    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=live)
    viewer.window.add_dock_widget(dock)
    viewer.add_image(blobs)
    paint_both(dock.state.book.new_annotation())
    qtbot.waitUntil(lambda: dock.state.can_learn)
    dock.state.learn(True)
    qtbot.waitUntil(lambda: dock.state.session.step > 0)
    viewer.close()
    qtbot.waitUntil(lambda: not live.inbox.thread.is_alive())


def test_dock_closed_and_opened_again(painted, qtbot):
    case = painted()
    case.state.learn(True)
    thread = case.live.inbox.thread
    case.viewer.window.remove_dock_widget(case.dock)
    assert not thread.is_alive()
    assert case.state.session.phase == "paused"
    case.layer.paint((60, 60), 1)  # nobody listens, nothing breaks
    again = SegmentationDock(case.viewer)
    assert again.state is case.state
    assert again.state.book.current.annotation is case.layer
    case.viewer.window.add_dock_widget(again)
    qtbot.waitUntil(lambda: len(case.live.inboxes) == 2)
    assert case.live.inbox.calls("annotate")[0][2][60, 60] == 1
    qtbot.waitUntil(again.learning.learn.isEnabled)
    again.state.suspend()


def test_the_same_dock_docked_again_works(painted, qtbot):
    case = painted()
    case.viewer.window.remove_dock_widget(case.dock)
    assert not worker_threads()
    case.viewer.window.add_dock_widget(case.dock)
    case.layer.paint((60, 60), 1)
    qtbot.waitUntil(lambda: len(case.live.inboxes) == 2)


def test_hidden_dock_goes_on(painted, qtbot):
    case = painted()
    case.state.learn(True)
    case.dock.parent().hide()
    step = case.state.session.step
    qtbot.waitUntil(lambda: case.state.session.step > step)


def test_two_viewers_do_not_meet(painted, qtbot):
    first, second = painted(), painted()
    assert first.state is not second.state
    first.state.learn(True)
    qtbot.waitUntil(lambda: first.state.session.step > 0)
    assert second.state.session.phase == "ready"
    assert second.state.session.step == 0
    first.state.classes.add()
    assert len(second.state.classes) == 2
    first.viewer.window.remove_dock_widget(first.dock)
    assert second.live.inbox.thread.is_alive()


def test_one_state_for_all_proxies_of_a_viewer(open_dock):
    case = open_dock()
    assert state_of(case.viewer) is case.state
    assert state_of(case.viewer.__wrapped__) is case.state


def test_second_image_gets_an_overlay_from_the_first(painted, blobs, qtbot):
    case = painted()
    case.viewer.add_image(np.flipud(blobs).copy(), name="second")
    second = next(i for i in case.state.book.image_choices() if i.name == "second")
    case.state.book.choose(second)
    assert case.state.book.current.annotation is None
    case.state.book.new_annotation()
    key = case.state.book.current.key
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1][0] == key)

    def looks_at_it():
        request = case.live.inbox.calls("show")[-1][0]
        return request is not None and request.key == key

    qtbot.waitUntil(looks_at_it)
    assert case.state.can_learn


def test_opening_the_docks_does_not_import_torch():
    code = (
        "import sys, napari_unet.widgets.segmentation, napari_unet.widgets.curves, "
        "napari_unet.widgets.export, napari_unet.widgets._samples\n"
        "from napari_unet.widgets._live import live_job\n"
        "live_job()\n"
        "loaded = {'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_new_layers_have_their_colours_before_they_are_added(open_dock, blobs):
    """A colormap exchanged before the first drawing crashes napari, now and then."""
    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    exchanged = []

    def watch(event):
        event.value.events.colormap.connect(lambda _event: exchanged.append(1))

    case.viewer.layers.events.inserted.connect(watch)
    layer = case.state.book.new_annotation()
    case.state.overlay.dress()
    assert exchanged == []
    assert layer.colormap.color_dict[2] is not None
    case.state.classes.recolour(2, "#112233")  # later, other colours count
    assert len(exchanged) == 2
