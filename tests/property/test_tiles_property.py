"""Laws of the tile plan, and of predictions put together from tiles."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.maps import compute_maps
from napari_unet.inference.tiles import Tile, plan_tiles

sizes = st.integers(1, 400)
shapes = st.tuples(sizes, sizes)
tile_sides = st.integers(1, 12).map(lambda n: 16 * n)


@st.composite
def regions(draw):
    y, x = draw(st.integers(-50, 450)), draw(st.integers(-50, 450))
    height, width = draw(st.integers(0, 300)), draw(st.integers(0, 300))
    return Tile(y, y + height, x, x + width)


def _meet(a, b):
    return max(a.y0, b.y0) < min(a.y1, b.y1) and max(a.x0, b.x0) < min(a.x1, b.x1)


@given(shapes, tile_sides)
@settings(deadline=None)
def test_tiles_partition_the_plane(shape, tile_px):
    count = np.zeros(shape, int)
    for tile in plan_tiles(shape, tile_px):
        assert 0 < min(tile.shape) <= max(tile.shape) <= tile_px
        count[tile.y0 : tile.y1, tile.x0 : tile.x1] += 1
    assert (count == 1).all()


@given(shapes, tile_sides, regions())
@settings(deadline=None)
def test_a_region_has_the_whole_s_tiles_that_meet_it(shape, tile_px, region):
    whole = plan_tiles(shape, tile_px)
    expected = {tile for tile in whole if _meet(tile, region)}
    part = plan_tiles(shape, tile_px, region)
    assert len(part) == len(set(part))
    assert set(part) == expected


def _unet(architecture, depth, n_channels):
    torch.manual_seed(0)
    config = UNetConfig(
        architecture=architecture,
        base_channels=4,
        depth=depth,
        in_channels=n_channels,
        n_classes=3,
    )
    return UNet(config).eval().requires_grad_(False)


def _predict(unet, source, head, tiles, n_scales):
    """Return the network's and the closed-form head's logits of a plane."""
    shape = source.stack.plane_shape
    own, instant = np.full((3, *shape), np.nan), np.full((3, *shape), np.nan)
    for tile in tiles:
        maps = compute_maps(unet, source, 0, tile, unet.config.depth + 1, n_scales)
        where = (slice(None), slice(tile.y0, tile.y1), slice(tile.x0, tile.x1))
        with torch.inference_mode():
            own[where] = unet.head(maps.finest()[None])[0].numpy()
            instant[where] = maps.project(head).numpy()
    return own, instant


@given(
    architecture=st.sampled_from(["compact", "unet2015"]),
    depth=st.integers(1, 3),
    n_channels=st.sampled_from([1, 3]),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    n_cells=st.integers(2, 6),
    n_scales=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_tiled_equals_untiled(
    architecture, depth, n_channels, shape, n_cells, n_scales, seed
):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(n_channels, *shape)).astype(np.float32)
    source = ImageSource("image", PlaneStack(image, "CYX"))
    unet = _unet(architecture, depth, n_channels)
    n_features = n_scales * sum(unet.config.channels) + n_channels
    head = RidgeHead(
        rng.normal(size=(n_features, 3)).astype(np.float32),
        rng.normal(size=3).astype(np.float32),
        1.0,
    )
    tiles = plan_tiles(shape, 8 * n_cells)  # on the pooling grid of depth 3
    tiled = _predict(unet, source, head, tiles, n_scales)
    untiled = _predict(unet, source, head, [Tile(0, shape[0], 0, shape[1])], n_scales)
    for of_tiles, of_whole in zip(tiled, untiled, strict=True):
        np.testing.assert_allclose(of_tiles, of_whole, rtol=0, atol=1e-4)
