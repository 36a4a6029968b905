import math

import pytest
import torch
from torch import nn

from napari_unet.config import UNetConfig
from napari_unet.core.unet import UNet


def _unet(seed=0, **settings):
    torch.manual_seed(seed)
    return UNet(UNetConfig(**{"base_channels": 4, "depth": 2, **settings})).eval()


def test_the_paper_s_572_px_give_388():
    unet = _unet(architecture="unet2015", depth=4)
    with torch.inference_mode():
        logits = unet(torch.zeros(1, 1, 572, 572))
    assert logits.shape == (1, 2, 388, 388)
    assert unet.valid_input_px(388) == (572, 388)


def test_the_paper_s_network_has_the_paper_s_layers():
    # the paper's figure 1, as (kernel px, in, out): 23 convolutional layers
    down = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256)]
    down += [(256, 512), (512, 512), (512, 1024), (1024, 1024)]
    up = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    merge = [pair for n_in, n_out in up for pair in ((n_in, n_out), (n_out, n_out))]
    table = [(9, *pair) for pair in down + merge] + [(4, *pair) for pair in up]
    table.append((1, 64, 2))
    assert len(table) == 23
    unet = UNet(UNetConfig(architecture="unet2015", in_channels=1, n_classes=2))
    n_parameters = sum(p.numel() for p in unet.parameters())
    assert n_parameters == sum(k * n_in * n_out + n_out for k, n_in, n_out in table)
    layers = [
        m for m in unet.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)
    ]
    found = sorted(
        (math.prod(m.kernel_size), m.in_channels, m.out_channels) for m in layers
    )
    assert found == sorted(table)


def test_the_paper_s_network_drops_out_at_the_end_of_the_contracting_path():
    unet = _unet(architecture="unet2015").train()
    assert unet.dropout.p == 0.5
    x = torch.rand(1, 1, 60, 60)
    torch.manual_seed(1)
    deepest = unet.features(x)[-1]
    assert (deepest == 0).float().mean() > 0.4
    assert (unet.eval().features(x)[-1] == unet.eval().features(x)[-1]).all()
    assert _unet().train().dropout.p == 0


def test_he_initialisation():
    unet = _unet(architecture="unet2015", base_channels=16)
    for module in unet.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            expected = math.sqrt(2 / fan_in)
        elif isinstance(module, nn.ConvTranspose2d):
            expected = math.sqrt(2 / module.in_channels)
        else:
            continue
        tolerance = 4 / math.sqrt(2 * module.weight.numel())  # 4 sigma of a spread
        assert module.weight.std().item() == pytest.approx(expected, rel=tolerance)
        assert (module.bias == 0).all()


@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
@pytest.mark.parametrize(("ndim", "depth"), [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2)])
def test_sizes_are_as_announced_in_2d_and_3d(architecture, ndim, depth):
    unet = _unet(
        architecture=architecture, ndim=ndim, depth=depth, in_channels=2, pool_z=True
    )
    wanted = 5 if ndim == 3 else 37
    n_in, n_out = unet.valid_input_px(wanted)
    assert n_out >= wanted
    with torch.inference_mode():
        x = torch.rand(1, 2, *[n_in] * ndim)
        maps = unet.features(x)
        assert unet(x).shape == (1, 2, *[n_out] * ndim)
    assert len(maps) == depth + 1
    for level, level_map in enumerate(maps):
        assert level_map.shape[:2] == (1, 4 * 2**level)
        full = n_out + 2 * unet.feature_crop_px(level)
        assert level_map.shape[2:] == (full / 2**level,) * ndim
    # the smallest size that does: one step less gives less than was wanted
    if not unet.is_padded:
        assert n_out - 2**depth < wanted


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
def test_any_number_of_planes_will_do_when_they_are_not_pooled(architecture, depth):
    unet = _unet(architecture=architecture, ndim=3, depth=depth)
    n_lost = 0 if unet.is_padded else 8 * depth + 4
    n_in, n_out = unet.valid_input_px(5)
    with torch.inference_mode():
        maps = unet.features(torch.rand(1, 1, n_lost + 3, n_in, n_in))
        logits = unet.head(maps[0])
    assert logits.shape == (1, 2, 3, n_out, n_out)
    for level, level_map in enumerate(maps):
        assert level_map.shape[2] == (3 if unet.is_padded else 3 + 4 * level)


@pytest.mark.parametrize(
    ("anisotropy", "kernels", "poolings"),
    [
        (1.0, (3, 3, 3, 3, 3), (True, True, True, True)),  # cubes
        (1.99, (3, 3, 3, 3, 3), (True, True, True, True)),
        (2.0, (1, 3, 3, 3, 3), (False, True, True, True)),
        (3.0, (1, 3, 3, 3, 3), (False, True, True, True)),
        (50 / 4.6, (1, 1, 1, 3, 3), (False, False, False, True)),  # ssTEM
        (40.0, (1, 1, 1, 1, 1), (False, False, False, False)),
        (0.4, (3, 3, 3, 3, 3), (True, True, True, True)),
    ],
)
def test_kernels_and_poolings_along_z_follow_the_voxels(anisotropy, kernels, poolings):
    config = UNetConfig(ndim=3, anisotropy=anisotropy, pool_z=True)
    assert config.z_kernels() == config.z_kernels(False) == kernels
    assert config.z_poolings == poolings
    unet = _unet(**config.model_dump(exclude={"base_channels"}))
    for path in (unet.down, unet.merge):
        for block, n_planes in zip(path, kernels, strict=False):
            for conv in (block[0], block[2]):
                assert conv.kernel_size == (n_planes, 3, 3)
    assert [up.stride for up in unet.up] == [(1 + p, 2, 2) for p in poolings]
    assert [pool.kernel_size for pool in unet.pool] == [u.stride for u in unet.up]


