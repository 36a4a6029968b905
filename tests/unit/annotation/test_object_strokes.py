"""Objects as strokes: held out as a whole, and with what they touch."""

import numpy as np
import pytest

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.object_strokes import find_object_strokes
from napari_unet.annotation.objects import BORDER, INSIDE, object_targets
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.errors import AnnotationError


def _squares(*numbers, side=12, gap=0):
    """Return squares in a row, ``gap`` px apart; 0 in ``numbers`` leaves one out."""
    ids = np.zeros((side + 4, len(numbers) * (side + gap) + 4), np.uint16)
    for place, number in enumerate(numbers):
        x = 2 + place * (side + gap)
        ids[2 : 2 + side, x : x + side] = number
    return ids


def _annotated(ids, before=None, complete=None, n_folds=3, mode="objects"):
    before = before or AnnotationSet(mode=mode)
    source = ImageSource("image", PlaneStack(np.zeros(ids.shape, np.uint8)))
    return before.with_image(source, ids, n_folds, complete=complete)


def _folds(annotations):
    """Return the fold of each annotated pixel of the only image, -1 elsewhere."""
    (image,) = annotations.images
    folds = np.full(image.annotation.shape, -1)
    for stroke in image.strokes:
        folds[(*image.source.stack.index(stroke.plane), *stroke.yx.T)] = stroke.fold
    return folds


def test_each_object_has_two_parts_and_touching_ones_a_bundle():
    ids = _squares(5, 9, 0, 7)
    ids[0] = 1
    strokes = find_object_strokes(ids, object_targets(ids), plane=3, n_bundles=10)
    assert [s.value for s in strokes] == [1, INSIDE, BORDER, INSIDE, INSIDE, BORDER]
    assert {stroke.plane for stroke in strokes} == {3}
    background, first, rim, alone, second, other_rim = strokes
    assert background.bundle == 0
    assert first.bundle == rim.bundle == second.bundle == other_rim.bundle > 10
    assert alone.bundle not in (0, first.bundle)
    covered = np.zeros(ids.shape, int)
    for stroke in strokes:
        covered[tuple(stroke.yx.T)] += 1
    np.testing.assert_array_equal(covered, ids > 0)  # each pixel in one stroke


def test_an_object_in_two_pieces_is_one():
    ids = _squares(5, 0, 5)
    (stroke,) = find_object_strokes(ids, object_targets(ids))
    assert stroke.n_px == 2 * 12 * 12


def test_where_cells_fill_the_plane_they_are_bundled_by_place():
    ids = np.arange(2, 2 + 64).reshape(8, 8).repeat(10, 0).repeat(10, 1)
    strokes = find_object_strokes(ids, object_targets(ids), region_px=40)
    for value in (INSIDE, BORDER):
        bundles = [s.bundle for s in strokes if s.value == value]
        assert len(bundles) == 64
        assert len(set(bundles)) == 4
    for stroke in strokes:
        # the whole cell, by the square in which its centre lies
        cell = np.unique(ids[tuple(stroke.yx.T)])
        assert len(cell) == 1
        same = [s.bundle for s in strokes if ids[tuple(s.yx[0])] == cell[0]]
        assert set(same) == {stroke.bundle}


def test_touching_objects_are_held_out_together():
    ids = _squares(2, 3, 0, 4, 5, 0, 6, 7, 0, 8, 9, 0, 10)
    folds = _folds(_annotated(ids))
    for pair in ((2, 3), (4, 5), (6, 7), (8, 9)):
        assert len(np.unique(folds[np.isin(ids, pair)])) == 1
    assert set(np.unique(folds[ids > 0])) == {0, 1, 2}


def test_folds_stay_while_objects_are_added():
    ids = _squares(2, 3, 0, 4, 0, 5, 6, 0, 0, 7)
    before = _annotated(ids)
    ids = np.where(ids > 1, ids + 30, 0).astype(np.uint16)
    again = _annotated(ids, before)  # the numbers do not matter
    np.testing.assert_array_equal(_folds(again), _folds(before))
    was_painted = ids > 0
    ids[3:8, -30:-24] = 90
    added = _annotated(ids, again)
    np.testing.assert_array_equal(
        _folds(added)[was_painted], _folds(before)[was_painted]
    )
    assert (_folds(added)[ids == 90] >= 0).all()


def test_a_border_is_always_trained_on():
    ids = _squares(2, 0, 3, 0, 4)
    before = _annotated(ids)
    folds = _folds(before)
    held_out = int(ids[folds == HELD_OUT_FOLD].max())
    # a neighbour for the held-out one: now the only border is not in training
    x = 2 + 12 * (2 * (held_out - 2) + 1)
    ids[2:14, x : x + 4] = 20
    after = _annotated(ids, before)
    assert BORDER in after.values
    trained = [s for _, s in after.strokes if s.fold != HELD_OUT_FOLD]
    assert {s.value for s in trained} == {INSIDE, BORDER}
    pair = np.isin(ids, (held_out, 20))
    assert set(np.unique(_folds(after)[pair])) == {1}  # all of both


def test_users_see_two_classes():
    ids = _squares(2, 3)
    ids[0] = 1
    annotations = _annotated(ids)
    assert annotations.values == (1, 2, 3)
    assert annotations.shown_values == (1, 2)
    assert annotations.n_objects == 2
    (image,) = annotations.images
    box = tuple(slice(0, n) for n in ids.shape)
    np.testing.assert_array_equal(image.shown(0, box), np.minimum(ids, 2))
    np.testing.assert_array_equal(image.objects, ids)


def test_more_objects_than_a_network_has_classes():
    ids = _squares(*range(2, 402), side=2, gap=4)
    annotations = _annotated(ids)
    assert annotations.n_objects == 400
    assert annotations.values == (INSIDE,)


def test_what_is_missing_is_said():
    ids = _squares(2, 3)
    with pytest.raises(AnnotationError, match="Only objects are painted: paint backgr"):
        _annotated(ids).require_two_classes()
    one = np.where(ids == 2, 2, 0).astype(np.uint16)
    with pytest.raises(AnnotationError, match="declare a region complete"):
        _annotated(one).require_two_classes()
    with pytest.raises(AnnotationError, match="Only background"):
        _annotated((ids > 2).astype(np.uint16)).require_two_classes()
    with pytest.raises(AnnotationError, match="Nothing is painted"):
        _annotated(np.zeros_like(ids)).require_two_classes()
    _annotated(ids, complete=np.ones(ids.shape, bool)).require_two_classes()
    # cells fill all that is declared: there is a border, and no background
    filled = ids[2:14, 2:26]
    _annotated(filled, complete=np.ones(filled.shape, bool)).require_two_classes()


def test_a_complete_region_of_strokes_has_its_background():
    ids = _squares(2, 3)
    complete = np.zeros(ids.shape, bool)
    complete[:2] = True
    (image,) = _annotated(ids, complete=complete, mode="strokes").images
    expected = np.where(complete & (ids == 0), 1, ids)
    np.testing.assert_array_equal(image.annotation, expected)
    assert image.objects is None


def test_planes_have_bundles_of_their_own():
    ids = np.stack([_squares(2, 3), _squares(2, 3)])
    (image,) = _annotated(ids).images
    bundles = {p: {s.bundle for s in image.strokes if s.plane == p} for p in (0, 1)}
    assert not bundles[0] & bundles[1]
    assert image.n_objects == 2
