"""Ids that stay with their objects."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_unet.inference.keep_ids import keep_ids

IDS = arrays(np.uint16, (6, 7), elements=st.integers(0, 5))


def test_an_object_keeps_its_id_where_it_moved_a_little():
    old = np.array([[7, 7, 0, 3, 3]])
    new = np.array([[0, 2, 2, 1, 1]])
    assert keep_ids(new, old).tolist() == [[0, 7, 7, 3, 3]]


def test_of_two_halves_the_larger_keeps_the_id():
    old = np.array([[4, 4, 4, 4, 4]])
    new = np.array([[1, 1, 2, 2, 2]])
    assert keep_ids(new, old).tolist() == [[5, 5, 4, 4, 4]]


def test_of_two_that_became_one_the_larger_gives_the_id():
    old = np.array([[4, 4, 9, 9, 9]])
    assert keep_ids(np.ones_like(old), old).tolist() == [[9] * 5]


def test_new_objects_get_ids_that_nobody_had():
    old = np.array([[8, 0, 0]])
    assert keep_ids(np.array([[1, 0, 2]]), old).tolist() == [[8, 0, 9]]


def test_ids_that_are_in_use_elsewhere_go_to_nobody_else():
    old = np.array([[8, 0, 0]])
    assert keep_ids(np.array([[1, 0, 2]]), old, 20).tolist() == [[8, 0, 20]]


def test_nothing_stays_nothing():
    empty = np.zeros((2, 3), int)
    assert not keep_ids(empty, np.ones_like(empty)).any()


@given(IDS, IDS)
def test_the_objects_are_the_same_ones(new, old):
    result = keep_ids(new, old)
    assert np.array_equal(result > 0, new > 0)
    pairs = np.unique(np.stack([new.ravel(), result.ravel()]), axis=1)
    assert len(pairs[0]) == len(np.unique(new)) == len(np.unique(result))


@given(IDS)
def test_what_did_not_change_keeps_every_id(old):
    assert np.array_equal(keep_ids(old, old), old)
