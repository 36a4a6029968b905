from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_unet.core.head import softmax
from napari_unet.inference.maps import compute_maps
from napari_unet.inference.tiles import Tile
from napari_unet.learning.candidates import Blend, FeatureCache, Network
from napari_unet.learning.gate import NETWORK_SHARE, ORDER, mix

TILE = Tile(0, 48, 0, 48)
PER_SCALE = 4 + 8 + 16  # features of the tiny network's three levels


@pytest.fixture
def model(trained):
    return trained._state.model


@pytest.fixture
def source(trained):
    return trained._state.annotations.images[0].source


@pytest.mark.parametrize("name", ORDER)
def test_every_candidate_gives_probabilities(model, source, name):
    predictor = model.predictor(name)
    assert predictor.name == name
    assert predictor.values == (1, 2)
    assert predictor.generation == model.generation
    assert predictor.device == torch.device("cpu")
    probabilities = predictor.probabilities(source, 0, TILE)
    assert probabilities.shape == (2, 48, 48)
    assert probabilities.dtype == np.float32
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["instant+forest", "fine-tuned+forest"])
def test_together_is_the_mean_that_the_gate_scores(model, source, name):
    network, forest = (
        model.predictor(part).probabilities(source, 0, TILE).copy()
        for part in name.split("+")
    )
    both = model.predictor(name).probabilities(source, 0, TILE)
    np.testing.assert_allclose(both, mix(network, forest), atol=1e-6)
    assert np.abs(both - forest).max() > 1e-3
    # and it leaves its parts as they are
    again = model.predictor(name).probabilities(source, 0, TILE)
    np.testing.assert_array_equal(both, again)


@pytest.mark.parametrize("share", [0.0, 0.25, NETWORK_SHARE, 1.0])
def test_a_blend_gives_each_part_its_share(model, source, share):
    network, forest = model.predictor("instant"), model.predictor("forest")
    blend = Blend(network, forest, share, 7)
    assert blend.name == "instant+forest"
    assert (blend.values, blend.generation) == ((1, 2), 7)
    assert blend.device == network.device
    of_network, of_forest = (
        part.probabilities(source, 0, TILE) for part in (network, forest)
    )
    both = blend.probabilities(source, 0, TILE)
    expected = share * of_network + (1 - share) * of_forest
    np.testing.assert_allclose(both, expected, atol=1e-6)
    assert both.dtype == np.float32


def test_fine_tuned_is_a_head_on_the_tuned_network_s_features(model, source):
    candidate = model.predictor("fine-tuned")
    network, head = model.tuned.network, model.tuned.head
    assert network.uid != model.start.uid
    maps = compute_maps(network.unet, source, 0, TILE, network.n_levels)
    yx = np.argwhere(np.ones(TILE.shape))
    with torch.inference_mode():
        features = maps.sample(torch.from_numpy(yx)).numpy()
    expected = softmax(head.logits(features)).T.reshape(2, *TILE.shape)
    actual = candidate.probabilities(source, 0, TILE)
    np.testing.assert_allclose(actual, expected, atol=1e-4)
    # and not those of the start weights
    instant = model.predictor("instant").probabilities(source, 0, TILE)
    assert np.abs(actual - instant).max() > 1e-3


def test_classes_that_are_not_in_use_are_left_out(trained, image, strokes):
    strokes[40, 2:12] = 9
    trained.annotate(image, strokes)
    for _ in trained.fine_tune(steps=1):
        pass
    strokes[strokes == 2] = 0  # the class in the middle goes
    trained.annotate(image, strokes)
    trained.predict(image)
    model = trained._state.model
    for name in ORDER:
        candidate = model.predictor(name)
        assert candidate.values == (1, 9)
        source = trained._state.annotations.images[0].source
        assert candidate.probabilities(source, 0, TILE).shape == (2, 48, 48)
    assert model.tuned.head.weights.shape[1] == 2


# -- what a network's features are worth -----------------------------------------------


