"""The dock with the real learner behind it: nothing is faked here."""

import numpy as np
from conftest import paint_both, worker_threads

from napari_unet.learning import load
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


def test_two_touching_discs_come_apart_with_the_real_learner(
    make_napari_viewer, qtbot, tmp_path
):
    """Paint two discs as objects, declare a region complete, get two objects."""
    y, x = np.mgrid[:96, :128]
    pairs = [(34, 30), (34, 53), (62, 80), (62, 103)]  # two pairs that touch
    ids = np.zeros((96, 128), np.uint16)
    for number, (row, column) in enumerate(pairs, start=2):
        ids[np.hypot(y - row, x - column) < 12] = number
    image = np.random.default_rng(0).normal(20, 4, ids.shape)
    image[ids > 0] += 160
    image[:, [41, 42, 91, 92]] *= 0.7  # where they meet it is a little darker

    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=live_job)
    viewer.window.add_dock_widget(dock)
    state, session = dock.state, dock.state.session
    viewer.add_image(image.clip(0, 255).astype(np.uint8), name="discs")
    dock.refresh()
    dock.paint.objects.click()
    layer = state.book.new_annotation()
    for number in (2, 3):
        state.brush.select_next()
        assert layer.selected_label == number
        layer.data_setitem(np.nonzero(ids == number), number)
    region = state.book.complete_region()
    region.add_rectangles([np.array([[5, 5], [5, 75], [55, 75], [55, 5]])])
    qtbot.waitUntil(lambda: session.n_objects is not None, timeout=90_000)
    qtbot.waitUntil(lambda: session.n_objects == 4, timeout=60_000)
    state.predict_all()
    entry = state.book.current
    qtbot.waitUntil(lambda: entry.has_all_objects, timeout=60_000)
    found = entry.objects.data
    assert len(np.unique(found)) == 5
    for first, second in ((2, 3), (4, 5)):
        mine, its = (np.bincount(found[ids == n]).argmax() for n in (first, second))
        assert mine != its
        assert min(mine, its) > 0
    assert set(np.unique(entry.prediction.data)) == {1, 2}

    path = tmp_path / "objects.safetensors"
    state.live.send("save", str(path))
    qtbot.waitUntil(path.exists, timeout=30_000)
    model = load(path)
    assert model.config.annotation_mode == "objects"
    assert model.class_names == {1: "background", 2: "object"}
    assert model.predict_instances(entry.channels.pixels).n_objects == 4
    viewer.window.remove_dock_widget(dock)
    assert not worker_threads()


def test_two_layers_tell_what_one_does_not(make_napari_viewer, qtbot):
    rng = np.random.default_rng(0)
    one, two = rng.normal(20, 3, (2, 96, 128))
    one[10:40, 10:40] += 60  # in one channel only: background here
    one[50:90, 70:110] += 60
    two[50:90, 70:110] += 60
    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=live_job)
    viewer.window.add_dock_widget(dock)
    state, session = dock.state, dock.state.session
    for name, array in (("one", one), ("two", two)):
        viewer.add_image(array.astype(np.float32), name=name)
    state.book.channels.choose(state.book.channels.choices())
    layer = state.book.new_annotation()
    layer.brush_size = 4
    for value, spots in ((2, [(60, 80), (80, 100)]), (1, [(20, 20), (80, 20)])):
        for y, x in spots:
            for step in range(8):
                layer.paint((y, x + step), value)
    qtbot.waitUntil(lambda: session.overlay_time_s is not None, timeout=90_000)
    prediction = state.book.current.prediction
    qtbot.waitUntil(
        lambda: (prediction.data[55:85, 75:105] == 2).mean() > 0.9, timeout=30_000
    )
    assert (prediction.data[15:35, 15:35] == 1).mean() > 0.9
    viewer.window.remove_dock_widget(dock)
    assert not worker_threads()
