import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.inference.maps import compute_maps
from napari_unet.inference.tiles import Tile, plan_tiles

BOTH = pytest.mark.parametrize("architecture", ["compact", "unet2015"])


def _head(unet, n_levels, n_classes=3, n_scales=1):
    rng = np.random.default_rng(1)
    config = unet.config
    n_features = n_scales * sum(config.channels[:n_levels]) + config.in_channels
    return RidgeHead(
        rng.normal(size=(n_features, n_classes)).astype(np.float32) / 4,
        rng.normal(size=n_classes).astype(np.float32),
        2.0,
    )


@BOTH
@pytest.mark.parametrize("shape", [(50, 70), (1, 1), (1, 33), (33, 1), (7, 5)])
def test_maps_cover_the_tile(make_unet, make_source, architecture, shape):
    unet, source = make_unet(architecture=architecture), make_source(shape)
    for tile in plan_tiles(shape, 32):
        maps = compute_maps(unet, source, 0, tile, 3)
        assert maps.finest().shape == (4, *tile.shape)
        np.testing.assert_array_equal(
            maps.image[0].numpy(), source.read(0, tile.y0, tile.y1, tile.x0, tile.x1)[0]
        )
        assert maps.project(_head(unet, 3)).shape == (3, *tile.shape)
        assert maps.n_bytes > 0


@BOTH
def test_the_middle_is_what_the_plain_network_gives(
    make_unet, make_source, architecture
):
    unet, source = make_unet(architecture=architecture), make_source((120, 120))
    tile = Tile(56, 64, 56, 64)
    maps = compute_maps(unet, source, 0, tile, 1)
    n_in, n_out = unet.valid_input_px(120 if unet.is_padded else 60)
    image = torch.from_numpy(source.read(0, 0, n_in, 0, n_in))[None]
    with torch.inference_mode():
        whole = unet.features(image)[0][0]
    shift = (n_in - n_out) // 2
    expected = whole[:, 56 - shift : 64 - shift, 56 - shift : 64 - shift]
    torch.testing.assert_close(maps.finest(), expected, rtol=0, atol=1e-5)


@BOTH
@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_sampling_equals_projecting(make_unet, make_source, architecture, n_scales):
    unet, source = make_unet(architecture=architecture), make_source((50, 70))
    head = _head(unet, 3, n_scales=n_scales)
    for tile in plan_tiles((50, 70), 32):
        maps = compute_maps(unet, source, 0, tile, 3, n_scales)
        cells = [
            2 ** (scale + level) for scale in range(n_scales) for level in range(3)
        ]
        assert list(maps.cells) == cells
        yx = np.argwhere(np.ones(tile.shape)) + np.array([tile.y0, tile.x0])
        features = maps.sample(torch.from_numpy(yx)).numpy()
        assert features.shape == (len(yx), n_scales * (4 + 8 + 16) + 1)
        projected = maps.project(head).flatten(1).T.numpy()
        np.testing.assert_allclose(head.logits(features), projected, atol=2e-4)


def test_coarse_features_are_the_coarse_maps_upsampled(make_unet, make_source):
    unet, source = make_unet(), make_source((64, 64))
    tile = Tile(0, 64, 0, 64)
    maps = compute_maps(unet, source, 0, tile, 3)
    yx = torch.cartesian_prod(torch.arange(64), torch.arange(64))
    features = maps.sample(yx).T.reshape(-1, 64, 64)
    padded = torch.from_numpy(source.read(0, -32, 96, -32, 96))[None]
    with torch.inference_mode():
        levels = unet.features(padded)
    start = 0
    for level_map in levels:
        size = level_map.shape[1]
        full = F.interpolate(level_map, size=(128, 128), mode="bilinear")[0]
        torch.testing.assert_close(
            features[start : start + size], full[:, 32:96, 32:96], rtol=0, atol=1e-4
        )
        start += size


def test_memory_is_bounded_by_the_tile(make_unet, make_source):
    unet, source = make_unet(), make_source((600, 700))
    maps = compute_maps(unet, source, 0, Tile(320, 352, 320, 352), 3)
    assert maps.n_bytes < 4 * (4 * 40**2 + 8 * 24**2 + 16 * 16**2 + 32**2)
    read = []
    stack_read = source.stack.read

    def note(plane, y0, y1, x0, x1):
        read.append((y1 - y0, x1 - x0))
        return stack_read(plane, y0, y1, x0, x1)

    source.stack.read = note
    compute_maps(unet, source, 0, Tile(320, 352, 320, 352), 3)
    assert read == [(32 + 2 * unet.halo_px,) * 2]


@BOTH
def test_the_image_goes_on_mirrored_beyond_its_border(make_unet, architecture):
    """A larger image that is its own mirror image has the same features."""
    unet = make_unet(architecture=architecture)
    image = np.random.default_rng(0).random((41, 37)).astype(np.float32)
    wide = np.pad(image, 32, mode="reflect")  # 32 px: the tiles keep their phase
    small, large = (ImageSource("image", PlaneStack(i)) for i in (image, wide))
    # the same normalisation: mirroring changes percentiles
    large.__dict__["normaliser"] = small.normaliser
    for tile in plan_tiles((41, 37), 32):
        moved = Tile(tile.y0 + 32, tile.y1 + 32, tile.x0 + 32, tile.x1 + 32)
        maps = compute_maps(unet, small, 0, tile, 3)
        same = compute_maps(unet, large, 0, moved, 3)
        torch.testing.assert_close(maps.finest(), same.finest(), rtol=0, atol=1e-5)


# -- scales --------------------------------------------------------------------------


def test_another_scale_is_the_network_on_the_smaller_image(make_unet, make_source):
    unet, source = make_unet(), make_source((200, 200))
    maps = compute_maps(unet, source, 0, Tile(96, 104, 96, 104), 2, 2)
    small = F.avg_pool2d(torch.from_numpy(source.read(0, 0, 200, 0, 200))[None], 2)
    with torch.inference_mode():
        levels = [m[0] for m in unet.features(small)[:2]]
    yx = torch.tensor([[96, 96], [99, 103], [103, 97]])
    features = maps.sample(yx)[:, 12:24]
    expected = [
        F.interpolate(
            m[None], scale_factor=2 ** (n + 1), mode="bilinear", align_corners=False
        )[0][:, yx[:, 0], yx[:, 1]].T
        for n, m in enumerate(levels)
    ]
    torch.testing.assert_close(features, torch.cat(expected, dim=1), rtol=0, atol=1e-4)


def test_more_scales_leave_the_others_as_they_are(make_unet, make_source):
    unet, source = make_unet(), make_source((100, 90))
    tile, yx = Tile(32, 64, 32, 64), torch.tensor([[32, 33], [50, 63]])
    one, three = (compute_maps(unet, source, 0, tile, 3, n).sample(yx) for n in (1, 3))
    torch.testing.assert_close(three[:, :28], one[:, :28], rtol=0, atol=1e-5)
    torch.testing.assert_close(three[:, -1], one[:, -1], rtol=0, atol=0)


def test_an_image_is_read_once_for_all_scales(make_unet, make_source, monkeypatch):
    unet, source = make_unet(), make_source((300, 300))
    read, n_read = source.stack.read, []
    source.read(0, 0, 1, 0, 1)  # which reads the image to normalise it
    monkeypatch.setattr(source.stack, "read", lambda *a: n_read.append(a) or read(*a))
    compute_maps(unet, source, 0, Tile(128, 160, 128, 160), 3, 3)
    assert len(n_read) == 1
