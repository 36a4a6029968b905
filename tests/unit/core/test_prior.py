import math

import numpy as np
import pytest
import torch

from napari_unet.config import UNetConfig
from napari_unet.core import start
from napari_unet.core.checkpoint import read_header, save_model, save_tensors
from napari_unet.core.head import HeadPrior, RidgeHead
from napari_unet.core.start import (
    bundled_path,
    make_network,
    read_prior,
    spread_channels,
    to_bundled_channels,
)
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError

SIZES = (4, 8, 4, 8, 3)  # two levels at two scales, and three channels


def _prior(**changes):
    scales = np.random.default_rng(0).uniform(0.1, 2, sum(SIZES)).astype(np.float32)
    facts = {
        "scales": scales,
        "sizes": SIZES,
        "n_levels": 2,
        "strength": (-3.0, -0.5),
        "temperature": (1.7, 0.1),
    }
    return HeadPrior(**{**facts, **changes})


def _mixing(n_channels):
    return to_bundled_channels(n_channels).numpy()


# -- the factors -----------------------------------------------------------------------


def test_an_image_of_as_many_channels_has_the_factors_as_they_are():
    prior = _prior()
    np.testing.assert_allclose(prior.scale(2, 2, _mixing(3)), prior.scales, rtol=1e-6)


@pytest.mark.parametrize(
    ("n_levels", "n_scales", "expected"),
    [
        (1, 1, [slice(0, 4)]),
        (2, 1, [slice(0, 12)]),
        (1, 2, [slice(0, 4), slice(12, 16)]),
        (2, 2, [slice(0, 24)]),
    ],
)
def test_fewer_levels_and_scales_take_theirs(n_levels, n_scales, expected):
    prior = _prior()
    of_maps = np.concatenate([prior.scales[part] for part in expected])
    scale = prior.scale(n_levels, n_scales, _mixing(3))
    assert scale.dtype == np.float32
    np.testing.assert_allclose(scale, [*of_maps, *prior.scales[-3:]], rtol=1e-6)


@pytest.mark.parametrize("n_channels", [1, 2, 4, 5])
def test_as_many_factors_as_channels(n_channels):
    scale = _prior().scale(2, 2, _mixing(n_channels))
    assert scale.shape == (24 + n_channels,)
    assert (scale > 0).all()


def _fit(prior, image, targets, n_channels):
    """Fit to the image alone; returns the scores."""
    scale = prior.scale(2, 2, _mixing(n_channels))[24:]
    weights = np.full(len(image), 1 / len(image), np.float32)
    head = RidgeHead.fit(image, targets, 2, weights, 0.1, 1.0, scale)
    return head.logits(image)


def test_a_grey_image_is_fitted_as_it_is_in_three_channels():
    """The kernel between two pixels is the same, and so is the answer."""
    rng = np.random.default_rng(1)
    grey = rng.normal(size=(30, 1)).astype(np.float32)
    one = _prior().scale(2, 2, _mixing(1))[24:]
    three = _prior().scale(2, 2, _mixing(3))[24:]
    repeated = np.repeat(grey, 3, axis=1)
    np.testing.assert_allclose(
        (grey * one) @ (grey * one).T, (repeated * three) @ (repeated * three).T, 1e-5
    )
    targets = rng.integers(0, 2, 30)
    np.testing.assert_allclose(
        _fit(_prior(), grey, targets, 1),
        _fit(_prior(), repeated, targets, 3),
        atol=1e-5,
    )


@pytest.mark.parametrize(("n_levels", "is_covered"), [(1, True), (2, True), (3, False)])
def test_it_covers_the_levels_that_were_trained(n_levels, is_covered):
    assert _prior().covers(n_levels) == is_covered


@pytest.mark.parametrize("n_levels", [1, 2])
@pytest.mark.parametrize("n_scales", [3, 4])
def test_scales_that_were_not_trained_count_as_the_smallest_that_was(
    n_levels, n_scales
):
    prior = _prior()
    scale = prior.scale(n_levels, n_scales, _mixing(3))
    n_features = sum(SIZES[:n_levels])
    first, *others = np.split(scale[:-3], n_scales)
    np.testing.assert_allclose(first, prior.scales[:n_features], rtol=1e-6)
    for other in others:
        smallest = prior.scales[12 : 12 + n_features]
        np.testing.assert_allclose(other, smallest, rtol=1e-6)
    np.testing.assert_allclose(scale[-3:], prior.scales[-3:], rtol=1e-6)


@pytest.mark.parametrize("n_strokes", [1, 2, 16])
def test_strength_and_temperature_are_powers_of_the_number_of_strokes(n_strokes):
    prior = _prior()
    assert prior.strength_for(n_strokes) == pytest.approx(
        math.exp(-3) * n_strokes**-0.5
    )
    assert prior.temperature_for(n_strokes) == pytest.approx(
        math.exp(1.7) * n_strokes**0.1
    )


def test_its_facts_and_factors_make_it_again():
    prior = _prior()
    facts = prior.facts()
    assert "scales" not in facts
    assert HeadPrior(prior.scales, **facts).facts() == facts


# -- the fit with factors --------------------------------------------------------------


def _data(n=60, n_features=8, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, n_features)).astype(np.float32)
    targets = (features[:, 0] + 0.3 * rng.normal(size=n) > 0).astype(int)
    return features, targets, rng.random(n).astype(np.float32)


