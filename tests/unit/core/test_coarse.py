"""Images at a fraction of their resolution."""

import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.channels import StackedChannels
from napari_unet.core.coarse import CoarseStack, Pyramid, area_mean
from napari_unet.core.source import ImageSource, Normaliser

RNG = np.random.default_rng(0)


class Counting:
    """An array that remembers how much of it was read at once, and in all."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = self.total = 0

    def __getitem__(self, where):
        part = self.array[where]
        self.largest = max(self.largest, part.size)
        self.total += part.size
        return part


def _means(image, n):
    """Return the means of blocks, one by one."""
    height, width = image.shape
    return np.array(
        [
            [image[y : y + n, x : x + n].mean() for x in range(0, width, n)]
            for y in range(0, height, n)
        ]
    )


@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize("shape", [(16, 24), (17, 23), (3, 41), (1, 1)])
def test_a_pixel_is_the_mean_of_exactly_its_block(shape, n):
    image = RNG.integers(0, 65_535, shape).astype(np.uint16)
    stack = CoarseStack(PlaneStack(image), n)
    height, width = stack.plane_shape
    found = stack.read(0, 0, height, 0, width)
    assert np.allclose(found[0], _means(image, n), rtol=1e-6)


def test_what_is_no_number_does_not_spread():
    block = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    block[0, 0, 0] = np.nan
    block[0, 1, 1] = np.inf
    block[0, 2:, 2:] = np.nan
    found = area_mean(block, 2)
    assert found[0, 0, 0] == (1 + 4) / 2
    assert found[0, 0, 1] == (2 + 3 + 6 + 7) / 4
    assert np.isnan(found[0, 1, 1])


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("YXC", (18, 21, 3)), ("CYX", (2, 18, 21)), ("TZYX", (2, 3, 9, 9))],
)
def test_the_other_axes_stay(axes, shape):
    image = RNG.random(shape).astype(np.float32)
    full, coarse = PlaneStack(image, axes), CoarseStack(PlaneStack(image, axes), 4)
    assert coarse.leading_shape == full.leading_shape
    assert coarse.n_channels == full.n_channels
    height, width = full.plane_shape
    for plane in range(full.n_planes):
        assert coarse.index(plane) == full.index(plane)
        whole = full.read(plane, 0, height, 0, width)
        found = coarse.read(plane, 0, *coarse.plane_shape[:1], 0, coarse.plane_shape[1])
        assert np.allclose(found, [_means(channel, 4) for channel in whole])


def test_beyond_the_border_it_is_mirrored():
    image = RNG.random((16, 16)).astype(np.float32)
    stack = CoarseStack(PlaneStack(image), 4)
    expected = PlaneStack(_means(image, 4).astype(np.float32)).read(0, -3, 6, -2, 7)
    assert np.allclose(stack.read(0, -3, 6, -2, 7), expected)


def test_a_rectangle_is_read_in_bands_and_nothing_else(monkeypatch):
    monkeypatch.setattr("napari_unet.core.coarse._MAX_BAND_VALUES", 4096)
    image = Counting(RNG.random((1024, 1024)).astype(np.float32))
    stack = CoarseStack(PlaneStack(image), 8)
    found = stack.read(0, 10, 50, 20, 60)
    assert np.allclose(found[0], _means(image.array[80:400, 160:480], 8))
    assert image.total == 320 * 320
    assert image.largest <= 4096


def test_percentiles_of_a_large_image_are_those_of_some_bands(monkeypatch):
    monkeypatch.setattr("napari_unet.core.source._MAX_READ_PX", 2**16)
    image = Counting(RNG.random((2048, 1024)).astype(np.float32))
    source = ImageSource("a", PlaneStack(image)).coarsened(4)
    assert source.normaliser.low[0] < 0.5 < source.normaliser.high[0]
    assert image.total <= 2**16


def test_it_is_normalised_as_a_file_of_its_means_would_be():
    image = RNG.random((64, 80)).astype(np.float32)
    coarse = ImageSource("a", PlaneStack(image)).coarsened(2)
    alike = ImageSource("b", PlaneStack(_means(image, 2).astype(np.float32)))
    assert coarse.normaliser.low == pytest.approx(alike.normaliser.low)
    found, expected = (s.read(0, -4, 30, 0, 40) for s in (coarse, alike))
    assert np.allclose(found, expected, atol=1e-5)


def test_the_same_coarse_image_is_found_again():
    source = ImageSource("a", PlaneStack(np.zeros((8, 8))), anisotropy=3.0)
    assert source.coarsened(1) is source
    coarse = source.coarsened(4)
    assert source.coarsened(4) is coarse is coarse.coarsened(4)
    assert coarse.uid != source.uid
    assert coarse.anisotropy == 0.75


def test_an_anisotropy_that_is_unknown_stays_so():
    coarse = ImageSource("a", PlaneStack(np.zeros((8, 8)))).coarsened(4)
    assert coarse.anisotropy is None


def test_a_volume_that_is_turned_keeps_its_normalisation():
    image = RNG.random((12, 8, 16)).astype(np.float32)
    source = ImageSource("a", PlaneStack(image, "ZYX"))
    turned = source.cut_across("Y").coarsened(2)
    assert turned.stack.spatial_shape == (8, 6, 8)
    assert turned.normaliser == source.coarsened(2).normaliser
    assert turned.normaliser != Normaliser.fit(turned.stack)


def _pyramid(image, *factors, rounded_down=False):
    levels = [image]
    for n in factors:
        means = _means(image, n).astype(np.float32)
        if rounded_down:
            means = means[: image.shape[0] // n, : image.shape[1] // n]
        levels.append(means)
    return [Counting(level) for level in levels]


def test_the_level_of_a_pyramid_is_read_that_has_the_factor():
    image = RNG.random((33, 42)).astype(np.float32)
    levels = _pyramid(image, 2, 4, 8)
    stack = CoarseStack(PlaneStack(Pyramid(levels)), 4)
    assert np.allclose(stack.read(0, 0, 9, 0, 11)[0], _means(image, 4))
    assert [level.total > 0 for level in levels] == [False, False, True, False]
    assert stack.n_read == 1


def test_else_the_mean_of_the_nearest_finer_level():
    image = RNG.random((64, 64)).astype(np.float32)
    levels = _pyramid(image, 2, 16)
    stack = CoarseStack(PlaneStack(Pyramid(levels)), 8)
    assert np.allclose(stack.read(0, 0, 8, 0, 8)[0], _means(image, 8), rtol=1e-6)
    assert [level.total > 0 for level in levels] == [False, True, False]


@pytest.mark.parametrize("factor", [2, 4])
def test_a_level_that_was_rounded_down_goes_on_to_the_border(factor):
    image = RNG.random((33, 34)).astype(np.float32)
    levels = _pyramid(image, 2, rounded_down=True)
    stack = CoarseStack(PlaneStack(Pyramid(levels)), factor)
    height, width = stack.plane_shape
    assert (height, width) == (-(-33 // factor), -(-34 // factor))
    found = stack.read(0, 0, height, 0, width)[0]
    n_rows, n_columns = 32 // factor, 32 // factor
    expected = _means(image, factor)
    assert np.allclose(found[:n_rows, :n_columns], expected[:n_rows, :n_columns])
    assert np.allclose(found[-1], stack.read(0, height - 1, height, 0, width)[0])
    assert np.isfinite(found).all()


def test_a_pyramid_is_read_like_its_finest_level():
    image = RNG.random((16, 20)).astype(np.float32)
    pyramid = Pyramid([image, image[::2, ::2]])
    assert (pyramid.shape, pyramid.ndim, pyramid.size) == ((16, 20), 2, 320)
    assert pyramid.dtype == np.float32
    assert np.array_equal(pyramid[3:7, ::2], image[3:7, ::2])


def test_stacked_channels_have_the_levels_that_all_have():
    image = RNG.random((16, 20)).astype(np.float32)
    one, two = Pyramid(_pyramid(image, 2, 4)), Pyramid(_pyramid(image, 2))
    stacked = StackedChannels([one, two])
    assert [level.shape for level in stacked.coarser] == [(2, 8, 10)]
    stack = CoarseStack(PlaneStack(stacked, "CYX"), 2)
    assert stack.n_read == 1
    assert np.allclose(stack.read(0, 0, 8, 0, 10), [_means(image, 2)] * 2)
    assert StackedChannels([one, image]).coarser == ()


def test_infinite_values_of_both_signs_are_taken_in_silence():
    block = np.ones((1, 4, 4), np.float32)
    block[0, 0, 0], block[0, 0, 1] = np.inf, -np.inf
    assert area_mean(block, 2)[0].tolist() == [[1, 1], [1, 1]]
