"""From labels to objects: shapes whose answer is known."""

import numpy as np
import pytest

from napari_unet.config import InstanceConfig
from napari_unet.errors import ImageError
from napari_unet.inference.instances import Instances, split_job, split_objects
from napari_unet.jobs import CancelToken, Progress, finish


def ball(shape, centre, radius, sampling=None):
    """Return a mask of a disc or ball; the radius is in units of the sampling."""
    sampling = sampling or (1,) * len(shape)
    grids = np.ogrid[tuple(map(slice, shape))]
    squares = [
        ((grid - c) * step) ** 2
        for grid, c, step in zip(grids, centre, sampling, strict=True)
    ]
    return sum(squares) <= radius**2


def discs(diameter, distance=0.9, n=2):
    """Return labels with discs in a row, their centres ``distance`` diameters apart."""
    step = diameter * distance
    shape = (int(diameter + 7), int(diameter + step * (n - 1) + 7))
    centres = [(shape[0] / 2, diameter / 2 + 3 + step * k) for k in range(n)]
    masks = [ball(shape, centre, diameter / 2) for centre in centres]
    return np.where(np.any(masks, axis=0), 2, 1), centres


def ellipse(long_px, short_px, turn):
    side = int(long_px + 6)
    y, x = np.indices((side, side)) - side / 2
    along = y * np.sin(turn) + x * np.cos(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    inside = (along / long_px * 2) ** 2 + (across / short_px * 2) ** 2 <= 1
    return np.where(inside, 2, 1)


def ids_at(instances, centres):
    return [int(instances.labels[tuple(int(v) for v in c)]) for c in centres]


# -- apart or together ---------------------------------------------------------------


@pytest.mark.parametrize("diameter", [10, 20, 60, 200])
def test_overlapping_discs_come_apart_at_the_neck(diameter):
    labels, centres = discs(diameter)
    instances = split_objects(labels)
    assert sorted(ids_at(instances, centres)) == [1, 2]
    assert instances.n_objects == 2
    areas = np.bincount(instances.labels.ravel())[1:]
    # the cut is halfway, give or take a column of pixels at the neck
    assert abs(int(areas[0]) - int(areas[1])) <= diameter
    # where it is cut, nothing is lost
    np.testing.assert_array_equal(instances.labels > 0, labels == 2)


def test_small_and_large_objects_take_the_same_settings():
    small, large = discs(5, 1.2, n=2)[0], discs(200)[0]
    touching = np.ones((9, 20), int)
    touching[2:7, 2:7] = touching[2:7, 9:14] = 2
    touching[4, 7:9] = 2  # a bridge of one pixel between squares of 5 px
    labels = np.ones((400, 460), int)
    for place, part in (((3, 3), small), ((3, 40), touching), ((60, 3), large)):
        rows, columns = (
            slice(p, p + n) for p, n in zip(place, part.shape, strict=True)
        )
        labels[rows, columns] = part
    assert split_objects(labels).n_objects == 2 + 2 + 2


@pytest.mark.parametrize("turn", [0, 0.3, 0.8])
@pytest.mark.parametrize(("long_px", "short_px"), [(10, 5), (60, 20), (200, 60)])
def test_an_ellipse_stays_one(long_px, short_px, turn):
    assert split_objects(ellipse(long_px, short_px, turn)).n_objects == 1


def test_three_discs_around_a_gap_come_apart_and_the_gap_stays_open():
    shape, radius = (110, 110), 20.6
    turns = np.pi / 2 + np.arange(3) * 2 * np.pi / 3
    centres = [(55 + 23 * np.sin(t), 55 + 23 * np.cos(t)) for t in turns]
    mask = np.any([ball(shape, c, radius) for c in centres], axis=0)
    assert not mask[55, 55]  # they surround a gap
    instances = split_objects(np.where(mask, 2, 1))
    assert sorted(ids_at(instances, centres)) == [1, 2, 3]
    np.testing.assert_array_equal(instances.labels > 0, mask)


def test_the_strength_goes_from_components_to_every_dent():
    labels, _ = discs(40, 0.7)  # the neck is 0.71 of the width
    found = [
        split_objects(labels, settings=InstanceConfig(split_strength=s)).n_objects
        for s in (0, 0.6, 0.8, 1)
    ]
    assert found == [1, 1, 2, 2]


def test_doubt_between_two_objects_is_a_border():
    mask = np.zeros((40, 90), bool)
    mask[10:30, 10:80] = True  # no neck at all
    labels = np.where(mask, 2, 1)
    sure = np.full((2, *labels.shape), 0.02)
    sure[0][~mask] = sure[1][mask] = 0.98
    doubt = sure.copy()
    for offset, p in ((0, 0.55), (1, 0.6), (-1, 0.6), (2, 0.8), (-2, 0.8)):
        doubt[1, 10:30, 45 + offset] = p
    doubt[0] = 1 - doubt[1]
    assert split_objects(labels, sure).n_objects == 1
    cut = split_objects(labels, doubt, settings=InstanceConfig(split_strength=0.9))
    assert cut.n_objects == 2
    border = np.flatnonzero(np.diff(cut.labels[20, 10:80].astype(int))) + 11
    assert abs(border[0] - 45) <= 1
    # the probability of each pixel's own class says the same
    own = split_objects(
        labels, doubt.max(0), settings=InstanceConfig(split_strength=0.9)
    )
    np.testing.assert_array_equal(own.labels, cut.labels)


def test_objects_without_any_evidence_are_still_there():
    labels, _ = discs(20)
    assert split_objects(labels, np.zeros(labels.shape)).n_objects == 2


# -- volumes and time ----------------------------------------------------------------


def test_balls_in_a_stack_that_is_coarse_along_z():
    shape, scale = (14, 60, 90), (4, 1, 1)
    centres = [(7, 30, 28), (7, 30, 62)]
    mask = np.any([ball(shape, c, 19, scale) for c in centres], axis=0)
    labels = np.where(mask, 2, 1)
    instances = split_objects(labels, scale=scale)
    assert sorted(ids_at(instances, centres)) == [1, 2]
    assert instances.n_objects == 2
    # only the ratio counts, and a mirrored axis is as long
    for other in ((8, 2, 2), (-4, 1, 1)):
        again = split_objects(labels, scale=other)
        np.testing.assert_array_equal(again.labels, instances.labels)


def two_blocks():
    """Two blocks of 3 planes, and a smaller plane between: a neck, or too flat."""
    mask = np.zeros((7, 30, 30), bool)
    mask[0:3, 5:25, 5:25] = mask[4:7, 5:25, 5:25] = True
    mask[3, 9:21, 9:21] = True
    return np.where(np.pad(mask, 1), 2, 1)


@pytest.mark.parametrize(("z_scale", "n"), [(8, 2), (0.5, 1)])
def test_the_scale_decides_what_a_neck_is(z_scale, n):
    labels = two_blocks()
    assert split_objects(labels, scale=(z_scale, 1, 1)).n_objects == n
    # time comes first or second, and its step is no distance
    for axis, axes, scale in (
        (0, "TZYX", (0.1, z_scale, 1, 1)),
        (1, "ZTYX", (z_scale, 0.1, 1, 1)),
    ):
        film = np.expand_dims(labels, axis)
        assert split_objects(film, axes=axes, scale=scale).n_objects == n


def test_an_object_goes_on_through_z_but_not_through_time():
    labels = np.ones((3, 30, 30), np.uint8)
    labels[:, 10:20, 10:20] = 2
    assert split_objects(labels).n_objects == 1
    assert split_objects(labels, axes="ZYX").n_objects == 1
    for apart in (
        split_objects(labels, axes="TYX"),
        split_objects(labels, settings=InstanceConfig(through_z=False)),
    ):
        assert apart.labels[:, 15, 15].tolist() == [1, 2, 3]


def test_volumes_in_time_in_either_order():
    labels = np.ones((2, 4, 30, 30), np.uint8)  # T, Z
    labels[:, :3, 10:20, 10:20] = 2
    scale = (60, 2, 1, 1)
    instances = split_objects(labels, scale=scale)
    assert instances.n_objects == 2
    assert np.unique(instances.labels[0]).tolist() == [0, 1]
    other = split_objects(
        labels.swapaxes(0, 1),
        np.ones(labels.swapaxes(0, 1).shape),
        axes="ZTYX",
        scale=(2, 60, 1, 1),
    )
    np.testing.assert_array_equal(other.labels, instances.labels.swapaxes(0, 1))


# -- size, holes, classes ------------------------------------------------------------


def test_what_is_smaller_than_the_minimum_is_left_out():
    labels = np.ones((20, 40), int)
    labels[2:5, 2:5] = 2  # 9 px
    labels[2:4, 10:15] = 2  # 10 px
    labels[10:16, 10:16] = 2  # 36 px
    assert split_objects(labels).labels[3, 3] == 0
    counts = {
        size: split_objects(labels, settings=InstanceConfig(min_size_px=size)).n_objects
        for size in (0, 9, 10, 11, 36, 37)
    }
    assert counts == {0: 3, 9: 3, 10: 2, 11: 1, 36: 1, 37: 0}


def test_nothing_smaller_than_the_minimum_is_cut_off():
    labels = discs(20)[0]
    area = (labels == 2).sum()
    most = InstanceConfig(min_size_px=int(area) // 2 + 30)
    instances = split_objects(labels, settings=most)
    assert instances.n_objects == 1
    assert (instances.labels > 0).sum() == area


def test_a_hole_is_filled_and_does_not_split():
    labels = np.ones((60, 60), int)
    labels[ball(labels.shape, (30, 30), 20)] = 2
    hole = ball(labels.shape, (30, 26), 8)
    labels[hole] = 1
    filled = split_objects(labels)
    assert filled.n_objects == 1
    assert filled.labels[hole].all()
    open_ = split_objects(
        labels, settings=InstanceConfig(fill_holes=False, split_strength=0)
    )
    np.testing.assert_array_equal(open_.labels > 0, labels == 2)


def test_two_holes_do_not_split_what_is_round():
    labels = np.ones((60, 60), int)
    labels[ball(labels.shape, (30, 30), 20)] = 2
    holes = ball(labels.shape, (30, 22), 4) | ball(labels.shape, (30, 38), 4)
    labels[holes] = 1
    instances = split_objects(labels)
    assert instances.n_objects == 1
    assert instances.labels[holes].all()


def test_a_speck_in_a_hole_is_filled_too():
    labels = np.ones((60, 60), int)
    labels[ball(labels.shape, (30, 30), 20)] = 2
    hole = ball(labels.shape, (30, 30), 6)
    labels[hole] = 1
    labels[29:31, 29:31] = 2
    instances = split_objects(labels)
    assert instances.n_objects == 1
    assert instances.labels[hole].all()


def test_the_lumen_in_a_ring_of_cells_stays_open_and_the_cells_come_apart():
    shape = (200, 200)
    turns = np.arange(12) * np.pi / 6
    centres = [(100 + 66 * np.sin(t), 100 + 66 * np.cos(t)) for t in turns]
    mask = np.any([ball(shape, c, 19.5) for c in centres], axis=0)
    # necks of half the width, which with a closed lumen would be two thirds
    chosen = InstanceConfig(split_strength=0.6)
    instances = split_objects(np.where(mask, 2, 1), settings=chosen)
    assert sorted(ids_at(instances, centres)) == list(range(1, 13))
    assert instances.labels[100, 100] == 0


@pytest.mark.parametrize(("outer", "inner"), [(2, 3), (3, 2)])
def test_another_class_in_a_hole_is_left_alone(outer, inner):
    labels = np.ones((60, 60), int)
    labels[ball(labels.shape, (30, 30), 22)] = outer
    nucleus = ball(labels.shape, (30, 30), 9)
    labels[nucleus] = inner
    instances = split_objects(labels)
    assert instances.n_per_class == {2: 1, 3: 1}
    np.testing.assert_array_equal(instances.classes[instances.labels] == inner, nucleus)


def test_classes_that_touch_are_different_objects():
    labels = np.ones((30, 60), np.uint16)
    labels[5:25, 5:25], labels[5:25, 25:45] = 2, 300
    instances = split_objects(labels)
    assert instances.classes.tolist() == [0, 2, 300]
    np.testing.assert_array_equal(
        instances.classes[instances.labels], np.where(labels < 2, 0, labels)
    )


def test_more_objects_than_16_bits_hold():
    labels = np.ones((1, 2 * 65_536), np.uint8)
    labels[0, ::2] = 2
    every = InstanceConfig(min_size_px=1)
    assert split_objects(labels[:, :-2], settings=every).labels.dtype == np.uint16
    instances = split_objects(labels, settings=every)
    assert instances.labels.dtype == np.uint32
    assert instances.n_objects == instances.labels.max() == 65_536


# -- nothing to find, nothing to work with -------------------------------------------


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30), (2, 3, 20, 30), (0, 5)])
@pytest.mark.parametrize("value", [0, 1])
def test_without_foreground_there_are_no_objects(shape, value):
    instances = split_objects(np.full(shape, value))
    assert instances.labels.shape == shape
    assert not instances.labels.any()
    assert instances.labels.dtype == np.uint16
    assert (instances.n_objects, instances.n_per_class) == (0, {})


