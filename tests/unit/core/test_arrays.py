import warnings

import dask.array as da
import numpy as np
import pytest

from napari_unet.core.arrays import (
    ImageSource,
    Normaliser,
    PlaneStack,
    fingerprint,
    guess_axes,
)
from napari_unet.errors import ImageError

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


# -- axes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "annotation_shape", "axes"),
    [
        ((7, 9), None, "YX"),
        ((7, 9, 3), None, "YXC"),
        ((7, 9, 4), None, "YXC"),
        ((7, 9, 5), None, "ZYX"),
        ((3, 7, 9), None, "ZYX"),
        ((3, 3, 3), None, "ZYX"),
        ((6, 7, 9, 3), None, "ZYXC"),
        ((6, 7, 9, 8), None, "TZYX"),
        ((7, 9, 3), (7, 9), "YXC"),
        ((7, 9, 3), (7, 9, 3), "ZYX"),
        ((3, 7, 9), (7, 9), "CYX"),
        ((5, 3, 7, 9), (5, 7, 9), "ZCYX"),
        ((7, 9, 2), (7, 9), "YXC"),
        ((2, 5, 7, 9, 3), (2, 5, 7, 9), "TZYXC"),
        ((1, 1), (1, 1), "YX"),
        ((1, 9, 1), (1, 9), "YXC"),
    ],
)
def test_guessed_axes(shape, annotation_shape, axes):
    assert guess_axes(shape, annotation_shape) == axes


@pytest.mark.parametrize(
    ("shape", "annotation_shape"),
    [
        ((5,), None),
        ((), None),
        ((2, 2, 2, 2, 2), None),
        ((7, 9), (9, 7)),
        ((7, 9), (7,)),
        ((7, 9), (7, 9, 3)),
        ((3, 7, 9), (8, 9)),
    ],
)
def test_shapes_that_fit_no_axes_are_refused_with_both_shapes(shape, annotation_shape):
    with pytest.raises(ImageError) as error:
        guess_axes(shape, annotation_shape)
    assert str(shape) in str(error.value)
    if annotation_shape is not None:
        assert str(annotation_shape) in str(error.value)


@pytest.mark.parametrize("axes", ["XY", "YXX", "YQ", "Y", "CYXZ", "", "YXZ"])
def test_axes_that_do_not_fit_are_refused(axes):
    with pytest.raises(ImageError):
        PlaneStack(np.zeros((4, 5, 6) if len(axes) != 2 else (4, 5)), axes)


def test_axes_may_be_written_small():
    assert PlaneStack(np.zeros((4, 5, 3)), "yxc").n_channels == 3


@pytest.mark.parametrize(
    "dtype", [np.complex64, object, "U3", "datetime64[s]", "timedelta64[s]"]
)
def test_numbers_that_are_not_real_are_refused(dtype):
    with pytest.raises(ImageError, match="dtype"):
        PlaneStack(np.zeros((4, 5), dtype))


@pytest.mark.parametrize("shape", [(0, 5), (4, 0), (0, 4, 5)])
def test_empty_axes_are_refused(shape):
    with pytest.raises(ImageError, match="empty"):
        PlaneStack(np.zeros(shape))


def test_an_annotation_that_does_not_fit_named_axes_is_refused():
    with pytest.raises(ImageError, match=r"\(4, 5\)"):
        PlaneStack(np.zeros((4, 5, 3)), "ZYX", (4, 5))


# -- planes -------------------------------------------------------------------------


