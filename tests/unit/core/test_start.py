import numpy as np
import pytest
import torch

from napari_unet.config import UNetConfig
from napari_unet.core import start
from napari_unet.core.checkpoint import save_model
from napari_unet.core.start import (
    bundled_path,
    make_network,
    spread_channels,
    to_bundled_channels,
)
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError, ConfigError


def _config(**settings):
    return UNetConfig(**{"base_channels": 4, "depth": 2, **settings})


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A folder with pretrained weights of one compact network for grey images."""
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    torch.manual_seed(99)
    unet = UNet(_config())
    save_model(tmp_path / "compact.safetensors", unet)
    return unet


@pytest.fixture
def bundled_rgb(tmp_path, monkeypatch):
    """A folder with pretrained weights of one compact network for three channels."""
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    torch.manual_seed(98)
    unet = UNet(_config(in_channels=3)).eval().requires_grad_(False)
    save_model(tmp_path / "compact.safetensors", unet)
    return unet


@pytest.fixture
def no_bundle(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_FOLDER", tmp_path)


def _body(unet):
    return {n: t for n, t in unet.state_dict().items() if not n.startswith("head.")}


def test_without_bundled_weights_the_seed_decides(no_bundle):
    assert bundled_path("compact") is None
    first, is_pretrained = make_network(_config(), seed=3)
    again, _ = make_network(_config(), seed=3)
    other, _ = make_network(_config(), seed=4)
    assert not is_pretrained
    assert not first.training
    for name, tensor in first.state_dict().items():
        assert (tensor == again.state_dict()[name]).all()
    assert (first.head.weight != other.head.weight).any()


def test_the_random_numbers_of_others_are_left_alone(no_bundle):
    state = torch.random.get_rng_state()
    make_network(_config())
    assert (torch.random.get_rng_state() == state).all()


def test_bundled_weights_are_taken_and_the_head_is_new(bundled):
    unet, is_pretrained = make_network(_config(n_classes=3), seed=1)
    assert is_pretrained
    assert not unet.training
    for name, tensor in _body(unet).items():
        torch.testing.assert_close(tensor, _body(bundled)[name], rtol=0, atol=0)
    scratch, _ = make_network(_config(n_classes=3), seed=1, start="scratch")
    assert unet.head.weight.shape[0] == 3
    torch.testing.assert_close(unet.head.weight, scratch.head.weight)


def test_scratch_means_scratch(bundled):
    unet, is_pretrained = make_network(_config(), start="scratch")
    assert not is_pretrained
    assert (unet.down[0][0].weight != bundled.down[0][0].weight).any()


@pytest.mark.parametrize("n_channels", [2, 3, 5])
def test_a_grey_image_in_many_channels_has_the_same_features(bundled, n_channels):
    unet, is_pretrained = make_network(_config(in_channels=n_channels))
    assert is_pretrained
    grey = torch.rand(1, 1, 16, 20)
    with torch.inference_mode():
        expected = bundled.eval().features(grey)
        actual = unet.features(grey.repeat(1, n_channels, 1, 1))
    for mine, theirs in zip(actual, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_kernels_for_the_same_channels_stay():
    weight = torch.rand(4, 3, 3, 3)
    assert spread_channels(weight, 3) is weight
    assert spread_channels(weight, 1).shape == (4, 1, 3, 3)
    torch.testing.assert_close(spread_channels(weight, 1)[:, 0], weight.sum(1))


def test_how_channels_enter_a_network_for_three():
    def rows(n_channels, n_slots=3):
        return to_bundled_channels(n_channels, n_slots).tolist()

    assert rows(1) == [[1, 1, 1]]
    assert rows(2) == [[1, 0, 0.5], [0, 1, 0.5]]
    assert rows(3) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    half = [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1], [0.5, 0, 0], [0, 0.5, 0]]
    assert rows(5) == half
    assert rows(2, 1) == [[0.5], [0.5]]
    assert rows(1, 1) == [[1]]


@pytest.mark.parametrize(("n_channels", "n_slots"), [(0, 3), (3, 0), (-1, 3)])
def test_no_channel_is_refused(n_channels, n_slots):
    with pytest.raises(ConfigError, match="at least 1"):
        to_bundled_channels(n_channels, n_slots)


@pytest.mark.parametrize("n_slots", [1, 2, 3, 4])
@pytest.mark.parametrize("n_channels", [1, 2, 3, 4, 5, 7])
def test_spread_kernels_respond_as_the_old_ones_to_the_mapped_image(
    n_channels, n_slots
):
    generator = torch.Generator().manual_seed(n_channels)
    weight = torch.randn(6, n_slots, 3, 3, generator=generator)
    image = torch.randn(1, n_channels, 9, 7, generator=generator)
    matrix = to_bundled_channels(n_channels, n_slots)
    assert matrix.shape == (n_channels, n_slots)
    mapped = torch.einsum("cs,bcyx->bsyx", matrix, image)
    spread = spread_channels(weight, n_channels)
    actual = torch.nn.functional.conv2d(image, spread)
    expected = torch.nn.functional.conv2d(mapped, weight)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
def test_any_channels_enter_a_network_for_three(bundled_rgb, n_channels):
    unet, is_pretrained = make_network(_config(in_channels=n_channels))
    assert is_pretrained
    image = torch.rand(1, n_channels, 16, 20)
    grey = torch.rand(1, 1, 16, 20)
    mapped = torch.einsum("cs,bcyx->bsyx", to_bundled_channels(n_channels), image)
    with torch.inference_mode():
        for x, its in [
            (image, mapped),
            (grey.repeat(1, n_channels, 1, 1), grey.repeat(1, 3, 1, 1)),
        ]:
            for mine, theirs in zip(
                unet.features(x), bundled_rgb.features(its), strict=True
            ):
                assert theirs.std() > 0.01
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_channels", [1, 2, 3])
def test_a_network_for_volumes_starts_as_the_2d_one(bundled_rgb, n_channels):
    settings = {"in_channels": n_channels, "n_classes": 3}
    flat, _ = make_network(_config(**settings))
    deep, is_pretrained = make_network(_config(**settings, ndim=3))
    assert is_pretrained
    assert deep.head.weight.shape == (3, 4, 1, 1, 1)
    volume = torch.randn(1, n_channels, 5, 16, 12)
    with torch.inference_mode():
        theirs = flat.features(volume[0].transpose(0, 1))
        for mine, its in zip(deep.features(volume), theirs, strict=True):
            assert its.std() > 0.01
            assert (mine[0].transpose(0, 1) - its).abs().max() <= 1e-4


def test_a_network_that_pools_along_z_starts_from_the_2d_weights(bundled_rgb):
    deep, is_pretrained = make_network(_config(in_channels=3, ndim=3, pool_z=True))
    assert is_pretrained
    torch.testing.assert_close(
        deep.down[0][0].weight[:, :, 1], bundled_rgb.down[0][0].weight, rtol=0, atol=0
    )


@pytest.mark.parametrize(
    "shape",
    [{"depth": 3}, {"base_channels": 8}, {"depth": 1}, {"ndim": 3, "depth": 3}],
)
def test_another_shape_falls_back_to_random_weights(bundled, shape):
    unet, is_pretrained = make_network(_config(**shape))
    assert not is_pretrained
    scratch, _ = make_network(_config(**shape), start="scratch")
    assert (unet.down[0][0].weight == scratch.down[0][0].weight).all()


def test_another_architecture_has_weights_of_its_own(bundled):
    _, is_pretrained = make_network(_config(architecture="unet2015"))
    assert not is_pretrained


def test_a_damaged_bundle_is_said(bundled):
    path = bundled_path("compact")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"compact\.safetensors"):
        make_network(_config())


def test_a_bundle_in_half_precision_is_loaded_as_float32(bundled, tmp_path):
    save_model(tmp_path / "compact.safetensors", bundled.half())
    unet, is_pretrained = make_network(_config())
    assert is_pretrained
    assert {t.dtype for t in unet.state_dict().values()} == {torch.float32}
    assert np.isfinite(unet.down[0][0].weight.numpy(force=True)).all()
