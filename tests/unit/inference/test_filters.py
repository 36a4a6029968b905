import numpy as np
import pytest

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.inference.filters import compute_filters, count_filters
from napari_unet.inference.tiles import Tile, plan_tiles


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((200, 260), "YX"), ((150, 100, 3), "YXC"), ((1, 300), "YX"), ((300, 1), "YX")],
)
def test_tiled_equals_untiled(make_source, shape, axes):
    source = make_source(shape, axes)
    height, width = source.stack.plane_shape
    whole = compute_filters(source, 0, Tile(0, height, 0, width))
    assert whole.dtype == np.float32
    assert len(whole) == count_filters(source.stack.n_channels)
    for tile in plan_tiles((height, width), 64):
        part = compute_filters(source, 0, tile)
        expected = whole[:, tile.y0 : tile.y1, tile.x0 : tile.x1]
        np.testing.assert_allclose(part, expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (3, 2)])
def test_the_smallest_planes(make_source, shape):
    features = compute_filters(make_source(shape), 0, Tile(0, shape[0], 0, shape[1]))
    assert features.shape == (count_filters(1), *shape)
    assert np.isfinite(features).all()


def test_features_are_finite_whatever_the_image():
    image = np.random.default_rng(0).random((40, 40))
    image[3, 3], image[20, 20], image[30, 5] = np.nan, np.inf, -1e30
    source = ImageSource("image", PlaneStack(image))
    assert np.isfinite(compute_filters(source, 0, Tile(0, 40, 0, 40))).all()


def test_intensity_is_among_the_features(make_source):
    source = make_source((80, 80))
    features = compute_filters(source, 0, Tile(0, 80, 0, 80))
    smooth = source.read(0, 0, 80, 0, 80)[0]
    correlation = [np.corrcoef(f.ravel(), smooth.ravel())[0, 1] for f in features]
    assert max(correlation) > 0.3
