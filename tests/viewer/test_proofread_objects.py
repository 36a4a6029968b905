"""Proofreading objects: numbers of their own, through z, with nothing cut at a rim."""

import numpy as np
import pytest

from napari_unet.jobs import ConfidenceFound, ObjectsFound
from napari_unet.widgets._proofread_sight import Sight
from napari_unet.widgets._proofread_tool import GESTURES

FIRST = (slice(20, 50), slice(20, 50))
SECOND = (slice(40, 80), slice(80, 110))
# cut where classes are one
LEFT, RIGHT = (slice(40, 80), slice(80, 95)), (slice(40, 80), slice(95, 110))


@pytest.fixture
def objects(open_dock, blobs, qtbot):
    """Return a function that opens the dock in the mode objects, with two found."""

    def make(image=None, ids=None, is_whole=True):
        image = blobs if image is None else image
        case = open_dock()
        case.viewer.add_image(image, name="blobs")
        case.state.set_mode("objects")
        case.layer = case.state.book.new_annotation()
        plane = (0,) * (image.ndim - 2)
        places = tuple(np.array([i, i]) for i in plane)
        y, x = np.array([88, 88]), np.array([10, 11])
        case.layer.data_setitem((*places, y, x), 5)
        case.layer.data_setitem((*places, y, x + 60), 1)
        qtbot.waitUntil(lambda: case.state.session.shown != "")
        case.entry = case.state.book.current
        case.viewer.scene.camera.center = (48.0, 64.0)
        case.viewer.scene.camera.zoom = 2.0
        case.state.predict_all()
        qtbot.waitUntil(lambda: case.entry.is_complete)
        # the fake has one value for each annotated one, as it does for classes
        case.entry.prediction.data[:] = np.where(image > 100, 2, 1)
        if ids is None:
            ids = np.zeros(image.shape, np.uint16)
            ids[(..., *FIRST)], ids[(..., *SECOND)] = 7, 9
        case.ids = ids
        found = ObjectsFound(
            case.entry.key, (), 0, 0, ids, 2, 99, None, is_whole=is_whole
        )
        assert case.state.objects.write(found)
        case.before = case.layer.data.copy()
        case.proof = case.state.proofread
        return case

    return make


@pytest.fixture
def shown(painted, qtbot, blobs):
    """Return a function that shows objects (number -> box) beside strokes."""

    def make(boxes):
        case = painted()
        entry = case.state.book.current
        case.viewer.scene.camera.center = (48.0, 64.0)
        case.state.predict_all()
        qtbot.waitUntil(lambda: entry.is_complete)
        case.state.objects.set_on(True)
        ids = np.zeros(blobs.shape, np.uint16)
        for number, box in boxes.items():
            ids[box] = number
        n = len(boxes)
        assert case.state.objects.write(
            ObjectsFound(entry.key, (), 0, 0, ids, n, 99, None, is_whole=True)
        )
        return case

    return make


def whole_of(box):
    mask = np.zeros((96, 128), bool)
    mask[box] = True
    return mask


def numbers_of(case, where):
    return np.unique(case.layer.data[where]).tolist()


def test_an_object_gets_a_number_of_its_own(objects):
    case = objects()
    case.proof.accept((60, 95))
    (number,) = numbers_of(case, SECOND)
    assert number > 5
    assert number != case.layer.selected_label  # which somebody is painting with
    assert (case.layer.data == number).sum() == 1200
    assert case.proof.tally.counts == (1200, 1)
    assert "1 object, 1,200 px" in case.state.session.message
    case.proof.accept((30, 30))
    (other,) = numbers_of(case, FIRST)
    assert other not in (number, 5, 1)
    case.layer.undo()
    case.layer.undo()
    np.testing.assert_array_equal(case.layer.data, case.before)


def test_an_object_painted_in_part_keeps_its_number(objects):
    case = objects()
    case.layer.data_setitem(tuple(np.mgrid[45:49, 85:95].reshape(2, -1)), 6)
    case.proof.accept((60, 95))
    assert numbers_of(case, SECOND) == [6]
    case.proof.accept_plane()  # what is annotated is left alone
    assert numbers_of(case, SECOND) == [6]


def test_the_plane_with_its_background(objects):
    case = objects()
    case.proof.accept_plane()
    after = case.layer.data
    first, second = numbers_of(case, FIRST), numbers_of(case, SECOND)
    assert len(first) == len(second) == 1
    assert first != second
    assert (after[case.ids == 0] <= 5).all()
    assert (after[(case.ids == 0) & (case.before == 0)] == 1).all()
    assert case.proof.tally.counts[1] == 2
    case.layer.undo()
    np.testing.assert_array_equal(after, case.before)


def test_what_the_edge_of_the_view_cuts_is_left_out(objects):
    case = objects(is_whole=False)
    case.viewer.scene.camera.zoom = 20.0
    case.viewer.scene.camera.center = (60.0, 80.0)
    case.proof.accept_plane()
    assert numbers_of(case, SECOND) == [0]
    assert case.layer.data[60, 78] == 1  # the background beside it


