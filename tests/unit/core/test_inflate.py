import pytest
import torch

from napari_unet.config import UNetConfig, parse_config
from napari_unet.core.checkpoint import load_model, save_model
from napari_unet.core.inflate import inflate
from napari_unet.core.unet import UNet
from napari_unet.errors import ConfigError

N_PLANES = 5
POOLED = {"ndim": 3, "pool_z": True}


def _pair(dtype=torch.float32, of_volume=None, **settings):
    """A 2D network with weights unlike those it starts with, and it inflated."""
    settings = {"base_channels": 4, "depth": 2, "n_classes": 3, **settings}
    torch.manual_seed(0)
    flat = UNet(UNetConfig(**settings)).eval().to(dtype)
    with torch.no_grad():
        state = flat.state_dict()
        for name, tensor in state.items():
            if name.endswith("gain"):
                tensor.copy_(torch.empty_like(tensor).uniform_(0.4, 1))
            elif name.endswith("bias"):
                tensor.normal_(std=0.1)
            elif name.replace("weight", "gain") in state:
                # neither the mean nor the scale that standardising makes of it
                tensor.add_(tensor.std()).mul_(1.7)
    of_volume = {"ndim": 3} if of_volume is None else of_volume
    deep = UNet(UNetConfig(**settings, **of_volume)).eval().to(dtype)
    deep.load_state_dict(inflate(flat.state_dict(), deep.config))
    return flat, deep


def _planes(volume):
    """Return the planes (Z, C, Y, X) of a volume (1, C, Z, Y, X)."""
    return volume[0].transpose(0, 1)


def _assert_same(ours, theirs, tolerance=1e-4):
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.05  # differences are of a size that would show
    assert (ours - theirs).abs().max() <= tolerance


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_inflated_network_does_to_each_plane_what_the_2d_one_does(depth):
    flat, deep = _pair(depth=depth, in_channels=2)
    volume = torch.randn(1, 2, N_PLANES, 32, 48)
    with torch.inference_mode():
        _assert_same(_planes(deep(volume)), flat(_planes(volume)))
        for ours, theirs in zip(
            deep.features(volume), flat.features(_planes(volume)), strict=True
        ):
            _assert_same(_planes(ours), theirs)


def test_what_differs_is_rounding():
    flat, deep = _pair(depth=4, dtype=torch.float64)
    volume = torch.randn(1, 1, N_PLANES, 16, 32, dtype=torch.float64)
    with torch.inference_mode():
        _assert_same(_planes(deep(volume)), flat(_planes(volume)), 1e-12)


