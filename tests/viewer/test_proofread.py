"""Proofreading classes: by key, by mouse, each one step to take back."""

import numpy as np
import pytest
from conftest import wait_for_drawing
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_unet.jobs import ConfidenceFound
from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._proofread_tool import GESTURES
from napari_unet.widgets.proofread import ProofreadDock

FIRST = (slice(20, 50), slice(20, 50))
SECOND = (slice(40, 80), slice(80, 110))


@pytest.fixture
def proof(painted, qtbot, canvas_stroke):
    """Return a function that opens a viewer on two predicted blobs, and its hands."""

    def make(image=None, show=True):
        case = painted(show=show, image=image)
        raw = case.viewer.__wrapped__
        case.viewer.scene.camera.zoom = 4.0
        if show:
            wait_for_drawing(case.viewer, qtbot)
        case.state.overlay.look()
        entry = case.state.book.current
        case.entry = entry
        plane = tuple(case.viewer.dims.current_step[:-2])
        qtbot.waitUntil(lambda: np.all(entry.prediction.data[plane]))  # all its tiles
        qtbot.waitUntil(lambda: case.state.session.shown != "")
        canvas = raw.window._qt_viewer.canvas

        def point(y, x):
            place = QPointF(*canvas.view.camera.transform.map([x, y])[:2])
            on_screen = QPointF(canvas.native.mapToGlobal(place.toPoint()))
            none, modifier = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
            kind = QEvent.Type.MouseMove
            event = QMouseEvent(kind, place, on_screen, none, none, modifier)
            QApplication.sendEvent(canvas.native, event)

        def press(name, at=None):
            if at is not None:
                qtbot.wait(10)  # the canvas drops moves that come faster than 5 ms
                point(*at)
            *shift, letter = KEYS[name].split("+")
            modifier = (
                Qt.KeyboardModifier.ShiftModifier
                if shift
                else Qt.KeyboardModifier.NoModifier
            )
            qtbot.keyClick(canvas.native, getattr(Qt.Key, f"Key_{letter}"), modifier)

        def undo():
            modifier = Qt.KeyboardModifier.ControlModifier
            qtbot.keyClick(canvas.native, Qt.Key.Key_Z, modifier)

        def draw(*points):
            canvas_stroke(case.viewer, points)
            qtbot.waitUntil(lambda: case.state.proofread.tool.gesture is None)

        case.press, case.undo, case.draw, case.canvas = press, undo, draw, canvas.native
        case.said = lambda: case.state.session.message
        return case

    return make


def whole(box, shape=(96, 128)):
    mask = np.zeros(shape, bool)
    mask[box] = True
    return mask


def undone(case, before):
    """Undo by key, and check that all is as it was, in one step."""
    case.undo()
    np.testing.assert_array_equal(case.layer.data, before)


# -- accept ----------------------------------------------------------------------------


def test_a_key_accepts_the_region_under_the_pointer(proof, qtbot):
    case = proof()
    before = case.layer.data.copy()
    case.viewer.layers.selection.active = case.entry.image  # wherever she is
    case.press("accept", (60, 95))
    after = case.layer.data
    np.testing.assert_array_equal(after == 2, whole(SECOND) | (before == 2))
    np.testing.assert_array_equal(after == 1, before == 1)
    assert case.said() == "Accepted 1,200 px. Ctrl+Z takes it back."
    # the job hears of it as of any stroke
    qtbot.waitUntil(lambda: case.entry.copy.n_px == (after > 0).sum())
    assert case.state.proofread.tally.counts == (1200, 0)
    undone(case, before)
    assert case.state.proofread.tally.counts == (0, 0)


def test_what_was_painted_by_hand_stays_unless_asked(proof):
    case = proof()
    case.layer.data_setitem((np.array([45]), np.array([85])), 1)
    before = case.layer.data.copy()
    case.press("accept", (60, 95))
    assert case.layer.data[45, 85] == 1
    assert (case.layer.data[SECOND] == 2).sum() == 1199
    case.press("accept", (60, 95))
    assert "annotated already" in case.said()
    undone(case, before)
    case.state.proofread.is_over = True
    case.press("accept", (60, 95))
    assert (case.layer.data[SECOND] == 2).all()
    undone(case, before)


