"""What a person points at: regions, objects, polygons, and only what is needed."""

import numpy as np
import pytest

from napari_unet.annotation.proofreading import (
    confident_objects,
    known_objects,
    objects_at_rim,
    objects_inside,
    part_at,
    polygon_mask,
)


@pytest.fixture
def reader():
    """Return a function that reads an array by boxes, and notes how much it read."""

    def make(array):
        def read(box):
            read.n_px += int(np.prod([s.stop - s.start for s in box]))
            return array[box]

        read.n_px = 0
        return read

    return make


def whole(part, shape):
    mask = np.zeros(shape, bool)
    mask[part.box] = part.mask
    return mask


def test_a_region_is_what_hangs_together(reader):
    labels = np.ones((60, 80), np.uint8)
    labels[10:20, 10:30] = labels[40:50, 50:60] = 2
    labels[20, 30] = 2  # touches at a corner only
    part = part_at(reader(labels), labels.shape, (12, 12), is_connected=True)
    assert (part.value, part.n_px, part.is_cut) == (2, 200, False)
    assert part.box == (slice(10, 20), slice(10, 30))
    part = part_at(reader(labels), labels.shape, (12, 12), is_connected=False)
    assert part.n_px == 301


def test_unlabelled_and_outside_are_nothing(reader):
    labels = np.zeros((30, 30), np.uint8)
    for point in ((3, 3), (30, 3), (-1, 3)):
        assert part_at(reader(labels), labels.shape, point, is_connected=True) is None


def test_only_what_is_around_is_read(reader):
    labels = np.broadcast_to(np.uint8(0), (100_000, 100_000))
    patch = np.zeros((40, 40), np.uint8)
    patch[5:35, 5:35] = 3
    corner = 50_000

    def read(box):
        read.n_px += int(np.prod([s.stop - s.start for s in box]))
        result = np.zeros([s.stop - s.start for s in box], np.uint8)
        y, x = (corner - s.start for s in box)
        result[y : y + 40, x : x + 40] = patch
        return result

    read.n_px = 0
    part = part_at(read, labels.shape, (corner + 20, corner + 20), is_connected=True)
    assert part.n_px == 900
    assert read.n_px == 512 * 512


def test_a_long_region_is_followed_to_its_end(reader):
    labels = np.zeros((40, 5000), np.uint8)
    labels[10:14, 100:4900] = 2
    part = part_at(reader(labels), labels.shape, (11, 200), is_connected=True)
    assert (part.n_px, part.is_cut) == (4 * 4800, False)


def test_what_is_too_large_is_cut_and_says_so(reader):
    labels = np.ones((3000, 3000), np.uint8)
    read = reader(labels)
    part = part_at(read, labels.shape, (1500, 1500), is_connected=True, max_px=700**2)
    assert part.is_cut
    assert part.n_px == 512 * 512
    assert read.n_px == 512 * 512


def test_an_object_goes_on_through_planes_if_asked(reader):
    ids = np.zeros((9, 40, 40), np.uint16)
    ids[2:7, 10:20, 10:20] = 5
    ids[2:7, 25:30, 25:30] = 6
    read = reader(ids)
    one = part_at(read, ids.shape, (4, 12, 12), is_connected=False)
    assert (one.n_px, one.box[0]) == (100, slice(4, 5))
    volume = part_at(read, ids.shape, (4, 12, 12), is_connected=False, through=(0,))
    assert (volume.n_px, volume.box[0]) == (500, slice(2, 7))
    np.testing.assert_array_equal(whole(volume, ids.shape), ids == 5)


def test_a_polygon_is_filled_as_far_as_it_lies_in_the_plane():
    corners = np.array([[10.0, 10.0], [10.0, 20.0], [20.0, 20.0], [20.0, 10.0]])
    box, mask = polygon_mask(corners, (100, 100))
    assert box == (slice(10, 21), slice(10, 21))
    assert mask.sum() == 121
    box, mask = polygon_mask(corners - 15, (100, 100))
    assert box == (slice(0, 6), slice(0, 6))
    assert mask.all()
    _, mask = polygon_mask(corners - 200, (100, 100))
    assert mask.size == 0


def test_objects_count_as_inside_by_their_larger_half():
    ids = np.zeros((20, 20), np.uint16)
    ids[2:6, 2:6], ids[2:6, 10:14], ids[12:16, 2:6] = 7, 300, 9
    mask = np.zeros(ids.shape, bool)
    mask[:, :12] = True
    mask[13:] = False
    assert objects_inside(ids, mask).tolist() == [7]  # of 300 just half


def test_objects_at_an_open_rim():
    ids = np.zeros((10, 12), np.uint16)
    ids[0, 5], ids[4:6, 11], ids[5, 5] = 2, 3, 4
    assert objects_at_rim(ids, (True, True, True, True)).tolist() == [2, 3]
    assert objects_at_rim(ids, (True, False, False, False)).tolist() == [2]
    assert objects_at_rim(ids, (False,) * 4).tolist() == []


def test_an_object_is_known_by_half_of_it_or_of_what_was_painted():
    found = np.zeros((30, 30), np.uint16)
    found[:10, :10], found[:10, 15:25], found[15:25, :10] = 1, 2, 3
    painted = np.zeros_like(found, np.uint8)
    painted[2:5, 2:5] = 8  # a part of 1
    painted[:10, 9:15] = 9  # a neighbour, which covers the rims of 1
    painted[14:27, :12] = 5  # more than all of 3
    painted[3, 18:20] = 1  # background
    assert known_objects(found, painted) == {1: 8, 3: 5}
    assert known_objects(found, np.zeros_like(painted)) == {}


def test_sure_objects_by_their_mean():
    ids = np.zeros((8, 8), np.uint16)
    ids[:2], ids[4:6] = 4, 6
    probability = np.full(ids.shape, 0.99, np.float32)
    probability[4:6, :4] = 0.5
    assert confident_objects(ids, probability, 0.9).tolist() == [4]
    assert confident_objects(ids, probability, 0.7).tolist() == [4, 6]
