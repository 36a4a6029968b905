import numpy as np
import pytest
import torch

from napari_unet.config import UNetConfig
from napari_unet.core import start
from napari_unet.core.checkpoint import save_model
from napari_unet.core.start import bundled_path, make_network, spread_channels
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError


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


@pytest.mark.parametrize("shape", [{"depth": 3}, {"base_channels": 8}, {"ndim": 3}])
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
