"""What lies between painted planes: shapes that overlap, and nothing else."""

import numpy as np
import pytest

from napari_unet.annotation.interpolation import (
    has_planes_to_fill,
    interpolate_job,
    interpolate_planes,
    why_nothing_between,
)
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import AnnotationError
from napari_unet.jobs import CancelToken, finish


def disc(shape, centre, radius, value=2):
    y, x = np.ogrid[: shape[0], : shape[1]]
    inside = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    return inside.astype(np.uint8) * value


def stack(n, planes, shape=(60, 70)):
    painted = np.zeros((n, *shape), np.uint8)
    for z, plane in planes.items():
        painted[z] = plane
    return painted


def test_a_disc_that_grows_is_half_as_much_larger_half_way():
    shape = (60, 70)
    painted = stack(7, {1: disc(shape, (30, 35), 8), 5: disc(shape, (30, 35), 16)})
    added = np.asarray(interpolate_planes(painted, "ZYX"))
    radii = np.sqrt((added == 2).sum(axis=(1, 2)) / np.pi)
    np.testing.assert_allclose(radii, [0, 0, 10, 12, 14, 0, 0], atol=0.5)


def test_strokes_that_cross_and_shapes_that_moved_on_add_nothing():
    cross = stack(3, {})
    cross[0, 30, 5:60] = cross[2, 5:55, 30] = 2
    assert not interpolate_planes(cross, "ZYX").any()
    shape = (60, 70)
    moved = stack(3, {0: disc(shape, (20, 20), 8), 2: disc(shape, (20, 34), 8)})
    assert not interpolate_planes(moved, "ZYX").any()
    near = stack(3, {0: disc(shape, (20, 20), 8), 2: disc(shape, (20, 23), 8)})
    assert interpolate_planes(near, "ZYX").any()


def test_no_more_planes_are_bridged_than_asked_and_none_twice():
    plane = disc((60, 70), (30, 30), 10)
    painted = stack(10, {0: plane, 5: plane, 8: plane})
    filled = np.asarray(interpolate_planes(painted, "ZYX")).any(axis=(1, 2))
    assert np.flatnonzero(filled).tolist() == [6, 7]
    filled = np.asarray(interpolate_planes(painted, "ZYX", max_gap=5)).any(axis=(1, 2))
    assert np.flatnonzero(filled).tolist() == [1, 2, 3, 4, 6, 7]


@pytest.mark.parametrize(
    ("planes", "words"),
    [
        ({0: 0}, "on two planes"),
        ({0: 0, 1: 0}, "follow each other"),
        ({0: 0, 1: 0, 7: 0}, "6 apart or more, and only what is at most 4 apart"),
        ({0: 0, 3: 30}, "no shape overlaps the one on the next painted plane"),
        ({0: 0, 3: 0}, "painted or complete"),
    ],
)
def test_it_says_why_nothing_is_added(planes, words):
    discs = {z: disc((60, 70), (20, 20 + x), 9) for z, x in planes.items()}
    painted = TiledLabels.of(stack(9, discs))
    everywhere = np.ones(painted.shape, bool)
    assert not interpolate_planes(painted, "ZYX", complete=everywhere).any()
    assert words in why_nothing_between(painted, "ZYX")


def test_numbers_of_objects_stay_and_what_is_painted_too():
    shape = (60, 70)
    plane = disc(shape, (20, 20), 10, 5) + disc(shape, (20, 50), 10, 9)
    painted = stack(3, {0: plane, 2: plane})
    painted[1, 20, 45:55] = 7
    complete = np.zeros(painted.shape, bool)
    complete[1, :, :20] = True
    added = np.asarray(interpolate_planes(painted, "ZYX", complete=complete))
    free = (painted[1] == 0) & ~complete[1]
    np.testing.assert_array_equal(added[1], np.where(free, plane, 0))
    merged = TiledLabels.of(painted).filled_with(TiledLabels.of(added))
    np.testing.assert_array_equal(np.asarray(merged), painted + added)
    assert merged.n_px == (painted > 0).sum() + (added > 0).sum()


def test_an_object_at_the_border_of_the_image_keeps_its_edge_there():
    painted = stack(3, {})
    painted[0, :, :20] = painted[2, :, :30] = 2
    added = np.asarray(interpolate_planes(painted, "ZYX"))
    np.testing.assert_array_equal(added[1, :, :25], 2)
    assert not added[1, :, 25:].any()


def test_it_works_across_tiles_and_time_points_do_not_mix():
    painted = np.zeros((2, 3, 600, 700), np.uint8)
    painted[0, 0] = painted[0, 2] = disc((600, 700), (256, 512), 40)
    painted[1, 0] = painted[0, 0]
    added = interpolate_planes(TiledLabels.of(painted), "TZYX")
    assert len(added.tiles) == 4
    np.testing.assert_array_equal(np.asarray(added)[0, 1], painted[0, 0])
    assert added.n_px == (painted[0, 0] > 0).sum()


def test_whether_there_is_anything_to_fill():
    plane = disc((60, 70), (30, 30), 10)
    apart = TiledLabels.of(stack(4, {0: plane, 2: plane}))
    assert has_planes_to_fill(apart, "ZYX")
    assert not has_planes_to_fill(apart, "TYX")
    assert not has_planes_to_fill(TiledLabels.of(stack(4, {0: plane})), "ZYX")
    side_by_side = stack(4, {0: plane, 1: plane, 2: plane})
    assert not has_planes_to_fill(TiledLabels.of(side_by_side), "ZYX")


def test_when_cancelled_nothing_is_added():
    plane = disc((60, 70), (30, 30), 10)
    token = CancelToken()
    token.cancel()
    painted = TiledLabels.of(stack(3, {0: plane, 2: plane}))
    assert not finish(interpolate_job(painted, "ZYX", token=token)).any()


@pytest.mark.parametrize("axes", ["TYX", "YX", "ZXY"])
def test_without_z_it_is_refused(axes):
    with pytest.raises(AnnotationError, match="name the axis Z"):
        interpolate_planes(np.zeros((3, 4, 5), np.uint8), axes)