def test_with_factors_it_is_ridge_regression_on_scaled_features():
    from sklearn.linear_model import Ridge

    features, targets, weights = _data()
    scale = np.linspace(0.1, 3, 8).astype(np.float32)
    head = RidgeHead.fit(features, targets, 2, weights, 0.2, 5.0, scale)
    share = weights / weights.sum()
    z = features.astype(float) * scale
    reference = Ridge(alpha=0.2).fit(z, np.eye(2)[targets], sample_weight=share)
    assert head.temperature == 5
    np.testing.assert_allclose(
        head.logits(features), reference.predict(z) * 5, atol=1e-4
    )


def test_factors_that_standardise_give_what_none_gives():
    features, targets, weights = _data()
    features *= np.float32(7)
    mean = np.average(features, axis=0, weights=weights)
    deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    scale = (1 / deviation).astype(np.float32)
    given = RidgeHead.fit(features, targets, 2, weights, 0.1, scale=scale)
    own = RidgeHead.fit(features, targets, 2, weights, 0.1)
    np.testing.assert_allclose(given.logits(features), own.logits(features), atol=1e-3)


def test_a_feature_that_is_not_trusted_hardly_counts():
    features, targets, weights = _data()
    scale = np.ones(8, np.float32)
    scale[0] = 1e-4  # the one that tells the classes apart
    head = RidgeHead.fit(features, targets, 2, weights, 0.1, scale=scale)
    assert np.abs(head.weights[0]).max() < 1e-6
    assert np.abs(head.weights[1:]).max() > 1e-3


# -- the bundled file ------------------------------------------------------------------


def _write(folder, **changes):
    """Write pretrained weights of a tiny network for three channels, and a prior."""
    torch.manual_seed(0)
    config = UNetConfig(base_channels=4, depth=2, in_channels=3)
    state = UNet(config).state_dict()
    tensors = {n: t.half() for n, t in state.items() if not n.startswith("head.")}
    log_scale = np.log(_prior().scales).astype(np.float16)
    header = {
        "schema_version": 1,
        "kind": "bundled",
        "unet": config.model_dump(mode="json"),
        "n_levels": 2,
        "n_scales": 2,
        "strength": [-3.0, -0.5],
        "temperature": [1.7, 0.1],
    }
    tensors["prior.log_scale"] = log_scale
    save_tensors(folder / "compact.safetensors", tensors, {**header, **changes})


@pytest.fixture
def tiny_bundle(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    _write(tmp_path)


def test_the_prior_is_read_with_the_weights(tiny_bundle):
    _, is_pretrained = make_network(UNetConfig(base_channels=4, depth=2))
    assert is_pretrained
    prior = read_prior("compact")
    assert prior.facts() == _prior().facts()
    np.testing.assert_allclose(prior.scales, _prior().scales, rtol=2e-3)
    assert prior.scales.dtype == np.float32


def test_without_a_file_there_is_no_prior(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    assert read_prior("compact") is None
    assert read_prior("unet2015") is None


def test_a_damaged_file_is_said(tiny_bundle):
    path = bundled_path("compact")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"compact\.safetensors"):
        read_prior("compact")


@pytest.fixture(scope="module")
def carried():
    """The prior and the settings of the weights that the package carries."""
    header = read_header(bundled_path("compact"))
    return read_prior("compact"), UNetConfig.model_validate(header["unet"])


def test_the_package_carries_weights_and_their_prior(carried):
    """Whatever their numbers are."""
    prior, config = carried
    assert bundled_path("compact").stat().st_size <= 8e6
    usual = UNetConfig(in_channels=3)  # what people get by default
    assert (config.channels, config.depth) == (usual.channels, usual.depth)
    assert config.in_channels == 3
    assert prior.covers(4)
    n_maps = len(prior.sizes) - 1
    assert prior.sizes[:-1] == config.channels[: prior.n_levels] * (
        n_maps // prior.n_levels
    )
    assert prior.sizes[-1] == 3
    assert prior.scales.shape == (sum(prior.sizes),)
    assert (np.isfinite(prior.scales) & (prior.scales > 0)).all()
    for n_strokes in (1, 4, 100):
        assert 1e-6 < prior.strength_for(n_strokes) < 100
        assert 0.1 < prior.temperature_for(n_strokes) < 100


def test_carried_weights_see_a_grey_image_alike_in_one_and_three_channels(carried):
    networks = [make_network(UNetConfig(in_channels=n)) for n in (1, 3)]
    assert all(is_pretrained for _, is_pretrained in networks)
    grey = torch.rand(1, 1, 32, 48)
    with torch.inference_mode():
        one, three = (
            unet.features(grey.repeat(1, unet.config.in_channels, 1, 1))
            for unet, _ in networks
        )
    for mine, theirs in zip(one, three, strict=True):
        assert mine.std() > 0
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_spreading_the_first_layer_and_the_prior_agree(carried):
    """What enters a slot enters it in the kernels and in the factors alike."""
    prior, _ = carried
    of_image = prior.scales[-3:]
    factor = prior.scale(4, 2, _mixing(1))[-1]
    assert factor == pytest.approx(np.sqrt((of_image**2).sum()), rel=1e-5)
    weight = torch.rand(2, 3, 3, 3)
    torch.testing.assert_close(spread_channels(weight, 1)[:, 0], weight.sum(1))


def test_a_bare_network_has_no_prior(tmp_path, monkeypatch):
    monkeypatch.setattr(start, "_FOLDER", tmp_path)
    save_model(tmp_path / "compact.safetensors", UNet(UNetConfig(base_channels=4)))
    assert read_prior("compact") is None