def test_without_a_prior_features_are_standardised(model):
    assert model.start.prior is None
    assert model.start.trust(model.start.n_scales) is None


@pytest.fixture
def wide(pretrained, image, strokes):
    """A pretrained network at three scales, of which the prior knows two."""
    pretrained.annotate(image, strokes)
    pretrained.predict(image)
    network = pretrained._state.start
    return Network(network.unet, network.n_levels, 3, network.prior)


def test_with_a_prior_each_feature_has_its_factor(pretrained, image, strokes):
    pretrained.annotate(image, strokes)
    pretrained.predict(image)
    network = pretrained._state.start
    assert network.n_features == 2 * PER_SCALE + 1
    trust = network.trust(2)
    assert trust.shape == (network.n_features,)
    assert (trust > 0).all()
    other = network.with_weights(network.unet)
    assert other.uid != network.uid
    assert other.prior is network.prior
    np.testing.assert_array_equal(other.trust(2), trust)


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_scales_that_are_not_chosen_are_not_trusted(wide, n_scales):
    trust = wide.trust(n_scales)
    assert trust.shape == (3 * PER_SCALE + 1,)
    assert trust.dtype == np.float32
    of_maps, of_image = trust[:-1], trust[-1]
    assert (of_maps[: n_scales * PER_SCALE] > 0).all()
    assert (of_maps[n_scales * PER_SCALE :] == 0).all()
    assert of_image > 0  # the image has no scale
    # what is trusted is trusted as much as with all
    kept = trust > 0
    np.testing.assert_array_equal(trust[kept], wide.trust(3)[kept])


def test_a_prior_is_left_alone_where_it_knows_too_little(wide):
    deep = Network(wide.unet, wide.n_levels, 2, replace(wide.prior, n_levels=2))
    assert wide.n_levels == 3
    assert deep.trust(2) is None


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_fewer_scales_are_columns_of_all(wide, source, n_scales):
    """Features that were computed for all scales serve a head that sees fewer."""
    fewer, columns = wide.at_scales(n_scales), wide.columns(n_scales)
    assert (fewer.n_scales, fewer.n_levels) == (n_scales, wide.n_levels)
    assert fewer.unet is wide.unet
    assert columns.sum() == fewer.n_features
    np.testing.assert_array_equal(fewer.trust(n_scales), wide.trust(3)[columns])
    yx = torch.from_numpy(np.argwhere(np.ones(TILE.shape)))
    cache = FeatureCache()
    with torch.inference_mode():
        of_all, of_fewer = (
            cache.maps(network, source, 0, TILE).sample(yx).numpy()
            for network in (wide, fewer)
        )
    assert of_all.shape[1] == wide.n_features
    np.testing.assert_allclose(of_all[:, columns], of_fewer, atol=1e-5)


def test_as_many_scales_are_the_network_itself(wide):
    """Or its maps would be computed anew."""
    assert wide.at_scales(3) is wide
    assert wide.columns(3).all()
    assert wide.at_scales(2).uid != wide.uid


# -- generations ---------------------------------------------------------------------


def test_the_same_choice_is_the_same_generation(model):
    same = model.using(model.tuned, model.chosen)
    assert same.generation == model.generation


def test_another_choice_is_a_newer_generation(model):
    other = next(name for name in ORDER if name != model.chosen)
    assert model.using(model.tuned, other).generation > model.generation


def test_another_network_counts_only_where_it_is_shown(model):
    shown = model.using(model.tuned, "fine-tuned")
    hidden = model.using(model.tuned, "forest")
    assert hidden.using(None, "forest").generation == hidden.generation
    assert shown.using(None, "fine-tuned").generation > shown.generation


def test_another_head_counts_only_where_it_is_shown(model):
    for chosen, is_shown in [("instant+forest", True), ("forest", False)]:
        before = model.using(model.tuned, chosen)
        after = before.with_head(before.head)
        assert (after.generation > before.generation) == is_shown
