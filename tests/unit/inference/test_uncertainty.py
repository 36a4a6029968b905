"""How unsure a prediction is, and where most."""

import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.regions import block_means, highest_region
from napari_unet.inference.tiles import Tile
from napari_unet.inference.uncertainty import (
    all_classes,
    disagreement,
    entropy,
    mirrored,
)


def maps(*values):
    """Return probabilities (K, n) as float32."""
    return np.array(values, np.float32)


def test_entropy_is_of_the_share_of_a_blind_guess():
    found = entropy(maps([1, 0.5, 0.9], [0, 0.5, 0.1]))
    assert found == pytest.approx([0, 1, 0.469], abs=1e-3)
    assert entropy(maps([1 / 3], [1 / 3], [1 / 3])) == pytest.approx([1])
    assert entropy(np.ones((1, 2, 3), np.float32)).tolist() == [[0] * 3] * 2


def test_views_disagree_where_they_differ_and_not_where_all_are_unsure():
    sure, other, unsure = maps([1], [0]), maps([0], [1]), maps([0.5], [0.5])
    assert disagreement([sure, other]) == pytest.approx([1])
    assert disagreement([unsure, unsure]) == pytest.approx([0], abs=1e-6)
    assert disagreement([sure]).tolist() == [0]
    assert 0 < disagreement([sure, unsure])[0] < 1


def test_the_border_between_objects_is_a_class_by_itself():
    shown = Prediction((1, 2), maps([0.0], [1.0]), np.array([0.5], np.float32))
    assert entropy(shown.probabilities) == pytest.approx([0], abs=1e-6)
    assert all_classes(shown) == pytest.approx(maps([0.0], [0.5], [0.5]))
    plain = Prediction((1, 2), maps([0.3], [0.7]))
    assert all_classes(plain) is plain.probabilities


class Lazy:
    """An array that is no NumPy array, and reads no backward slices, as zarr."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, where):
        assert all(not isinstance(w, slice) or (w.step or 1) > 0 for w in where)
        return self._array[where]


@pytest.mark.parametrize("axes", ["YX", "ZYX", "YXC", "CYX"])
@pytest.mark.parametrize("axis", ["Y", "X"])
@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_mirrored_image_is_read_mirrored(axes, axis, is_lazy):
    sizes = {"Z": 3, "Y": 21, "X": 30, "C": 2}
    shape = tuple(sizes[a] for a in axes)
    array = np.random.default_rng(0).normal(size=shape)
    source = ImageSource("a", PlaneStack(Lazy(array) if is_lazy else array, axes))
    other = mirrored(source, axis)
    plane = source.stack.n_planes - 1
    expected = source.read(plane, 0, 21, 0, 30)
    read = other.read(plane, 0, 21, 0, 30)
    assert np.array_equal(read, np.flip(expected, {"Y": 1, "X": 2}[axis]))
    part = other.read(plane, 4, 12, 20, 33)  # over the border, too
    whole = np.pad(read, ((0, 0), (0, 0), (0, 3)), mode="reflect")
    assert np.array_equal(part, whole[:, 4:12, 20:33])


def test_block_means_of_a_plane_that_is_no_multiple():
    values = np.zeros((20, 33), np.float32)
    values[16:, :16] = 1
    means = block_means(values)
    assert means.shape == (2, 3)
    assert means[1, 0] == 1
    assert means[0, 0] == 0
    assert means[0, 2] == 0


def test_regions_come_in_order_apart_from_each_other_and_from_strokes():
    means = np.full((20, 20), 0.1, np.float32)
    means[2:6, 2:6], means[12:16, 2:6], means[10:14, 14:18] = 0.9, 0.8, 0.7
    is_painted = np.zeros((20, 20), bool)
    first, score = highest_region(means, is_painted)
    assert first == Tile(32, 96, 32, 96)
    assert score == pytest.approx(0.9)
    second, _ = highest_region(means, is_painted, [first])
    assert second == Tile(192, 256, 32, 96)
    is_painted[13, 3] = True  # in its middle
    third, score = highest_region(means, is_painted, [first])
    assert third == Tile(160, 224, 224, 288)
    assert score == pytest.approx(0.7)


def test_no_region_where_nothing_is_known_or_all_is_painted_or_taken():
    means = np.full((8, 8), np.nan, np.float32)
    nothing = np.zeros((8, 8), bool)
    assert highest_region(means, nothing) is None
    means[:] = 0.5
    assert highest_region(means, ~nothing) is None
    small = np.array([[0.5, 0.2]], np.float32)  # a plane smaller than a region
    first, score = highest_region(small, np.zeros((1, 2), bool), (), (10, 30))
    assert first == Tile(0, 10, 0, 30)
    assert score == pytest.approx(0.35)
    assert highest_region(small, np.zeros((1, 2), bool), [first], (10, 30)) is None
