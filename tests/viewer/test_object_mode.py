"""Painting objects in the dock: layers of their own, ids, counts, tips."""

import numpy as np
import pytest
from conftest import paint_both

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import LearnerConfig
from napari_unet.jobs import CancelToken, Scored, TilePredicted
from napari_unet.learning import Learner
from napari_unet.widgets._brush import unused_id
from napari_unet.widgets._classes import ClassList, LabelClass, Painted, count_job
from napari_unet.widgets._layers import is_grey, mode_of, object_colormap
from napari_unet.widgets._object_table import background_text, objects_text
from napari_unet.widgets._tips import tip_text


@pytest.fixture
def objects(open_dock, blobs):
    """The dock on two blobs, with an empty layer for objects."""
    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    case.dock.refresh()
    case.dock.paint.objects.click()
    case.layer = case.state.book.new_annotation()
    return case


def paint_object(case, y, x, size=6):
    """Paint a square with the number that is selected."""
    case.layer.data_setitem(
        tuple(g.ravel() for g in np.mgrid[y : y + size, x : x + size]),
        case.layer.selected_label,
    )


def wait_for_counts(case, qtbot, n_objects, n_px=0):
    qtbot.waitUntil(lambda: case.state.classes.get(2).n_strokes == n_objects)
    qtbot.waitUntil(lambda: case.state.classes.get(1).n_px == n_px)


# -- layers of either mode -------------------------------------------------------------


def test_switching_loses_nothing_and_brings_each_mode_its_layer(painted, qtbot):
    case = painted()
    strokes, entry = case.layer, case.state.book.current
    before = strokes.data.copy()
    case.dock.paint.objects.click()
    assert entry.annotation is None
    assert not strokes.visible
    assert case.viewer.layers.selection.active == entry.image
    assert not case.state.can_learn
    assert "Press New" in tip_text(case.state)
    mine = case.state.book.new_annotation()
    assert mode_of(mine) == "objects"
    mine.paint((60, 60), 2)
    qtbot.waitUntil(lambda: case.state.classes.get(2).n_px > 0)
    case.dock.paint.strokes.click()
    assert entry.annotation is strokes
    assert strokes.visible
    assert not mine.visible
    assert case.viewer.layers.selection.active == strokes
    np.testing.assert_array_equal(strokes.data, before)
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.dock.paint.objects.click()
    assert entry.annotation is mine
    assert mine.visible
    assert mine.data.any()


def test_the_job_forgets_strokes_before_it_reads_objects(painted, qtbot):
    case = painted()
    case.dock.paint.objects.click()
    layer = case.state.book.new_annotation()
    layer.paint((60, 60), 2)
    qtbot.waitUntil(lambda: case.state.classes.get(2).n_px > 0)
    names = [entry[0] for entry in case.live.inbox.log]
    start = names.index("forget")
    assert names[start:].index("set_mode") < names[start:].index("annotate")
    assert case.live.inbox.calls("set_mode")[-1] == ("objects",)
    assert len(case.live.inboxes) == 1


def test_objects_are_shown_in_the_overlay_from_then_on(painted):
    case = painted()
    entry = case.state.book.current
    entry.prediction.data[:] = 2
    case.dock.paint.objects.click()
    assert case.state.objects.is_on
    assert not entry.prediction.data.any()
    case.dock.refresh()
    assert case.dock.classes.isHidden()
    assert not case.dock.objects.isHidden()


def test_a_new_job_is_told_the_mode(objects, qtbot):
    paint_object(objects, 10, 10)
    qtbot.waitUntil(lambda: objects.live.inboxes != [])
    assert objects.live.inbox.log[0] == ("set_mode", "objects")


def test_what_the_learner_of_strokes_still_says_counts_no_more(painted, qtbot):
    case = painted()
    entry = case.state.book.current
    qtbot.waitUntil(lambda: case.state.session.shown != "")
    case.state.set_mode("objects")
    tile = np.full((4, 4), 3, np.uint8)
    emit = case.state.live.bridge.received.emit  # as if it had been on its way
    emit(TilePredicted(entry.key, (), 0, 0, tile, "instant", 99))
    emit(Scored({}, "instant", "", 0, 0.0, True))
    assert not entry.prediction.data.any()
    assert case.state.session.shown == ""