def test_a_lasso_takes_whole_objects(objects):
    case = objects()
    corners = np.array([[38.0, 78], [38, 112], [70, 112], [70, 78]])
    case.proof.begin("lasso")
    case.proof._on_drawn(case.proof.tool.gesture, corners)
    (number,) = numbers_of(case, SECOND)  # all of it, with what lies outside
    assert number > 5
    assert numbers_of(case, FIRST) == [0]
    assert (case.layer.data[38:40, 80:110] == 1).all()
    assert not case.layer.data[85, 80:110].any()


def test_sure_objects(objects, qtbot):
    case = objects()
    labels = np.where(case.ids > 0, 2, 1).astype(np.uint16)
    confidence = np.full(labels.shape, 0.97, np.float32)
    confidence[60:80, 80:110] = 0.55  # half of the second: its mean is too low
    labels[30:32, 30:32] = 1  # a few pixels of the first the model calls background
    confidence[80:] = 0.6
    case.proof.accept_sure()
    qtbot.waitUntil(lambda: case.live.inbox.calls("find_confidence") != [])
    found = ConfidenceFound(case.entry.key, (), 0, 0, labels, confidence)
    case.proof.hear(found)
    (number,) = numbers_of(case, FIRST)
    assert number > 5
    assert numbers_of(case, SECOND) == [0]
    assert case.layer.data[10, 10] == 1
    assert not case.layer.data[85].any()
    before = case.layer.data.copy()
    case.proof.hear(found)  # which nobody has asked for
    np.testing.assert_array_equal(case.layer.data, before)


def test_rejecting(objects):
    case = objects()
    case.proof.reject((60, 95))
    assert numbers_of(case, SECOND) == [1]
    case.layer.undo()
    case.proof.accept((60, 95))
    case.proof.reject((60, 95))
    assert numbers_of(case, SECOND) == [0]


def test_split_and_merge_annotated_and_found_ones(objects):
    case = objects()
    case.proof._on_drawn(GESTURES["split"], np.array([[60.0, 70], [60, 118]]))
    low = numbers_of(case, (slice(40, 59), slice(80, 110)))
    high = numbers_of(case, (slice(62, 80), slice(80, 110)))
    assert len(low) == len(high) == 1
    assert low != high
    assert 0 not in low + high
    assert (case.layer.data[SECOND] > 1).all()  # no seam between numbered ones
    case.proof._on_drawn(GESTURES["merge"], np.array([[50.0, 95], [70, 95]]))
    assert len(numbers_of(case, SECOND)) == 1
    case.layer.undo()
    case.layer.undo()
    np.testing.assert_array_equal(case.layer.data, case.before)
    case.proof._on_drawn(GESTURES["merge"], np.array([[30.0, 40], [60, 95]]))
    assert numbers_of(case, FIRST) == numbers_of(case, SECOND)
    (number,) = numbers_of(case, SECOND)
    assert (case.layer.data[:, 55:75] == number).any(axis=0).all()


def test_relabel_gives_a_number_or_background(objects):
    case = objects()
    case.proof.accept((60, 95))
    (old,) = numbers_of(case, SECOND)
    case.proof.relabel((60, 95))
    (new,) = numbers_of(case, SECOND)
    assert new not in (old, 0, 1)
    case.state.brush.select(1)
    case.proof.relabel((60, 95))
    assert numbers_of(case, SECOND) == [1]
    case.state.brush.select(2)
    case.proof.relabel((5, 5))  # all the background would be one object
    assert "nothing to relabel" in case.state.session.message


def test_objects_in_a_hole_stay(objects, blobs):
    ids = np.zeros((96, 128), np.uint16)
    ids[SECOND] = 9
    ids[50:70, 88:102] = 0
    ids[58:62, 92:96] = 4
    case = objects(ids=ids)
    case.proof.fill_holes((45, 85))
    (number,) = numbers_of(case, (slice(50, 56), slice(88, 102)))
    assert number > 5
    assert numbers_of(case, (slice(58, 62), slice(92, 96))) == [0]


def test_objects_go_on_through_z(objects, blobs):
    image = np.stack([blobs] * 5)
    case = objects(image)
    case.viewer.dims.set_current_step(0, 2)
    case.proof.accept((2, 60, 95))
    numbers = [numbers_of(case, (z, *SECOND)) for z in range(5)]
    assert numbers[0] != [0]
    assert all(n == numbers[0] for n in numbers)
    assert case.proof.tally.counts == (5 * 1200, 1)
    case.layer.undo()
    # plane by plane, an object keeps the number it has beside
    case.proof.accept_plane()
    assert numbers_of(case, (1, *SECOND)) == [0]
    (number,) = numbers_of(case, (2, *SECOND))
    case.viewer.dims.set_current_step(0, 3)
    case.proof.accept_plane()
    assert numbers_of(case, (3, *SECOND)) == [number]


