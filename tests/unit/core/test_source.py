import dask.array as da
import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource, Normaliser

RNG = np.random.default_rng(0)


class CountingArray:
    """A lazy array that notes how many elements were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.size = array.size
        self.n_read, self.n_calls, self.largest = 0, 0, 0

    def __getitem__(self, where):
        part = self.array[where]
        self.n_read += part.size
        self.n_calls += 1
        self.largest = max(self.largest, part.size)
        return part


def _normalised(image, axes=None):
    stack = PlaneStack(image, axes)
    height, width = stack.plane_shape
    return ImageSource("image", stack).read(0, 0, height, 0, width)


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"),
    [
        (np.uint8, 200, 20),
        (np.uint16, 60_000, 100),
        (np.int32, 2_000_000, -1_000_000),
        (np.float32, 1e-6, 5e-6),
        (np.float64, 1e30, 0),
        (np.float64, -1.0, 0),
        (np.float32, 1e-30, 0),
        (np.float16, 1, 0),
    ],
)
def test_the_bulk_lies_between_minus_one_and_one_in_any_dtype(dtype, scale, offset):
    image = (RNG.random((60, 70)) * scale + offset).astype(dtype)
    result = _normalised(image)
    assert result.dtype == np.float32
    low, high = np.percentile(result, (1, 99))
    assert -1.02 < low < -0.9
    assert 0.9 < high < 1.02
    # order is kept
    order = np.argsort(image.astype(np.float64), axis=None)
    assert (np.diff(result.ravel()[order]) >= 0).all()


@pytest.mark.parametrize("outlier", [1e3, 1e30, np.inf, -1e30, -np.inf])
def test_outliers_do_not_flatten_the_rest(outlier):
    image = RNG.random((50, 50))
    plain = _normalised(image)[0]
    image[7, 9] = outlier
    result = _normalised(image)[0]
    assert np.isfinite(result).all()
    assert 1.5 < abs(result[7, 9]) <= 6
    assert np.sign(result[7, 9]) == np.sign(outlier)
    rest = np.ones(image.shape, bool)
    rest[7, 9] = False
    np.testing.assert_allclose(result[rest], plain[rest], atol=0.02)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_nan_and_infinity_become_finite_whatever_the_scale(scale):
    image = RNG.random((40, 40)) * scale
    image[3, 4], image[5, 6], image[7, 8] = np.nan, np.inf, -np.inf
    result = _normalised(image)[0]
    assert np.isfinite(result).all()
    assert result[3, 4] == 0
    assert result[5, 6] > 1 > -1 > result[7, 8]


@pytest.mark.parametrize("value", [0, 7.5, -1e30, 1e300, np.nan, np.inf])
def test_a_constant_image_becomes_zero(value):
    assert (_normalised(np.full((20, 30), value)) == 0).all()


def test_an_infinite_pixel_of_a_constant_image_becomes_zero():
    image = np.ones((20, 30))
    image[3, 4] = np.inf
    assert (_normalised(image) == 0).all()


def test_a_nearly_empty_image_keeps_its_objects():
    image = np.zeros((100, 100), np.uint16)
    image[40:43, 50:54] = 900  # 0.12 %: beyond the percentiles
    result = _normalised(image)[0]
    np.testing.assert_allclose(result[image == 0], -1)
    np.testing.assert_allclose(result[image == 900], 1)


def test_channels_are_normalised_each_by_itself():
    image = RNG.random((2, 50, 60)) * np.array([1, 1000])[:, None, None]
    result = _normalised(image, "CYX")
    np.testing.assert_allclose(result.max(axis=(1, 2)), [1, 1], atol=0.05)
    np.testing.assert_allclose(result.min(axis=(1, 2)), [-1, -1], atol=0.05)


def test_booleans_are_an_image():
    image = RNG.random((20, 20)) > 0.5
    assert set(np.unique(_normalised(image))) == {-1, 1}


def test_a_large_image_is_normalised_from_a_sample():
    image = CountingArray(RNG.integers(0, 1000, (64, 500, 600)).astype(np.uint16))
    normaliser = Normaliser.fit(PlaneStack(image))
    assert image.n_read <= image.size / 4
    assert image.largest <= 500 * 600
    assert normaliser.low[0] == pytest.approx(5, abs=3)
    assert normaliser.high[0] == pytest.approx(994, abs=3)


def test_each_chunk_of_a_lazy_image_is_computed_once_to_normalise_it():
    n_computed = 0

    def make(block_info=None):
        nonlocal n_computed
        n_computed += 1
        shape = block_info[None]["chunk-shape"]
        return np.random.default_rng(0).random(shape)

    chunks = ((1,) * 4, (512, 512), (1024,))
    image = da.map_blocks(make, chunks=chunks, dtype=float, meta=np.empty((0, 0, 0)))
    Normaliser.fit(PlaneStack(image))
    assert n_computed == 8