@pytest.mark.parametrize("shape", [(30, 40), (1, 40), (1, 1), (4, 20, 30)])
def test_foreground_everywhere_is_one_object(shape):
    every = InstanceConfig(min_size_px=1)
    instances = split_objects(np.full(shape, 2), settings=every)
    assert (instances.labels == 1).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": np.ones((5, 5))}, "dtype is float64"),
        ({"labels": np.ones((5, 5), bool)}, "dtype is bool"),
        ({"labels": np.full((5, 5), -1)}, "smallest is -1"),
        ({"labels": np.ones(5, int)}, "have 1 axes"),
        ({"axes": "XY"}, "'XY' do not name the 2 axes"),
        ({"axes": "ZYX"}, "'ZYX' do not name the 2 axes"),
        ({"axes": "YY"}, "'YY' do not name"),
        ({"scale": (1, float("nan"))}, "must be 2 finite numbers"),
        ({"scale": (1, float("inf"))}, "must be 2 finite numbers"),
        ({"scale": (0, 1)}, "must be 2 finite numbers, not 0"),
        ({"scale": (1, 1, 1)}, "must be 2 finite numbers"),
        ({"probabilities": np.ones((4, 5))}, r"shape \(4, 5\) do not fit"),
        ({"probabilities": np.full((5, 5), np.nan)}, "numbers of 0..1"),
        ({"probabilities": np.full((5, 5), -0.5)}, "from -0.5 to"),
        ({"probabilities": np.full((2, 5, 5), 2.0)}, "to 2.0"),
    ],
)
def test_what_cannot_be_used_is_named(change, sentence):
    given = {"labels": np.ones((5, 5), int), **change}
    with pytest.raises(ImageError, match=sentence):
        split_objects(**given)