def test_the_background_under_the_pointer(proof):
    case = proof()
    case.press("accept", (5, 5))
    expected = ~(whole(FIRST) | whole(SECOND))
    np.testing.assert_array_equal(case.layer.data == 1, expected)


def test_a_lasso_takes_what_is_inside(proof, qtbot):
    case = proof()
    before = case.layer.data.copy()
    case.viewer.layers.selection.active = case.entry.image
    case.press("lasso")
    tool = case.state.proofread.tool
    assert tool.gesture.name == "lasso"
    assert "Draw around" in case.said()
    case.draw((70, 70), (70, 122), (88, 122), (88, 70), (71, 70))
    after, is_new = case.layer.data, case.layer.data != before
    assert (after[72:79, 82:108] == 2).all()
    assert (after[82:86, 82:108] == 1).all()
    assert not is_new[:68].any()
    assert case.viewer.layers.selection.active == case.layer  # Ctrl+Z is its
    undone(case, before)
    shapes = case.viewer.layers["proofreading"]
    assert not shapes.visible
    assert shapes.nshapes == 0
    case.press("lasso")
    assert case.viewer.layers["proofreading"] == shapes  # made once
    qtbot.keyClick(case.canvas, Qt.Key.Key_Escape)
    assert tool.gesture is None
    assert case.viewer.layers.selection.active == case.layer


def test_the_plane_is_accepted_as_far_as_it_is_free(proof, qtbot):
    case = proof()
    qtbot.waitUntil(lambda: case.entry.prediction.data.all())
    before = case.layer.data.copy()
    case.press("accept_plane")
    after = case.layer.data
    assert (after > 0).all()
    np.testing.assert_array_equal(after == 2, whole(FIRST) | whole(SECOND))
    undone(case, before)


def test_of_a_plane_that_is_not_all_predicted_what_is_in_sight(proof):
    case = proof()
    case.entry.prediction.data[90:] = 0
    case.viewer.scene.camera.zoom = 20.0
    case.viewer.scene.camera.center = (0.0, 60.0, 95.0)
    case.press("accept_plane")
    after = case.layer.data
    assert after[60, 95] == 2
    assert not after[25:28, 22:28].any()


def test_above_a_confidence(proof, qtbot):
    image = np.full((96, 128), 20, np.uint8)
    image[20:50, 20:50] = image[40:80, 80:110] = 200
    image[60:80, 80:110] = 190  # here the fake is less sure
    case = proof(image)
    before = case.layer.data.copy()
    case.press("accept_sure")
    qtbot.waitUntil(lambda: case.layer.data[45, 85] > 0)
    after = case.layer.data
    assert (after[40:60, 80:110] == 2).all()
    assert not after[60:80, 80:110].any()
    (request,) = case.live.inbox.calls("find_confidence")[-1]
    assert (request.key, request.y0) == (case.entry.key, 0)
    undone(case, before)
    case.state.proofread.threshold = 0.99
    case.press("accept_sure")
    qtbot.waitUntil(lambda: "as probable as 0.99" in case.said())
    np.testing.assert_array_equal(case.layer.data, before)


# -- put right -------------------------------------------------------------------------


def test_rejecting_teaches_background_and_takes_back_what_was_accepted(proof):
    case = proof()
    before = case.layer.data.copy()
    case.press("reject", (60, 95))
    np.testing.assert_array_equal(case.layer.data == 1, whole(SECOND) | (before == 1))
    undone(case, before)
    case.press("accept", (60, 95))
    accepted = case.layer.data.copy()
    case.press("reject", (60, 95))
    np.testing.assert_array_equal(case.layer.data, before)
    undone(case, accepted)
    undone(case, before)
    case.press("reject", (5, 5))
    assert "background" in case.said()
    np.testing.assert_array_equal(case.layer.data, before)


def test_a_line_splits_and_the_seam_is_background(proof):
    case = proof()
    before = case.layer.data.copy()
    case.press("split")
    case.draw((60, 70), (60, 90), (60, 118))
    after = case.layer.data
    assert ((after[SECOND] == 1).sum(axis=0) == 2).all()
    assert (after[SECOND] > 0).all()
    assert not (after[40:58, 80:110] == 1).any()
    undone(case, before)
    # what is cut is no longer one region
    case.press("split")
    case.draw((60, 70), (60, 90), (60, 118))
    case.press("reject", (75, 95))
    assert not case.layer.data[75, 85:105].any()
    assert (case.layer.data[45, 82:108] == 2).all()