def test_some_levels_of_one_path_may_look_along_z():
    config = UNetConfig(ndim=3, anisotropy=2.5, z_levels=2)
    assert config.z_kernels() == (1, 3, 3, 1, 1)
    assert config.z_kernels(False) == (1, 1, 1, 1, 1)
    assert config.z_poolings == (False,) * 4
    assert UNet(config).planes_around == 4
    assert UNet(UNetConfig(ndim=3)).planes_around == 18
    assert UNet(UNetConfig(context_planes=2)).planes_around == 2
    assert UNet(UNetConfig()).planes_around == 0


@pytest.mark.parametrize(
    ("settings", "n_more"),
    [
        # two kernels of 9 more for each neighbour of the one channel
        ({"context_planes": 1}, 2 * 9 * 16),
        ({"context_planes": 2}, 4 * 9 * 16),
        # two more planes of 3x3 for the first two convolutions
        ({"ndim": 3, "z_levels": 1}, 2 * 9 * (16 + 16 * 16)),
        (
            {"ndim": 3, "z_levels": 2, "anisotropy": 2},
            18 * (3 * 32**2 // 2 + 3 * 64**2 // 2),
        ),
        ({"ndim": 3, "anisotropy": 40}, 0),
    ],
)
def test_parameters_that_the_planes_around_add(settings, n_more):
    flat, more = (
        sum(p.numel() for p in UNet(UNetConfig(**s)).parameters())
        for s in ({}, settings)
    )
    assert more - flat == n_more


def test_compact_keeps_any_size_on_its_grid():
    unet = _unet(in_channels=3, n_classes=5)
    assert unet.grid_px == 4
    with torch.inference_mode():
        assert unet(torch.rand(2, 3, 24, 40)).shape == (2, 5, 24, 40)


@pytest.mark.parametrize("ndim", [2, 3])
def test_standardised_kernels_have_no_mean_and_unit_gain(ndim):
    unet = _unet(ndim=ndim)
    standardised = [m for m in unet.modules() if hasattr(m, "standardised_weight")]
    # all 3x3 convolutions but the first, which must see brightness
    assert len(standardised) == 2 * (2 * 2 + 1) - 1
    assert not hasattr(unet.down[0][0], "standardised_weight")
    for module in standardised:
        with torch.no_grad():
            module.weight.add_(3).mul_(5)  # neither mean nor scale may matter
            weight = module.standardised_weight().flatten(1)
        assert weight.mean(1).abs().max() < 1e-6
        relu_gain_squared = 2 / (1 - 1 / math.pi)
        torch.testing.assert_close(
            weight.square().sum(1),
            torch.full((len(weight),), relu_gain_squared),
            rtol=1e-3,
            atol=0,
        )


def test_activations_keep_their_scale_through_a_compact_network():
    unet = _unet(base_channels=16, depth=4)
    with torch.inference_mode():
        maps = unet.features(torch.randn(2, 1, 128, 128))
    for level_map in maps:
        assert 0.1 < level_map.std() < 10


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_nothing_beyond_the_halo_has_influence(depth):
    unet = _unet(depth=depth)
    halo, grid = unet.halo_px, unet.grid_px
    start = math.ceil((halo + 8) / grid) * grid  # a pooling cell's corner
    n = 2 * start + grid
    reach = 0
    for seed in range(3):
        x = torch.randn(1, 1, n, n, generator=torch.Generator().manual_seed(seed))
        x.requires_grad_()
        logits = unet(x)
        for offset in range(grid):
            y = start + offset
            (gradient,) = torch.autograd.grad(
                logits[0, :, y].square().sum(), x, retain_graph=True
            )
            rows = gradient[0, 0].abs().sum(1).nonzero()[:, 0]
            reach = max(reach, y - int(rows.min()), int(rows.max()) - y)
            # a tile is a whole number of cells, and so may its halo be cut
            assert rows.min() >= start - halo
            assert rows.max() < start + grid + halo
    # a halo much wider than needed would cost time for nothing
    assert halo - 2 * grid < reach <= halo


def test_grey_images_and_many_channels_and_classes():
    unet = _unet(in_channels=7, n_classes=11)
    assert unet(torch.zeros(1, 7, 8, 8)).shape == (1, 11, 8, 8)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    "wanted",
    [
        (slice(32, 48), slice(16, 40)),
        (slice(0, 5), slice(90, 96)),
        (slice(0, 80), slice(0, 96)),
    ],
)
def test_what_is_kept_of_the_maps_is_the_same(ndim, wanted):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(ndim=ndim, base_channels=4, depth=3)).eval()
    x = torch.randn(1, 1, *[5] * (ndim - 2), 80, 96)
    kept = unet.kept_cells(wanted, (80, 96))
    n_computed = []
    for merge in unet.merge:
        merge.register_forward_hook(lambda *a: n_computed.append(a[2].numel()))
    with torch.inference_mode():
        whole = unet.features(x)
        n_whole = sum(n_computed)
        n_computed.clear()
        parts = unet.features(x, kept)
    for level, (part, expected, place) in enumerate(
        zip(parts, whole, kept, strict=True)
    ):
        torch.testing.assert_close(part, expected[..., *place])
        # the wanted cells and two around them, as far as there are any
        for own, axis, n in zip(place, wanted, (80, 96), strict=True):
            assert own.start <= max((axis.start >> level) - 2, 0)
            assert own.stop >= min(-(-axis.stop >> level) + 2, n >> level)
    is_whole = wanted == (slice(0, 80), slice(0, 96))
    assert (sum(n_computed) == n_whole) == is_whole
