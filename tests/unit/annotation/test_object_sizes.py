"""How small an object may be, from those that are annotated."""

import numpy as np
import pytest

from napari_unet.annotation.object_sizes import (
    ObjectSizes,
    object_sizes,
    smallest_object_px,
)


def _sorted(sizes):
    return sorted(sizes.whole.tolist()), sorted(sizes.cut.tolist())


def _sizes(whole, cut=()):
    return ObjectSizes(np.array(whole, np.intp), np.array(cut, np.intp))


@pytest.fixture
def ids():
    """Objects of 6, 12 and 20 px, one of 8 px at the border, and background."""
    ids = np.zeros((20, 20), np.uint16)
    ids[18, 1:19] = 1
    ids[2:4, 2:5] = 2
    ids[2:5, 8:12] = 7
    ids[8:12, 2:7] = 3
    ids[8:10, 16:] = 4
    return ids


def test_objects_at_the_border_count_as_they_are(ids):
    assert _sorted(object_sizes(ids)) == ([6, 8, 12, 20], [])


def test_what_ends_at_the_edge_of_a_complete_part_is_cut(ids):
    complete = np.zeros(ids.shape, bool)
    complete[:4] = True  # object 2 ends there, object 7 goes on
    assert _sorted(object_sizes(ids, complete)) == ([8, 12, 20], [6])
    complete[:] = True
    assert _sorted(object_sizes(ids, complete)) == ([6, 8, 12, 20], [])


@pytest.mark.parametrize("edge", [np.s_[:, :5], np.s_[:, 2:], np.s_[2:]])
def test_every_side_of_a_complete_part_is_an_edge(ids, edge):
    complete = np.zeros(ids.shape, bool)
    complete[edge] = True
    assert 6 in object_sizes(ids, complete).cut


def test_through_z_the_largest_section_counts(ids):
    smaller = np.where(np.arange(20) % 2, ids, 0)
    stack = np.stack([np.zeros_like(ids), smaller, ids, smaller])
    assert _sorted(object_sizes(stack)) == ([6, 8, 12, 20], [])
    assert _sorted(object_sizes(stack, axes="ZYX")) == ([6, 8, 12, 20], [])


def test_time_points_have_objects_of_their_own(ids):
    film = np.stack([ids, np.where(ids == 2, ids, 0)])
    expected = ([6, 6, 8, 12, 20], [])
    assert _sorted(object_sizes(film, axes="TYX")) == expected
    both = np.stack([film, film], axis=1)
    assert _sorted(object_sizes(both, axes="TZYX")) == expected
    complete = np.zeros(film.shape, bool)
    complete[1, :, :5] = True
    assert _sorted(object_sizes(film, complete, "TYX")) == ([6, 8, 12, 20], [6])


def test_a_quarter_of_the_fifth_percentile():
    # 100, 110, ..., 300: the 5th percentile is the second smallest
    assert smallest_object_px([_sizes(range(100, 301, 10))]) == 28  # 110 / 4 = 27.5
    both = [_sizes(range(100, 200, 10)), _sizes(range(200, 301, 10))]
    assert smallest_object_px(both) == 28
    assert smallest_object_px([_sizes([40, 40, 40])]) == 10


def test_cut_objects_count_only_where_others_are_few():
    assert smallest_object_px([_sizes([80, 80, 80], [4] * 50)]) == 20
    assert smallest_object_px([_sizes([80, 80], [80])]) == 20
    assert smallest_object_px([_sizes([80], [4, 4])]) == 1


@pytest.mark.parametrize("sizes", [[], [_sizes([])], [_sizes([80], [80])]])
def test_fewer_than_three_say_nothing(sizes):
    assert smallest_object_px(sizes) is None


def test_nothing_is_painted():
    assert _sorted(object_sizes(np.zeros((3, 4, 5), np.uint8))) == ([], [])


def test_a_complete_part_may_end_where_a_tile_does():
    ids = np.zeros((600, 600), np.uint16)
    ids[250:256, 10:15] = 2
    ids[200:210, 200:210] = 3
    complete = np.zeros(ids.shape, bool)
    complete[:256] = True
    assert _sorted(object_sizes(ids, complete)) == ([100], [30])