def test_two_clicks_split_at_the_neck(proof, qtbot):
    image = np.full((96, 128), 20, np.uint8)
    image[20:50, 20:50] = image[30:80, 60:85] = image[30:80, 95:120] = 200
    image[52:58, 85:95] = 200  # a neck
    case = proof(image)
    case.press("split")
    for y, x in ((55, 72), (55, 107)):
        qtbot.wait(30)
        click(case, y, x)
        qtbot.wait(30)
    qtbot.waitUntil(lambda: case.state.proofread.tool.gesture is None)
    after = case.layer.data
    assert (after[31:79, 61:84] == 2).all()
    assert (after[31:79, 96:119] == 2).all()
    seam = (after[52:58, 84:96] == 1).sum(axis=1)
    assert (seam == 2).all()


def click(case, y, x):
    raw = case.viewer.__wrapped__
    canvas = raw.window._qt_viewer.canvas
    place = QPointF(*canvas.view.camera.transform.map([x, y])[:2])
    on_screen = QPointF(canvas.native.mapToGlobal(place.toPoint()))
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    types, modifier = QEvent.Type, Qt.KeyboardModifier.NoModifier
    for kind, button, held in (
        (types.MouseMove, none, none),
        (types.MouseButtonPress, left, left),
        (types.MouseButtonRelease, left, none),
    ):
        event = QMouseEvent(kind, place, on_screen, button, held, modifier)
        QApplication.sendEvent(canvas.native, event)


def test_a_line_that_cuts_nothing_says_so(proof):
    case = proof()
    before = case.layer.data.copy()
    case.press("split")
    case.draw((5, 5), (5, 50), (5, 100))
    assert "cuts no object" in case.said()
    far = np.array([[0.0, 0], [3000, 3000]])
    case.state.proofread._on_drawn(GESTURES["split"], far)
    assert "zoom in" in case.said()
    np.testing.assert_array_equal(case.layer.data, before)


def test_a_line_joins_what_it_touches(proof):
    case = proof()
    before = case.layer.data.copy()
    case.press("merge")
    case.draw((45, 35), (50, 60), (60, 95))
    after = case.layer.data
    assert (after[FIRST][after[FIRST] != 1] == 2).all()
    assert (after[SECOND] == 2).all()
    between = after[:, 50:80] == 2
    assert between.any(axis=0).all()  # no column without the bridge
    assert "2 objects" in case.said()
    undone(case, before)
    case.press("merge")
    case.draw((60, 85), (65, 90), (70, 100))
    assert "two objects" in case.said()
    np.testing.assert_array_equal(case.layer.data, before)


def test_holes_are_filled(proof):
    image = np.full((96, 128), 20, np.uint8)
    image[20:50, 20:50] = image[40:80, 80:110] = 200
    image[55:65, 90:100] = 20
    case = proof(image)
    before = case.layer.data.copy()
    case.press("fill_holes", (45, 85))
    assert (case.layer.data[SECOND] == 2).all()
    undone(case, before)
    case.press("fill_holes", (45, 30))
    assert "no hole" in case.said()


def test_relabelling_gives_the_selected_class(proof, qtbot):
    case = proof()
    case.state.classes.add()
    before = case.layer.data.copy()
    case.state.brush.select(3)
    case.press("relabel", (60, 95))
    np.testing.assert_array_equal(case.layer.data == 3, whole(SECOND))
    undone(case, before)


# -- where it cannot be, or lies elsewhere ---------------------------------------------


