import warnings

import dask.array as da
import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack, fingerprint, guess_axes
from napari_unet.errors import FileError, ImageError

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


# -- images that cannot be read -----------------------------------------------------


class BrokenArray:
    """A lazy array of which nothing can be read."""

    shape, dtype, size = (40, 50), np.dtype(np.uint8), 2000

    def __init__(self, error):
        self.error = error

    def __getitem__(self, where):
        raise self.error


@pytest.mark.parametrize("read", [lambda s: s.read(0, 0, 8, 0, 8), fingerprint])
@pytest.mark.parametrize("error", [OSError(5, "I/O error"), ValueError("bad chunk")])
def test_an_image_that_cannot_be_read_is_one_sentence(read, error):
    with pytest.raises(FileError, match=r"could not be read \(.*(I/O|chunk)") as found:
        read(PlaneStack(BrokenArray(error)))
    assert found.value.__cause__ is error


def test_what_does_not_fit_into_memory_can_still_be_halved():
    with pytest.raises(MemoryError) as found:
        PlaneStack(BrokenArray(MemoryError())).read(0, 0, 8, 0, 8)
    assert type(found.value) is MemoryError


def test_a_signalling_nan_is_read_in_silence():
    image = np.zeros((4, 5))
    image.view("u8")[1, 2] = 0x7FF0000000000001  # NumPy warns when this is cast
    assert np.isnan(PlaneStack(image, "YX").read(0, 0, 4, 0, 5)).sum() == 1