# -- as a job ------------------------------------------------------------------------


def test_the_job_tells_how_far_it_is_and_stops_when_asked():
    labels = np.ones((3, 30, 30), np.uint8)
    labels[:, 10:20, 10:20] = 2
    events = list(split_job(labels, axes="TYX"))
    assert events == [Progress(n, 3, "split") for n in (0, 1, 2, 3)]
    token = CancelToken()
    job = split_job(labels, axes="TYX", token=token)
    for _ in range(2):
        next(job)
    token.cancel()
    stopped = finish(job)
    assert isinstance(stopped, Instances)
    assert stopped.labels[:, 15, 15].tolist() == [1, 0, 0]
    assert stopped.classes.tolist() == [0, 2]


def _two_without_a_neck():
    """Return the labels of two squares that touch along a whole side, and the side."""
    labels = np.ones((24, 44), np.uint8)
    labels[2:22, 2:42] = 2
    border = np.zeros(labels.shape, np.float32)
    border[2:22, 20:24] = 0.8
    return labels, border


def test_a_predicted_border_cuts_where_nothing_narrows():
    labels, border = _two_without_a_neck()
    probabilities = np.full(labels.shape, 0.9, np.float32)
    assert split_objects(labels, probabilities).n_objects == 1
    found = split_objects(labels, probabilities, border=border)
    assert found.n_objects == 2
    np.testing.assert_array_equal(found.labels > 0, labels == 2)  # with the border
    np.testing.assert_array_equal(np.unique(found.labels[2:22, 2:20]).size, 1)
    np.testing.assert_array_equal(np.unique(found.labels[2:22, 24:42]).size, 1)
    # shape alone with a border will do, and never cut is never cut
    assert split_objects(labels, border=border).n_objects == 2
    never = InstanceConfig(split_strength=0)
    assert split_objects(labels, border=border, settings=never).n_objects == 1