def test_the_dock_fits_and_its_buttons_wait(proof, qtbot):
    case = proof(show=False)
    dock = ProofreadDock(case.viewer)
    case.viewer.window.add_dock_widget(dock, name="Proofread")
    size = dock.minimumSizeHint()
    assert size.width() <= 320
    assert size.height() <= 700
    button = dock.buttons["accept"]
    button.click()
    assert button.isChecked()
    case.state.proofread.tool._layer.add_lines([np.array([[60, 95], [60.2, 95.2]])])
    case.state.proofread.tool._take()  # as when the mouse button goes up
    assert (case.layer.data[SECOND] == 2).all()
    qtbot.waitUntil(lambda: "1,200 px" in dock.counts.text())
    assert not button.isChecked()
    button.click()
    button.click()
    assert case.state.proofread.tool.gesture is None
    dock.over.click()
    dock.threshold.setValue(0.8)
    assert (case.state.proofread.is_over, case.state.proofread.threshold) == (True, 0.8)


def test_without_a_prediction_it_says_what_to_do(open_dock, blobs, qtbot):
    case = open_dock()
    dock = ProofreadDock(case.viewer)
    case.viewer.window.add_dock_widget(dock, name="Proofread")
    assert dock.note.text() == "Open an image first."
    case.viewer.add_image(blobs)
    qtbot.waitUntil(lambda: "annotation" in dock.note.text())
    assert not dock.buttons["accept"].isEnabled()
    assert dock.buttons["accept"].toolTip() == dock.note.text()
    case.state.book.new_annotation()
    qtbot.waitUntil(lambda: "Nothing is predicted yet" in dock.note.text())
    case.state.proofread.accept()
    assert "Nothing is predicted yet" in case.state.session.message
    case.viewer.window.remove_dock_widget(case.dock)
    dock.refresh()
    assert "Interactive segmentation" in dock.note.text()


def test_what_was_missing_is_not_asked_for_any_more(open_dock, blobs, qtbot):
    case = open_dock()
    case.state.proofread.accept()
    assert case.state.session.message == "Open an image first."
    case.viewer.add_image(blobs)
    qtbot.waitUntil(lambda: case.state.session.message == "")
    case.state.proofread.accept()
    assert "Make an annotation first" in case.state.session.message
    case.state.book.new_annotation()
    qtbot.waitUntil(lambda: case.state.session.message == "")


def test_scale_and_translation_are_heeded(painted, qtbot):
    case = painted()
    image = case.state.book.current.image
    image.scale, image.translate = (0.5, 0.25), (100, -30)
    case.state.predict_all()
    qtbot.waitUntil(lambda: case.state.book.current.is_complete)
    case.viewer.scene.camera.center = image.data_to_world((48, 64))
    before = case.layer.data.copy()
    case.viewer.cursor.position = image.data_to_world((60, 95))
    case.state.proofread.accept()
    np.testing.assert_array_equal(case.layer.data == 2, whole(SECOND) | (before == 2))
    # what is drawn lies in a layer of its own, where the image is
    case.state.proofread.begin("split")
    shapes = case.viewer.layers["proofreading"]
    np.testing.assert_array_equal(shapes.scale, image.scale)
    np.testing.assert_array_equal(shapes.translate, image.translate)
    shapes.add_lines([np.array([[60, 70], [60, 118]])])
    case.state.proofread.tool._take()  # as when the button goes up
    assert "Split" in case.state.session.message
    seam = (case.layer.data[SECOND] == 1).any(axis=1)
    assert np.flatnonzero(seam).tolist() in ([19, 20], [20, 21])


def test_a_plane_of_a_stack_and_no_other(open_dock, blobs, qtbot):
    case = open_dock()
    case.viewer.add_image(np.stack([blobs] * 4), name="stack")
    case.layer = case.state.book.new_annotation()
    case.layer.data_setitem(tuple(np.array([[0, 30, 30], [0, 31, 31]]).T), 2)
    case.layer.data_setitem(tuple(np.array([[0, 5, 60], [0, 5, 61]]).T), 1)
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.state.predict_all()
    qtbot.waitUntil(lambda: case.state.book.current.is_complete)
    case.viewer.dims.set_current_step(0, 2)
    before = case.layer.data.copy()
    case.state.proofread.accept((2, 60, 95))
    np.testing.assert_array_equal(case.layer.data[2] == 2, whole(SECOND))
    np.testing.assert_array_equal(case.layer.data[[0, 1, 3]], before[[0, 1, 3]])
    case.layer.undo()
    case.state.proofread.accept_plane()
    assert (case.layer.data[2] > 0).all()
    np.testing.assert_array_equal(case.layer.data[[0, 1, 3]], before[[0, 1, 3]])
    case.viewer.dims.ndisplay = 3
    case.state.proofread.accept((2, 60, 95))
    assert "Show one plane" in case.state.session.message


