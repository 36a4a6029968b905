import numpy as np
import pytest
import zarr

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.channels import StackedChannels
from napari_unet.errors import ImageError


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 255, (3, 20, 30)).astype(np.uint8),
        rng.integers(0, 60_000, (3, 20, 30)).astype(np.uint16),
        rng.random((3, 20, 30)).astype(np.float32),
    ]


@pytest.mark.parametrize(
    "where",
    [
        np.s_[...],
        np.s_[:],
        np.s_[1],
        np.s_[..., 3:7],
        np.s_[1:, 2],
        np.s_[0, 1, 3:9, ::2],
        np.s_[:, 1, 3:9, 4:5],
    ],
)
def test_reads_like_the_stacked_array(arrays, where):
    stacked = StackedChannels(arrays)
    whole = np.stack(arrays)
    assert stacked.shape == whole.shape
    assert (stacked.ndim, stacked.size) == (whole.ndim, whole.size)
    assert stacked.dtype == whole.dtype == stacked[where].dtype
    np.testing.assert_array_equal(stacked[where], whole[where])


def test_reads_no_more_than_is_asked_for(arrays):
    class Counting:
        shape, dtype, seen = (3, 20, 30), np.dtype(np.uint8), []

        def __getitem__(self, where):
            self.seen.append(where)
            return arrays[0][where]

    stack = PlaneStack(StackedChannels([Counting(), arrays[0]]), "CZYX")
    read = stack.read(2, 3, 9, 4, 8)
    np.testing.assert_array_equal(read, [arrays[0][2, 3:9, 4:8]] * 2)
    assert Counting.seen == [(2, slice(3, 9), slice(4, 8))]


def test_channels_may_be_lazy(arrays):
    lazy = [zarr.array(array, chunks=(1, 8, 8)) for array in arrays]
    stack = PlaneStack(StackedChannels(lazy), "CZYX")
    assert stack.n_channels == 3
    whole = PlaneStack(np.stack(arrays), "CZYX")
    np.testing.assert_array_equal(
        stack.read(1, -3, 25, 2, 9), whole.read(1, -3, 25, 2, 9)
    )


def test_other_shapes_are_refused(arrays):
    with pytest.raises(ImageError, match=r"\(3, 20, 30\), \(20, 30\)"):
        StackedChannels([arrays[0], arrays[1][0]])
