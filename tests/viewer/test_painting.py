"""From the first stroke to the overlay that follows."""

import numpy as np
import pytest
from conftest import paint_both, wait_for_drawing
from qtpy.QtWidgets import QApplication

from napari_unet.widgets._class_table import painted_text


def test_without_an_image_the_dock_says_what_to_do(open_dock):
    case = open_dock()
    case.dock.refresh()
    assert case.dock.empty.isVisibleTo(case.dock)
    assert not case.dock.layers.isVisibleTo(case.dock)
    assert not case.dock.tip.isVisibleTo(case.dock)  # it would say the same again
    for button in (
        case.dock.learning.learn,
        case.dock.learning.update_now,
        case.dock.overlay.predict,
        case.dock.overlay.export,
        case.dock.classes.add,
    ):
        assert not button.isEnabled()
        assert button.toolTip()
    assert not case.live.inboxes


def test_sample_button_brings_image_strokes_and_overlay(open_dock, qtbot):
    case = open_dock()
    case.dock.empty.buttons["tissue"].click()
    entry = case.state.book.current
    assert entry.image.rgb
    assert entry.annotation.name == "tissue annotation"
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    assert case.state.classes.names == {1: "background", 2: "nucleus"}


def test_first_stroke_says_what_the_other_should_be(open_dock, blobs, qtbot):
    case = open_dock()
    case.viewer.add_image(blobs)
    layer = case.state.book.new_annotation()
    case.dock.refresh()
    assert "stroke inside an object" in case.dock.tip.text
    layer.paint((30, 30), 2)
    qtbot.waitUntil(lambda: "'background'" in case.dock.tip.text)
    assert not case.dock.learning.learn.isEnabled()
    assert "two classes" in case.dock.learning.learn.toolTip()


def test_mouse_strokes_of_two_classes_bring_the_overlay(
    open_dock, blobs, qtbot, canvas_stroke
):
    case = open_dock(show=True)
    case.viewer.add_image(blobs, name="blobs")
    layer = case.state.book.new_annotation()
    layer.brush_size = 3
    assert case.viewer.layers.selection.active == layer
    case.viewer.reset_view()
    wait_for_drawing(case.viewer, qtbot)
    case.state.brush.select(2)
    canvas_stroke(case.viewer, [(30, 26), (30, 32), (34, 40)])
    case.state.brush.select(1)
    canvas_stroke(case.viewer, [(8, 60), (12, 66), (16, 70)])
    assert set(np.unique(layer.data)) == {0, 1, 2}
    prediction = case.state.book.current.prediction
    truth = np.where(blobs > 100, 2, 1)
    qtbot.waitUntil(lambda: np.array_equal(prediction.data, truth))
    assert case.state.session.shown == "instant"
    assert case.viewer.layers.selection.active == layer


def test_strokes_arrive_as_a_frozen_copy(painted, qtbot):
    case = painted()
    key, image, annotation, axes, complete = case.live.inbox.calls("annotate")[-1]
    assert key == str(case.state.book.current.image.unique_id)
    assert image is case.state.book.current.image.data
    assert axes == "YX"
    assert annotation.dtype == np.uint8
    assert not np.shares_memory(annotation, case.layer.data)
    assert complete is None


def test_undo_takes_the_stroke_back_from_the_learner(painted, qtbot):
    case = painted()
    before = case.live.inbox.calls("annotate")[-1][2]
    case.layer.paint((60, 60), 1)
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1][2][60, 60] == 1)
    case.layer.undo()
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1][2][60, 60] == 0)
    assert np.array_equal(case.live.inbox.calls("annotate")[-1][2], before)


def test_unchanged_annotation_is_not_sent_again(painted, qtbot):
    case = painted()
    n_sent = len(case.live.inbox.calls("annotate"))
    case.layer.refresh()
    case.state.painting.take()
    assert len(case.live.inbox.calls("annotate")) == n_sent