def test_another_layer_or_image_ends_the_gesture(proof, blobs):
    case = proof(show=False)
    tool = case.state.proofread.tool
    case.state.proofread.begin("split")
    case.viewer.layers.selection.active = case.layer
    assert tool.gesture is None
    case.state.proofread.begin("split")
    case.viewer.add_image(blobs, name="other")
    assert tool.gesture is None
    assert not case.viewer.layers["proofreading"].visible
    assert case.viewer.layers.selection.active == case.viewer.layers["other"]


def test_keys_that_are_naparis_in_a_layer_of_shapes_end_the_gesture(proof, qtbot):
    case = proof()
    tool = case.state.proofread.tool
    for name in ("split", "lasso"):
        case.press(name)
        assert tool.gesture is GESTURES[name]
        case.press(name)
        assert tool.gesture is None
        assert case.viewer.layers.selection.active == case.layer
    case.press("split")
    tool._layer.mode = "pan_zoom"  # as while space is held
    assert tool.gesture is GESTURES["split"]
    tool._layer.mode = "add_line"
    case.press("reject")  # D, napari's key for moving corners
    assert tool.gesture is None


def test_what_is_accepted_again_after_undo_counts_once(proof, qtbot):
    case = proof(show=False)
    reader = case.state.proofread
    reader.accept((60, 95))
    assert "Ctrl+Z takes it back" in case.said()
    case.layer.undo()
    qtbot.waitUntil(lambda: case.said() == "")
    assert reader.tally.counts == (0, 0)
    case.layer.redo()
    assert reader.tally.counts == (1200, 0)
    case.layer.undo()
    reader.accept((60, 95))
    assert reader.tally.counts == (1200, 0)
    case.layer.data = case.layer.data[:50, :50].copy()
    assert reader.tally.counts == (0, 0)


def test_the_score_says_when_most_was_accepted(proof, qtbot):
    case = proof(show=False)
    reader, session = case.state.proofread, case.state.session
    card = case.dock.learning

    def shown():
        painted = np.count_nonzero(case.layer.data)
        qtbot.waitUntil(lambda: session.n_px == painted)
        case.dock.refresh()
        return card.score.text()

    by_hand = "IoU 0.80 (40 px of 4 strokes held out)"
    assert shown() == by_hand
    reader.accept((60, 95))
    accepted = "IoU 0.80, mostly on accepted px"
    assert shown() == accepted
    assert by_hand in card.card.toolTip()
    assert "what it said itself" in card.card.toolTip()
    case.layer.data_setitem(np.nonzero(case.layer.data == 0), 1)  # more by hand
    assert shown() == by_hand
    assert "what it said itself" not in card.card.toolTip()
    case.layer.undo()
    assert shown() == accepted
    case.layer.undo()
    assert shown() == by_hand


def test_an_answer_for_the_other_mode_is_not_painted(proof, qtbot):
    case = proof(show=False)
    reader = case.state.proofread
    full = np.full((96, 128), 2, np.uint8)
    found = ConfidenceFound(case.entry.key, (), 0, 0, full, np.ones_like(full, float))
    reader._asked = case.entry.key, "objects", 0.9
    before = case.layer.data.copy()
    reader.hear(found)
    np.testing.assert_array_equal(case.layer.data, before)
    reader._asked = case.entry.key, "strokes", 0.9
    reader.hear(found)
    assert (case.layer.data > 0).all()


def test_what_is_left_of_something_accepted_is_counted(proof):
    case = proof(show=False)
    dock, reader = ProofreadDock(case.viewer), case.state.proofread
    assert dock.counts.text() == ""
    reader.accept((60, 95))
    dock.refresh()
    assert dock.counts.text() == "Accepted: 1,200 px"
    case.layer.data[40:50, 80:110] = 0  # a quarter of it, its first pixel included
    dock.refresh()
    n_px, _ = reader.tally.counts
    assert dock.counts.text() == f"Accepted: about {n_px:,} px"
    assert abs(n_px - 900) <= 2 * 1200 / 32