def test_layers_of_the_other_mode_are_not_on_offer(painted):
    case = painted()
    foreign = case.viewer.add_labels(np.zeros((96, 128), np.uint16), name="mine")
    strokes = case.layer
    assert strokes in case.state.book.annotation_choices()
    case.state.set_mode("objects")
    choices = case.state.book.annotation_choices()
    assert strokes not in choices
    assert foreign in choices


def test_a_layer_of_another_program_is_said_to_count_from_2(objects):
    ids = np.zeros((96, 128), np.uint16)
    ids[5:9, 5:9], ids[20:30, 20:30] = 1, 300
    objects.viewer.add_labels(ids, name="masks")
    foreign = next(
        c for c in objects.state.book.annotation_choices() if c.name == "masks"
    )
    objects.state.book.annotate_in(foreign)
    assert objects.state.book.current.annotation is foreign
    assert "1, which is background here" in objects.state.session.message
    objects.state.set_mode("strokes")
    assert not foreign.visible
    objects.state.set_mode("objects")
    assert objects.state.book.current.annotation is foreign
    assert foreign.visible


def test_more_objects_than_classes_can_be(objects, qtbot):
    objects.layer.data[::2, ::2] = np.arange(48 * 64).reshape(48, 64) + 2
    objects.layer.refresh()
    wait_for_counts(objects, qtbot, 48 * 64)
    assert len(objects.state.classes) == 2
    assert objects.state.session.message_level == "info"
    assert objects.live.inbox.calls("annotate")[-1][2].dtype == np.uint16


def test_a_layer_that_waited_lies_where_its_image_went(painted):
    case = painted()
    case.state.set_mode("objects")
    case.viewer.layers["blobs"].scale = (3, 3)
    case.state.set_mode("strokes")
    assert case.state.book.current.annotation is case.layer
    np.testing.assert_array_equal(case.layer.scale, (3, 3))


def test_each_image_gets_its_own_layer_back(painted, blobs):
    case = painted()
    first = case.state.book.current
    case.state.set_mode("objects")
    of_first = case.state.book.new_annotation()
    case.viewer.add_image(blobs, name="more")
    second = case.state.book.current
    assert second is not first
    of_second = case.state.book.new_annotation()
    case.state.set_mode("strokes")
    assert (first.annotation, second.annotation) == (case.layer, None)
    case.state.set_mode("objects")
    assert (first.annotation, second.annotation) == (of_first, of_second)


def test_a_removed_layer_does_not_come_back(painted):
    case = painted()
    case.state.set_mode("objects")
    case.viewer.layers.remove(case.layer)
    case.state.set_mode("strokes")
    assert case.state.book.current.annotation is None


# -- ids -------------------------------------------------------------------------------


def test_the_key_begins_a_new_object_and_background_keeps_it(objects):
    layer, brush = objects.layer, objects.state.brush
    assert layer.selected_label == 2
    brush.select_next()
    assert layer.selected_label == 2  # it is not used yet
    paint_object(objects, 10, 10)
    brush.select_next()
    assert layer.selected_label == 3
    brush.select(1)
    assert (layer.selected_label, brush.value, brush.object_id) == (1, 1, 3)
    brush.select(2)
    assert (layer.selected_label, brush.value) == (3, 2)


def test_numbers_that_would_be_grey_are_passed_over():
    colours = object_colormap(has_background=True)
    grey = colours.map(1)
    used = np.full((4, 4), 240, np.uint16)
    while used.max() < 600:
        number = unused_id(used)
        assert number > used.max()
        assert not np.allclose(colours.map(number), grey)
        used[0, 0] = used[:] = number
    assert is_grey(242)
    np.testing.assert_allclose(colours.map(242), grey)


def test_where_the_type_is_full_a_gap_is_taken():
    used = np.zeros((16, 16), np.uint8)
    used.ravel()[:] = np.arange(256)
    used[used == 77] = 1
    assert unused_id(used) == 77


# -- counts, tips, when it can learn ---------------------------------------------------