def test_objects_shown_while_strokes_are_painted(shown):
    case = shown({3: LEFT, 4: RIGHT})
    case.state.proofread.accept((60, 85))
    assert (case.layer.data[40:80, 80:95] == 2).all()
    assert not case.layer.data[40:80, 95:110].any()


def test_no_number_is_left(objects):
    case = objects()
    small = np.arange(96 * 128, dtype=np.uint16).reshape(96, 128) + 53_300
    case.layer.data[:] = np.where(case.ids > 0, 0, small)
    case.layer.refresh()
    case.proof.accept((60, 95))
    (number,) = numbers_of(case, SECOND)
    assert 1 < number < 53_300  # a gap, now that the highest are used


def test_what_was_painted_in_a_shown_object_stays(shown):
    case = shown({3: LEFT, 4: RIGHT})
    third = case.state.classes.add().value
    mine = (slice(41, 44), slice(81, 84))
    places = np.nonzero(whole_of(mine))
    case.layer.data_setitem(places, third)
    case.state.proofread._on_drawn(GESTURES["merge"], np.array([[60, 85], [60, 105]]))
    assert "Merged" in case.state.session.message
    assert (case.layer.data[mine] == third).all()
    assert (case.layer.data[50:80, 80:110] == 2).all()
    case.layer.undo()
    case.state.proofread._on_drawn(GESTURES["split"], np.array([[70, 75], [70, 96]]))
    assert "Split" in case.state.session.message
    assert (case.layer.data[mine] == third).all()
    case.state.proofread.reject((42, 82))  # which is a thing by itself
    assert not case.layer.data[mine].any()


@pytest.mark.parametrize("cut", [[[60, 75], [60, 112]], [[45, 75], [75, 112]]])
def test_a_shown_object_that_was_split_is_joined_again(shown, cut):
    case = shown({3: SECOND})
    mine = (slice(42, 48), slice(100, 106))  # background, painted by hand
    case.layer.data_setitem(np.nonzero(whole_of(mine)), 1)
    is_rest = whole_of(SECOND) & ~whole_of(mine)
    case.state.proofread._on_drawn(GESTURES["split"], np.array(cut))
    assert (case.layer.data[is_rest] == 1).any()
    case.state.proofread._on_drawn(GESTURES["merge"], np.array([[40, 95], [80, 95]]))
    assert "Merged" in case.state.session.message
    assert (case.layer.data[is_rest] == 2).all()
    assert (case.layer.data[mine] == 1).all()


def test_halves_that_are_shown_as_two_are_joined_again(shown):
    case = shown({3: SECOND})
    entry = case.state.book.current
    beside = (slice(30, 40), slice(94, 96))  # background above, painted by hand
    case.layer.data_setitem(np.nonzero(whole_of(beside)), 1)
    case.state.proofread._on_drawn(GESTURES["split"], np.array([[60, 75], [60, 112]]))
    seam = whole_of(SECOND) & (case.layer.data == 1)
    assert seam.sum() >= 60  # across all of it
    ids = np.zeros(seam.shape, np.uint16)
    ids[SECOND] = 3
    ids[60:80][ids[60:80] > 0] = 4
    ids[seam] = 0
    found = ObjectsFound(entry.key, (), 0, 0, ids, 2, 99, None, is_whole=True)
    assert case.state.objects.write(found)
    entry.prediction.data[seam] = 1
    case.state.proofread._on_drawn(GESTURES["merge"], np.array([[45, 95], [75, 95]]))
    assert "Merged 2" in case.state.session.message
    assert (case.layer.data[SECOND] == 2).all()
    assert (case.layer.data[beside] == 1).all()


def test_a_line_reads_what_it_crosses_once(objects, monkeypatch):
    case = objects()
    n_read = []
    painted = Sight.painted

    def counted(sight, box):
        n_read.append(box)
        return painted(sight, box)

    monkeypatch.setattr(Sight, "painted", counted)
    case.proof._on_drawn(GESTURES["merge"], np.array([[2, 0], [2, 127]]))
    assert "must touch two objects" in case.state.session.message
    assert 0 < len(n_read) < 10  # and not once for each of 128 pixels


def test_a_line_may_begin_and_end_outside_of_the_image(objects):
    case = objects()
    before = case.layer.data.copy()
    line = np.array([[20, -30], [60, 140]])  # across both
    case.proof._on_drawn(GESTURES["merge"], line)
    assert "Merged" in case.state.session.message
    (number,) = numbers_of(case, FIRST)
    assert numbers_of(case, SECOND) == [number] != [0]
    case.layer.undo()
    np.testing.assert_array_equal(case.layer.data, before)
    case.proof._on_drawn(GESTURES["split"], np.array([[-20.0, 35], [120, 35]]))
    assert "Split" in case.state.session.message
    case.layer.undo()
    case.proof._on_drawn(GESTURES["split"], np.array([[-20.0, -35], [-10, 135]]))
    assert "cuts no object" in case.state.session.message
