"""Patches in a batch and tiles of an image have the same features."""

import numpy as np
import pytest
import torch

from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import RidgeHead
from napari_unet.core.hypercolumn import (
    fitting_px,
    hypercolumn,
    patch_sizes,
    project,
    sample,
)
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.maps import compute_maps
from napari_unet.inference.tiles import Tile

SIDE = 320
MIDDLE = Tile(144, 176, 144, 176)


def _unet(architecture="compact", depth=2, in_channels=2):
    torch.manual_seed(0)
    config = UNetConfig(
        architecture=architecture,
        base_channels=4,
        depth=depth,
        in_channels=in_channels,
    )
    return UNet(config).eval().requires_grad_(False)


@pytest.fixture
def source():
    image = np.random.default_rng(0).normal(size=(2, SIDE, SIDE)).astype(np.float32)
    return ImageSource("image", PlaneStack(image, "CYX"))


def _patch(unet, source, n_scales, shift=0):
    """Return the image around the middle as a batch of one, and its output's corner."""
    image_px, output_px = patch_sizes(unet, 256 if unet.is_padded else 64, n_scales)
    low = (SIDE - image_px) // 2 + shift
    pixels = source.read(0, low, low + image_px, low, low + image_px)
    return torch.from_numpy(pixels)[None], low + (image_px - output_px) // 2


def _pixels():
    rows, columns = range(MIDDLE.y0, MIDDLE.y1), range(MIDDLE.x0, MIDDLE.x1)
    return torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns))


@pytest.mark.parametrize("n_scales", [1, 2, 3])
@pytest.mark.parametrize("n_levels", [1, 2, 3])
def test_a_patch_has_the_features_of_a_tile(source, n_levels, n_scales):
    unet = _unet()
    images, corner = _patch(unet, source, n_scales)
    maps = hypercolumn(unet, images, n_levels, n_scales)
    yx = _pixels()
    expected = compute_maps(unet, source, 0, MIDDLE, n_levels, n_scales).sample(yx)
    actual = sample(maps, 0, yx - corner)
    assert actual.shape == (len(yx), n_scales * sum((4, 8, 16)[:n_levels]) + 2)
    assert (expected.std(dim=0) > 1e-3).sum() > 4
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_a_patch_has_the_scores_of_a_tile(source, n_scales):
    unet = _unet()
    images, corner = _patch(unet, source, n_scales)
    rng = np.random.default_rng(1)
    head = RidgeHead(
        rng.normal(size=(n_scales * 28 + 2, 3)).astype(np.float32) / 4,
        rng.normal(size=3).astype(np.float32),
        1.0,
    )
    scores = project(
        hypercolumn(unet, images, 3, n_scales),
        torch.from_numpy(head.weights)[None],
        torch.from_numpy(head.bias)[None],
    )
    expected = compute_maps(unet, source, 0, MIDDLE, 3, n_scales).project(head)
    y0, y1 = MIDDLE.y0 - corner, MIDDLE.y1 - corner
    assert expected.std() > 0.1
    torch.testing.assert_close(scores[0, :, y0:y1, y0:y1], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_levels", [1, 2, 3])
def test_an_unpadded_patch_has_the_features_of_a_tile(source, n_levels):
    """At each scale, where it pools the same pixels together as the tile does."""
    unet = _unet("unet2015")
    yx = _pixels()
    expected = compute_maps(unet, source, 0, MIDDLE, n_levels, 2).sample(yx)
    gaps = []
    for shift in range(8):  # the pooling grid at half size
        images, corner = _patch(unet, source, 2, shift)
        maps = hypercolumn(unet, images, n_levels, 2)
        gaps.append((sample(maps, 0, yx - corner) - expected).abs().amax(dim=0))
    full, half, image = torch.stack(gaps).split(
        [*[sum((4, 8, 16)[:n_levels])] * 2, 2], dim=1
    )
    assert full.amax(dim=1).min() < 1e-4
    assert half.amax(dim=1).min() < 1e-4
    assert image.max() == 0


@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("n_scales", [1, 2, 3])
@pytest.mark.parametrize("output_px", [1, 16, 48, 100])
def test_any_patch_has_scores_of_its_output(architecture, depth, n_scales, output_px):
    unet = _unet(architecture, depth)
    image_px, side = patch_sizes(unet, output_px, n_scales)
    assert image_px >= side >= output_px
    assert (image_px - side) % 2 == 0
    assert patch_sizes(unet, side, n_scales) == (image_px, side)
    maps = hypercolumn(unet, torch.randn(1, 2, image_px, image_px), 2, n_scales)
    n_features = sum(m.shape[1] for m, _ in maps)
    scores = project(maps, torch.randn(1, n_features, 3), torch.zeros(1, 3))
    assert scores.shape == (1, 3, side, side)
    yx = torch.tensor([[0, 0], [side - 1, 0], [side // 2, side - 1]])
    assert sample(maps, 0, yx).shape == (3, n_features)
    for level_map, cell in maps:  # nothing is made up beyond a map
        assert level_map.shape[-1] * cell >= side


@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
@pytest.mark.parametrize("n_scales", [1, 2])
def test_projecting_is_the_product_of_features_and_weights(architecture, n_scales):
    unet = _unet(architecture)
    image_px, side = patch_sizes(unet, 40, n_scales)
    maps = hypercolumn(unet, torch.randn(2, 2, image_px, image_px), 3, n_scales)
    beta, bias = torch.randn(2, n_scales * 28 + 2, 3), torch.randn(2, 3)
    scores = project(maps, beta, bias)
    yx = torch.cartesian_prod(torch.arange(side), torch.arange(side))
    for item in range(2):
        expected = sample(maps, item, yx) @ beta[item] + bias[item]
        torch.testing.assert_close(
            scores[item].flatten(1).T, expected, rtol=1e-4, atol=1e-3
        )


def test_gradients_reach_the_network_through_all_of_it():
    unet = _unet().requires_grad_(True)
    maps = hypercolumn(unet, torch.randn(1, 2, 32, 32), 3, 2)
    beta = torch.randn(1, 58, 2)
    project(maps, beta, torch.zeros(1, 2)).square().mean().backward()
    for name, parameter in unet.named_parameters():
        if not name.startswith("head."):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("wanted", "side", "expected"),
    # the paper's network gives 4 px of output, and 16 more each time
    [(384, 2000, 388), (384, 388, 388), (384, 387, 372), (384, 256, 244), (384, 3, 4)],
)
def test_the_largest_tile_within_an_image(wanted, side, expected):
    unet = UNet(UNetConfig(architecture="unet2015", base_channels=4))
    assert fitting_px(unet, wanted, side) == expected
    assert patch_sizes(unet, expected, 1) == (expected + 184, expected)


def test_the_largest_padded_tile_is_on_the_grid():
    unet = UNet(UNetConfig(base_channels=4))
    assert fitting_px(unet, 384, 100) == 96
    assert fitting_px(unet, 48, 100) == 48