def test_the_border_goes_with_its_plane():
    labels, border = _two_without_a_neck()
    film = np.stack([labels, labels])
    borders = np.stack([np.zeros_like(border), border])
    found = split_objects(film, border=borders, axes="TYX")
    assert [len(np.unique(plane)) - 1 for plane in found.labels] == [1, 2]


@pytest.mark.parametrize(
    ("border", "words"),
    [
        (np.zeros((3, 4)), r"\(3, 4\)"),
        (np.full((24, 44), 1.5), "1.5"),
        (np.full((24, 44), np.nan), "nan"),
    ],
)
def test_a_border_that_does_not_fit_is_refused(border, words):
    labels, _ = _two_without_a_neck()
    with pytest.raises(ImageError, match=f"border.*{words}"):
        split_objects(labels, border=border)


def test_a_border_cuts_where_there_is_no_background_at_all():
    labels = np.full((30, 40), 2, np.uint8)
    border = np.zeros(labels.shape)
    border[14:16] = border[:, 19:21] = 0.9
    assert split_objects(labels).n_objects == 1
    assert split_objects(labels, border=border).n_objects == 4


@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)])
def test_an_image_that_is_one_object_all_over_is_one(shape):
    labels = np.full(shape, 2, np.uint8)
    instances = split_objects(labels, np.ones(shape, np.float32))
    assert (instances.labels == 1).all()