def test_unpadded_convolutions_do_so_for_the_planes_that_are_left():
    flat, deep = _pair(architecture="unet2015", depth=1)
    n_lost = 8 * 1 + 4
    n_px, _ = flat.valid_input_px(6)
    volume = torch.randn(1, 1, n_lost + 2, n_px, n_px)
    with torch.inference_mode():
        ours = _planes(deep(volume))
        theirs = flat(_planes(volume)[n_lost // 2 : n_lost // 2 + 2])
    _assert_same(ours, theirs)


def test_almost_flat_kernels_keep_their_scale():
    """Where the squares are small, the constant below the root decides the scale."""
    flat, _ = _pair()
    with torch.no_grad():
        flat.merge[0][0].weight.mul_(1e-3)
    deep = UNet(flat.config.model_copy(update={"ndim": 3}))
    deep.load_state_dict(inflate(flat.state_dict(), deep.config))
    theirs = flat.merge[0][0].standardised_weight()
    # far from variance 1 / fan-in
    assert theirs.flatten(1).square().sum(1).max() < 0.1
    ours = deep.merge[0][0].standardised_weight()[:, :, 1]
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_depth_is_learned_from_the_first_step_on():
    _, deep = _pair()
    volume = torch.randn(1, 1, N_PLANES, 16, 16)
    deep(volume).square().mean().backward()
    kernels = [
        (name, p) for name, p in deep.named_parameters() if p.shape[2:] == (3, 3, 3)
    ]
    assert len(kernels) == 2 * (2 * 2 + 1)
    for name, kernel in kernels:
        for z in (0, 2):
            assert (kernel[:, :, z] == 0).all()
            assert kernel.grad[:, :, z].abs().max() > 0, name
    with torch.no_grad():
        before = deep(volume)
        changed = volume.clone()
        changed[:, :, 0] += 1
        assert (deep(changed)[:, :, 1:] - before[:, :, 1:]).abs().max() < 1e-4
        for parameter in deep.parameters():
            parameter -= 0.1 * parameter.grad
        assert (deep(changed)[:, :, 1:] - deep(volume)[:, :, 1:]).abs().max() > 0.01


def test_pooling_along_z_agrees_where_nothing_changes_along_z():
    flat, deep = _pair(of_volume=POOLED)
    image = torch.randn(1, 1, 16, 24)
    volume = image.unsqueeze(2).repeat(1, 1, 8, 1, 1)
    with torch.inference_mode():
        maps = deep.features(volume)
        assert [m.shape[2] for m in maps] == [8, 4, 2]
        expected = flat(image).expand(8, -1, -1, -1)
        _assert_same(_planes(deep(volume)), expected)
        # and nowhere else, which is why it is not the default
        volume = torch.randn(1, 1, 8, 16, 24)
        difference = _planes(deep(volume)) - flat(_planes(volume))
    assert difference.abs().max() > 0.01


SLABS = [
    {"ndim": 3, "pad_z": False},
    {"ndim": 3, "pad_z": False, "anisotropy": 3.0},
    {"ndim": 3, "pad_z": False, "z_levels": 1},
    {"ndim": 3, "pad_z": False, "z_levels": 2, "anisotropy": 2.2},
    {"context_planes": 1},
    {"context_planes": 2},
]


@pytest.mark.parametrize("of_volume", SLABS)
@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
def test_planes_of_a_slab_begin_as_the_2d_network_has_them(of_volume, architecture):
    flat, deep = _pair(of_volume=of_volume, architecture=architecture, in_channels=2)
    around, n_px = deep.planes_around, flat.valid_input_px(24)[0]
    assert around > 0
    slab = torch.randn(2, 2, 3 + 2 * around, n_px, n_px)
    middle = slab[:, :, around : around + 3].transpose(1, 2).flatten(0, 1)
    with torch.inference_mode():
        for ours, theirs in zip(
            deep.plane_features(slab), flat.features(middle), strict=True
        ):
            _assert_same(ours, theirs)


@pytest.mark.parametrize("of_volume", SLABS)
def test_planes_of_a_slab_depend_on_the_planes_that_are_said_to_be_seen(of_volume):
    _, deep = _pair(of_volume=of_volume)
    with torch.no_grad():
        for parameter in deep.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    around = deep.planes_around
    slab = torch.randn(1, 1, 1 + 2 * around, 16, 16)
    changed = slab.clone()
    changed[:, :, -1] += 3
    with torch.inference_mode():
        before, after = deep.plane_features(slab), deep.plane_features(changed)
        one, all_three = (
            deep.plane_features(torch.cat([slab, slab[:, :, :n]], dim=2))
            for n in (0, 2)
        )
    assert (before[0] - after[0]).abs().max() > 1e-4
    # several planes at once are what each of them is alone
    for alone, together in zip(one, all_three, strict=True):
        torch.testing.assert_close(together[:1], alone, rtol=0, atol=1e-5)


def test_a_network_that_pools_along_z_has_no_maps_of_single_planes():
    _, deep = _pair(of_volume=POOLED)
    with pytest.raises(ConfigError, match="pool_z is on"):
        deep.plane_features(torch.zeros(1, 1, 16, 16, 16))


def test_where_planes_are_far_apart_only_deep_levels_pool_along_z():
    flat, deep = _pair(of_volume={**POOLED, "anisotropy": 2.5}, depth=3)
    image = torch.randn(1, 1, 16, 24)
    volume = image.unsqueeze(2).repeat(1, 1, 8, 1, 1)
    with torch.inference_mode():
        assert [m.shape[2] for m in deep.features(volume)] == [8, 8, 4, 2]
        _assert_same(_planes(deep(volume)), flat(image).expand(8, -1, -1, -1))


def test_a_new_state_is_made():
    flat, _ = _pair()
    before = {name: tensor.clone() for name, tensor in flat.state_dict().items()}
    for of_volume in ({}, {"ndim": 3}, POOLED, {"context_planes": 1}):
        config = flat.config.model_copy(update=of_volume)
        for tensor in inflate(flat.state_dict(), config).values():
            tensor.fill_(7)
    for name, tensor in flat.state_dict().items():
        assert (tensor == before[name]).all()


def test_pooling_along_z_is_nothing_to_2d():
    with_, without = (
        UNet(UNetConfig(base_channels=4, depth=1, pool_z=pool_z)).state_dict()
        for pool_z in (True, False)
    )
    assert {n: t.shape for n, t in with_.items()} == {
        n: t.shape for n, t in without.items()
    }


@pytest.mark.parametrize("pool_z", [False, True])
def test_a_volume_network_is_saved_and_loaded(tmp_path, pool_z):
    _, deep = _pair(of_volume={"ndim": 3, "pool_z": pool_z})
    save_model(tmp_path / "volume.safetensors", deep)
    again = load_model(tmp_path / "volume.safetensors")
    assert again.config.pool_z is pool_z
    volume = torch.randn(1, 1, 4, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(again(volume), deep(volume), rtol=0, atol=0)


def test_settings_from_before_the_setting_are_read():
    config = parse_config('{"ndim": 2, "base_channels": 8}', UNetConfig)
    assert config == UNetConfig(base_channels=8)