def test_tips_go_step_by_step_and_counts_follow(objects, qtbot):
    state = objects.state
    assert "Paint one object whole" in tip_text(state)
    paint_object(objects, 20, 20)
    wait_for_counts(objects, qtbot, 1)
    assert tip_text(state).startswith("Press Q")
    state.brush.select_next()
    paint_object(objects, 20, 26)
    wait_for_counts(objects, qtbot, 2)
    assert tip_text(state).startswith("Now some background (Ctrl+1)")
    assert not state.can_learn
    objects.dock.refresh()
    assert objects.dock.objects.objects.painted.text() == "2 objects, 72 px"
    assert not objects.dock.learning.learn.isEnabled()
    assert "complete region" in objects.dock.learning.learn.toolTip()
    state.brush.select(1)
    paint_object(objects, 60, 60)
    wait_for_counts(objects, qtbot, 2, 36)
    assert state.can_learn
    objects.dock.refresh()
    assert objects.dock.objects.background.painted.text() == "36 px"
    assert objects.dock.learning.learn.isEnabled()


def test_words_for_what_is_painted():
    entry = LabelClass(2, "object", "#000000", 0, 0)
    assert objects_text(entry) == "no object painted yet"
    entry = LabelClass(2, "object", "#000000", 3410, 12)
    assert objects_text(entry) == "12 objects, 3,410 px"
    ground = LabelClass(1, "background", "#000000", 1204, 3)
    assert background_text(ground, 0) == "1,204 px"
    assert background_text(ground, 2) == "1,204 px, 2 regions"
    nothing = LabelClass(1, "background", "#000000")
    assert background_text(nothing, 1) == "1 region"
    assert background_text(nothing, 0) == "not painted yet"


def _annotation(*squares):
    ids = np.zeros((24, 24), np.uint16)
    for number, x in squares:
        ids[4:12, x : x + 6] = number
    return ids


@pytest.mark.parametrize("region", [None, "around", "objects alone", "nothing"])
@pytest.mark.parametrize(
    "squares",
    [[], [(1, 2)], [(2, 2)], [(2, 2), (3, 8)], [(2, 2), (3, 16)], [(1, 2), (2, 8)]],
)
def test_it_can_learn_when_the_learner_can(squares, region):
    ids = _annotation(*squares)
    complete = None if region is None else np.zeros(ids.shape, bool)
    if region == "around":
        complete[:20] = True
    elif region == "objects alone":
        complete[ids > 0] = True
    learner = Learner(LearnerConfig(device="cpu", annotation_mode="objects"))
    learner.annotate(np.random.default_rng(0).random(ids.shape), ids, complete=complete)
    classes = ClassList()
    classes.set_mode("objects")
    tiled = [None if a is None else TiledLabels.of(a) for a in (ids, complete)]
    painted = Painted(tiled[0], "objects", tiled[1])
    for event in count_job(CancelToken(), {"k": painted}):
        classes.set_counts(event)
    assert classes.can_learn == learner.can_learn


def test_counts_of_the_other_mode_come_too_late():
    classes = ClassList()
    ids = TiledLabels.of(_annotation((1, 2), (5, 8)))
    [late] = count_job(CancelToken(), {"k": Painted(ids)})
    classes.set_mode("objects")
    classes.set_counts(late)
    assert len(classes) == 2
    assert classes.get(1).n_px == 0


def test_classes_and_their_names_come_back_with_strokes(painted, qtbot):
    case = painted()
    case.state.classes.rename(2, "nucleus")
    case.state.classes.add()
    case.state.set_mode("objects")
    assert case.live.inbox.calls("name_classes")[-1][0] == {
        1: "background",
        2: "object",
    }
    case.state.set_mode("strokes")
    assert case.state.classes.names == {1: "background", 2: "nucleus", 3: "class 3"}


# -- what it looks like ----------------------------------------------------------------


def test_objects_have_colours_and_the_background_is_grey(objects):
    paint_both(objects.layer)
    colours = objects.layer.colormap
    red, green, blue, _ = colours.map(1)
    assert max(red, green, blue) - min(red, green, blue) < 0.1
    assert not np.allclose(colours.map(2), colours.map(3))


def test_it_fits_a_small_screen(objects, qtbot):
    paint_both(objects.layer)
    qtbot.waitUntil(lambda: objects.state.can_learn)
    objects.dock.resize(320, 700)
    objects.dock.refresh()
    assert objects.state.objects.is_on
    assert objects.dock.minimumSizeHint().height() <= 700
    assert objects.dock.minimumSizeHint().width() <= 320
    objects.dock.paint.strokes.click()
    objects.dock.refresh()
    assert objects.dock.minimumSizeHint().height() <= 700