def test_counts_in_pixels_and_strokes(painted, qtbot):
    case = painted()
    case.layer.paint((60, 60), 2)
    expected = int((case.layer.data == 2).sum())
    qtbot.waitUntil(lambda: case.state.classes.get(2).n_strokes == 2)
    assert case.state.classes.get(2).n_px == expected
    qtbot.waitUntil(
        lambda: case.dock.classes.rows[1].painted.text() == f"{expected} px, 2 strokes"
    )
    assert painted_text(case.state.classes.get(1)).endswith("1 stroke")


def test_painted_value_without_a_class_becomes_one(painted, qtbot):
    case = painted()
    case.layer.paint((60, 60), 5)
    qtbot.waitUntil(lambda: case.state.classes.values == [1, 2, 5])
    assert case.state.classes.names[5] == "class 5"
    qtbot.waitUntil(lambda: len(case.dock.classes.rows) == 3)


def test_adding_a_class_takes_its_brush(painted, qtbot):
    case = painted()
    case.dock.refresh()
    case.dock.classes.add.click()
    assert case.layer.selected_label == 3
    assert case.layer.mode == "paint"
    case.state.classes.rename(3, "vessel")
    assert case.live.inbox.calls("name_classes")[-1][0][3] == "vessel"
    assert "vessel" in list(case.layer.features["class"])


def test_classes_have_the_same_colour_in_both_layers(painted):
    case = painted()
    prediction = case.state.book.current.prediction
    case.state.classes.recolour(2, "#123456")
    for layer in (case.layer, prediction):
        colour = layer.colormap.map(np.array([2]))[0]
        assert np.allclose(colour[:3] * 255, (0x12, 0x34, 0x56), atol=1)
    assert prediction.colormap.map(np.array([1]))[0][3] == 0
    assert case.layer.colormap.map(np.array([1]))[0][3] == 1


def test_next_class_goes_round(painted):
    case = painted()
    case.state.brush.select(1)
    case.state.brush.select_next()
    assert case.layer.selected_label == 2
    case.state.brush.select_next()
    assert case.layer.selected_label == 1


def test_label_control_of_napari_selects_the_row(painted, qtbot):
    case = painted()
    case.layer.selected_label = 1
    qtbot.waitUntil(lambda: case.dock.classes.rows[0].property("chosen"))
    assert not case.dock.classes.rows[1].property("chosen")


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint16, np.int8])
def test_any_integer_labels_layer_can_be_the_annotation(open_dock, blobs, qtbot, dtype):
    case = open_dock()
    case.viewer.add_image(blobs)
    layer = case.viewer.add_labels(np.zeros(blobs.shape, dtype), name="mine")
    mine = case.state.book.annotation_choices()[0]
    case.state.book.annotate_in(mine)
    paint_both(mine)
    qtbot.waitUntil(lambda: case.state.can_learn)
    assert case.live.inbox.calls("annotate")[-1][2].dtype == np.uint8
    assert mine.data.dtype == dtype
    assert layer == mine


def test_predictions_are_never_written_into_the_annotation(painted, qtbot):
    case = painted()
    before = case.layer.data.copy()
    case.state.predict_all()
    qtbot.waitUntil(lambda: case.state.book.current.is_complete)
    assert np.array_equal(case.layer.data, before)


def test_the_dock_fits_a_small_screen_with_long_texts(painted, qtbot):
    case = painted(show=True)
    case.state.session.reason = "a long reason that goes on and on " * 4
    case.state.session.device = "a graphics card with a very long name " * 3
    case.layer.paint((60, 60), 5)
    qtbot.waitUntil(lambda: len(case.dock.classes.rows) == 3)
    case.dock.resize(320, 700)
    case.dock.refresh()
    QApplication.sendPostedEvents()  # the layout is done by events
    needed = case.dock.minimumSizeHint()
    assert needed.width() <= 320
    assert needed.height() <= 700
    for row in case.dock.classes.rows:
        right = row.key.mapTo(case.dock, row.key.rect().topRight()).x()
        assert right <= 320
