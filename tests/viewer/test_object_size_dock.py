"""How large the objects are: what the dock says of it, and what a choice does."""

import numpy as np
from conftest import paint_both
from fake_live import FakeLive
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unet.jobs import Score, Scored
from napari_unet.widgets._live import live_job
from napari_unet.widgets.segmentation import SegmentationDock


def choose(combo, text):
    """Choose an item with the keyboard, as a person would."""
    combo.setFocus()
    while combo.currentText() != text:
        before = combo.currentIndex()
        up = combo.findText(text) < before
        QTest.keyClick(combo, Qt.Key.Key_Up if up else Qt.Key.Key_Down)
        assert combo.currentIndex() != before


def scored(n_scales, reach_px, chosen="instant"):
    score = Score(0.8, {}, {}, 40, 4)
    return Scored({chosen: score}, chosen, "", 0, 0.0, False, n_scales, reach_px)


def test_a_choice_reaches_the_job_and_its_successors(painted, qtbot):
    case = painted()
    combo = case.dock.layers.objects
    texts = [combo.itemText(i) for i in range(combo.count())]
    assert texts[1:] == ["up to 50 px", "up to 200 px", "larger than 200 px"]
    assert texts[0].startswith("automatic")
    assert case.live.inbox.calls("set_scales") == [(None,)]
    choose(combo, "up to 50 px")
    choose(combo, "larger than 200 px")  # by way of the one between
    choose(combo, "automatic")
    choose(combo, "up to 50 px")
    calls = [(None,), (1,), (2,), (3,), (2,), (1,), (None,), (1,)]
    assert case.live.inbox.calls("set_scales") == calls
    case.dock.refresh()
    assert combo.currentText() == "up to 50 px"
    case.state.live.stop()
    case.state.learn(True)
    assert len(case.live.inboxes) == 2
    assert case.live.inbox.calls("set_scales") == [(1,)]


def test_set_before_the_first_stroke_it_starts_no_job(open_dock, blobs):
    case = open_dock(FakeLive())
    case.viewer.add_image(blobs)
    case.state.book.new_annotation()
    choose(case.dock.layers.objects, "up to 200 px")
    assert case.live.inboxes == []
    assert case.state.n_scales == 2


def test_what_was_chosen_is_said(painted, qtbot):
    case = painted()
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    combo, card = case.dock.layers.objects, case.dock.learning.card
    case.state.apply(scored(3, 368))
    case.dock.refresh()
    assert combo.currentText() == "automatic: sees 368 px"
    seen = "368 px around each pixel, the image at full, half and quarter size."
    assert card.toolTip().endswith(seen)
    case.state.apply(scored(0, 0, "forest"))
    case.dock.refresh()
    assert combo.currentText() == "automatic"
    assert "around each pixel" not in card.toolTip()
    choose(combo, "up to 50 px")
    case.state.apply(scored(1, 92))
    case.dock.refresh()
    assert combo.itemText(0) == "automatic"
    assert "sees 92 px around each pixel" in card.toolTip()


def test_the_longest_text_fits_beside_its_label(painted, qtbot):
    case = painted(show=True)
    case.dock.resize(320, 700)
    case.state.apply(scored(3, 368))
    case.dock.refresh()
    combo = case.dock.layers.objects
    qtbot.waitUntil(lambda: combo.isVisible() and combo.width() > 100)
    arrow_px = 20
    for i in range(combo.count()):
        needed = combo.fontMetrics().horizontalAdvance(combo.itemText(i))
        assert needed <= combo.width() - arrow_px


def test_the_real_learner_follows(make_napari_viewer, blobs, qtbot):
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
    qtbot.waitUntil(lambda: session.score is not None, timeout=90_000)
    assert session.n_scales >= 2
    before, generation = layer.data.copy(), session.generation
    choose(dock.layers.objects, "up to 50 px")
    qtbot.waitUntil(lambda: session.n_scales == 1, timeout=60_000)
    assert session.reach_px == 92
    qtbot.waitUntil(lambda: session.generation > generation, timeout=60_000)
    np.testing.assert_array_equal(layer.data, before)

    state.learn(True)
    qtbot.waitUntil(lambda: session.step >= 2, timeout=60_000)
    steps = []
    session.events.step.connect(steps.append)
    choose(dock.layers.objects, "up to 200 px")
    qtbot.waitUntil(lambda: 0 in steps and steps[-1] >= 1, timeout=60_000)
    assert session.phase == "learning"
    assert "begins again" in session.message
    state.learn(False)
    viewer.window.remove_dock_widget(dock)
