"""The dock with the real learner behind it: nothing is faked here."""

import numpy as np
from conftest import paint_both, worker_threads

from napari_unet.widgets._live import live_job
from napari_unet.widgets.segmentation import SegmentationDock


def test_paint_learn_correct_save_with_the_real_learner(
    make_napari_viewer, blobs, qtbot, tmp_path
):
    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=live_job)
    viewer.window.add_dock_widget(dock)
    state, session = dock.state, dock.state.session
    noise = np.random.default_rng(0).integers(0, 20, blobs.shape)
    viewer.add_image(blobs + noise.astype(np.uint8), name="blobs")
    layer = state.book.new_annotation()
    paint_both(layer)
    layer.paint((60, 95), 2)
    layer.paint((85, 20), 1)
    qtbot.waitUntil(lambda: session.overlay_time_s is not None, timeout=90_000)
    prediction = state.book.current.prediction
    truth = np.where(blobs > 100, 2, 1)
    qtbot.waitUntil(
        lambda: (prediction.data == truth).mean() > 0.9 and not session.is_updating,
        timeout=30_000,
    )
    assert set(np.unique(prediction.data)) == {1, 2}
    assert session.device
    qtbot.waitUntil(lambda: session.score is not None, timeout=30_000)

    state.learn(True)
    qtbot.waitUntil(lambda: session.step >= 2, timeout=60_000)
    layer.paint((60, 20), 1)
    version = session.annotation_version
    qtbot.waitUntil(lambda: session.annotation_version > version, timeout=30_000)
    assert session.phase == "learning"
    state.learn(False)
    assert session.phase == "paused"

    state.predict_all()
    qtbot.waitUntil(lambda: state.book.current.is_complete, timeout=30_000)
    path = tmp_path / "model.safetensors"
    state.live.send("save", str(path))
    qtbot.waitUntil(path.exists, timeout=30_000)

    viewer.layers.remove("blobs")
    qtbot.waitUntil(lambda: state.book.current is None)
    viewer.window.remove_dock_widget(dock)
    assert not worker_threads()


def test_viewer_closed_while_the_real_learner_trains(
    make_napari_viewer, blobs, qtbot, monkeypatch
):
    faults = []
    monkeypatch.setattr(
        "napari_unet.widgets._notify.notification_manager.receive_error",
        lambda _type, error, _traceback: faults.append(error),
    )
    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=live_job)
    viewer.window.add_dock_widget(dock)
    state, session = dock.state, dock.state.session
    viewer.add_image(blobs, name="blobs")
    layer = state.book.new_annotation()
    paint_both(layer)
    qtbot.waitUntil(lambda: state.can_learn)
    state.learn(True)
    qtbot.waitUntil(lambda: session.step >= 2, timeout=90_000)
    worker = state.live.bridge.worker
    assert worker.is_alive
    layer.paint((60, 20), 1)  # something is always under way
    state.predict_all()
    viewer.close()
    qtbot.waitUntil(lambda: not worker.is_alive, timeout=30_000)
    assert not worker_threads()
    assert faults == []
    assert session.phase == "paused"
    assert "busy" not in session.message