def _planes(image, axes):
    """Every plane by plain NumPy, shape (N, C, Y, X), leading axes first to last."""
    image = np.asarray(image)
    if "C" not in axes:
        image, axes = image[..., None], axes + "C"
    order = [a for a in axes if a not in "CYX"] + ["C", "Y", "X"]
    moved = np.transpose(image, [axes.index(a) for a in order])
    return moved.reshape(-1, *moved.shape[-3:])


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((9, 11), "YX"),
        ((9, 11, 3), "YXC"),
        ((2, 9, 11), "CYX"),
        ((4, 9, 11), "ZYX"),
        ((4, 9, 11, 2), "ZYXC"),
        ((4, 2, 9, 11), "ZCYX"),
        ((2, 3, 9, 11), "TZYX"),
        ((1, 1), "YX"),
        ((1, 11), "YX"),
        ((9, 1), "YX"),
        ((1, 9, 1, 1), "ZYXC"),
    ],
)
def test_planes_are_what_numpy_reads(kind, shape, axes):
    array = RNG.integers(0, 255, shape).astype(np.uint8)
    image = array
    if kind == "dask":
        image = da.from_array(array, chunks=4)
    elif kind == "zarr":
        image = pytest.importorskip("zarr").array(array, chunks=(4,) * array.ndim)
    stack = PlaneStack(image, axes)
    expected = _planes(array, axes)
    assert stack.n_planes == len(expected)
    assert stack.n_channels == expected.shape[1]
    assert stack.plane_shape == expected.shape[2:]
    labels = np.arange(np.prod(stack.spatial_shape)).reshape(stack.spatial_shape)
    for plane, pixels in enumerate(expected):
        index = stack.index(plane)
        assert stack.plane_of(index) == plane
        assert labels[index].shape == stack.plane_shape
        height, width = stack.plane_shape
        read = stack.read(plane, 0, height, 0, width)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, pixels)
        part = stack.read(plane, height // 2, height, width // 2, width)
        np.testing.assert_array_equal(part, pixels[:, height // 2 :, width // 2 :])


@pytest.mark.parametrize("shape", [(7, 5), (1, 6), (6, 1), (1, 1), (2, 3)])
def test_beyond_the_border_the_image_is_mirrored(shape):
    image = RNG.random(shape).astype(np.float32)
    stack = PlaneStack(image)
    border = 23  # several times the image
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.pad(image, border, mode="reflect")
    height, width = shape
    read = stack.read(0, -border, height + border, -border, width + border)
    np.testing.assert_array_equal(read[0], expected)
    # as many rows as their mirror image is made of
    part = stack.read(0, -1, 1, -1, 1)
    np.testing.assert_array_equal(
        part[0], expected[border - 1 : border + 1, border - 1 : border + 1]
    )
    for y0, x0 in [(-20, 4), (3, -9), (6, 7), (-23, -23)]:
        part = stack.read(0, y0, y0 + 9, x0, x0 + 8)
        top, left = y0 + border, x0 + border
        np.testing.assert_array_equal(part[0], expected[top : top + 9, left : left + 8])


def test_transparency_is_dropped():
    rgba = RNG.integers(0, 255, (6, 7, 4)).astype(np.uint8)
    stack = PlaneStack(rgba)
    assert stack.n_channels == 3
    read = stack.read(0, 0, 6, 0, 7)
    np.testing.assert_array_equal(read, rgba[..., :3].transpose(2, 0, 1))


def test_four_measured_channels_are_kept():
    assert PlaneStack(np.zeros((4, 6, 7), np.uint8), "CYX").n_channels == 4
    assert PlaneStack(np.zeros((6, 7, 4), np.uint16), "YXC").n_channels == 4


def test_a_rectangle_reads_no_more_than_it_needs():
    image = CountingArray(RNG.random((20, 300, 200)))
    stack = PlaneStack(image)
    stack.read(13, 100, 130, 50, 90)
    assert image.n_read == 30 * 40
    image.n_read = 0
    stack.read(0, -10, 20, -5, 10)  # mirrored: reads what the mirror shows
    assert image.n_read == 20 * 10


# -- normalisation ------------------------------------------------------------------


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


# -- names of content -----------------------------------------------------------------


def test_equal_pixels_have_equal_names_and_others_do_not():
    image = RNG.random((30, 40))
    name = fingerprint(PlaneStack(image))
    assert fingerprint(PlaneStack(image.copy())) == name
    assert fingerprint(PlaneStack(np.asfortranarray(image))) == name
    assert fingerprint(PlaneStack(da.from_array(image, chunks=7))) == name
    other = image.copy()
    other[17, 23] += 1e-9
    assert fingerprint(PlaneStack(other)) != name
    assert fingerprint(PlaneStack(image.reshape(40, 30))) != name
    assert fingerprint(PlaneStack(image.view(np.int64))) != name


def test_axes_are_part_of_the_name():
    image = RNG.random((3, 40, 3))
    names = {fingerprint(PlaneStack(image, axes)) for axes in ("CYX", "ZYX", "YXC")}
    assert len(names) == 3


def test_a_huge_image_gets_its_name_from_a_sample():
    image = CountingArray(np.zeros((20, 1000, 1000), np.uint8))
    name = fingerprint(PlaneStack(image))
    assert image.n_read < image.size / 4
    assert image.largest <= 1000 * 1000
    image.array[19, :, 999] = 1  # the last plane belongs to the sample
    assert fingerprint(PlaneStack(image)) != name
