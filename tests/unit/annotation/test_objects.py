"""Objects with an id each become inside, border and background."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.annotation.objects import (
    BACKGROUND,
    BORDER,
    INSIDE,
    number_instances,
    object_targets,
)
from napari_unet.errors import AnnotationError

SHAPE = (9, 11)
IDS = arrays(np.uint8, SHAPE, elements=st.integers(0, 5))
MASKS = arrays(np.bool_, SHAPE)


def _two_touching():
    ids = np.zeros((12, 20), np.uint16)
    ids[2:10, 2:10], ids[2:10, 10:18] = 7, 40
    return ids


def test_touching_objects_get_a_border_on_both_sides():
    targets = object_targets(_two_touching(), border_px=2)
    assert targets.dtype == np.uint8
    assert (targets[2:10, 8:12] == BORDER).all()
    assert (targets[2:10, 2:8] == INSIDE).all()
    assert (targets[2:10, 12:18] == INSIDE).all()
    assert not targets[:2].any()  # nothing is claimed where nothing is painted


def test_a_lonely_object_is_all_inside():
    ids = _two_touching()
    ids[ids == 40] = 0
    targets = object_targets(ids)
    assert set(np.unique(targets)) == {0, INSIDE}


def test_a_narrow_gap_has_border_beside_it_and_stays_what_it_is():
    ids = np.insert(_two_touching(), 10, 1, axis=1)
    targets = object_targets(ids, border_px=2)
    assert (targets[:, 10] == BACKGROUND).all()
    assert (targets[2:10, [9, 11]] == BORDER).all()
    assert (targets[2:10, [8, 12]] == INSIDE).all()


def test_what_is_no_object_is_background_where_all_is_painted():
    ids = _two_touching()
    ids[0, 0] = 1
    complete = np.zeros(ids.shape, bool)
    complete[:, :9] = True
    targets = object_targets(ids, complete)
    background = (ids == 1) | ((ids == 0) & complete)
    np.testing.assert_array_equal(targets == BACKGROUND, background)
    assert (targets[:, 18:] == 0).all()


def test_objects_of_other_planes_are_no_neighbours():
    ids = np.zeros((2, 3, 6, 6), np.uint8)
    ids[0, 0, 2:4, 2:4], ids[0, 1, 2:4, 2:4] = 2, 3
    assert set(np.unique(object_targets(ids))) == {0, INSIDE}


@pytest.mark.parametrize("border_px", [1, 2, 2.5, 4])
def test_it_is_the_distance_to_another_object(border_px):
    rng = np.random.default_rng(3)
    ids = rng.choice([0, 1, 2, 3, 4], (14, 13), p=[0.5, 0.3, 0.1, 0.05, 0.05])
    targets = object_targets(ids, border_px=border_px)
    places = np.argwhere(ids > 1)
    for y, x in np.ndindex(ids.shape):
        others = [p for p in places if ids[tuple(p)] != ids[y, x]]
        nearest = min(np.hypot(*(np.array(others) - (y, x)).T))
        is_border = ids[y, x] > 1 and nearest <= border_px
        assert (targets[y, x] == BORDER) == is_border
        assert is_border or targets[y, x] == min(ids[y, x], 2)


@settings(deadline=None, max_examples=50)
@given(ids=IDS, complete=MASKS, numbers=st.permutations(range(2, 6)))
def test_the_numbers_do_not_matter(ids, complete, numbers):
    lookup = np.array([0, 1, *(1000 * n for n in numbers)], np.uint16)
    targets = object_targets(ids, complete)
    np.testing.assert_array_equal(object_targets(lookup[ids], complete), targets)
    turned = object_targets(ids.T, complete.T).T
    np.testing.assert_array_equal(turned, targets)


@settings(deadline=None, max_examples=50)
@given(ids=IDS, complete=MASKS)
def test_no_pixel_changes_sides(ids, complete):
    targets = object_targets(ids, complete)
    np.testing.assert_array_equal(targets >= INSIDE, ids > 1)
    np.testing.assert_array_equal(targets == 0, (ids == 0) & ~complete)


def test_instances_of_other_programs_get_a_painted_background():
    instances = np.array([[0, 1, 255], [0, 0, 3]], np.uint8)
    ids = number_instances(instances)
    np.testing.assert_array_equal(ids, [[1, 2, 256], [1, 1, 4]])
    assert number_instances(instances[:, :2]).dtype == np.uint8


@pytest.mark.parametrize("lowest", [-1, -2])
def test_instances_below_0_are_refused(lowest):
    """They would have become unlabelled, or objects with large numbers."""
    with pytest.raises(AnnotationError, match=f"number {lowest}: give 0 for backgro"):
        number_instances(np.array([[0, lowest, 3]], np.int16))


@pytest.mark.parametrize(
    ("ids", "keywords", "words"),
    [
        (np.zeros(4, int), {}, "2D or more"),
        (np.zeros((4, 4)), {}, "whole numbers"),
        (np.full((4, 4), -2), {}, "number -2"),
        (np.zeros((4, 4), int), {"border_px": 0.5}, "0.5 px"),
        (np.zeros((4, 4), int), {"border_px": float("nan")}, "nan px"),
        (np.zeros((4, 4), int), {"complete": np.ones((4, 5), bool)}, r"\(4, 5\)"),
    ],
)
def test_what_is_no_annotation_of_objects_is_refused(ids, keywords, words):
    with pytest.raises(AnnotationError, match=words):
        object_targets(ids, **keywords)
