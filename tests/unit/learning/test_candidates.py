import numpy as np
import pytest
import torch

from napari_unet.core.head import softmax
from napari_unet.inference.maps import compute_maps
from napari_unet.inference.tiles import Tile
from napari_unet.learning.candidates import Network
from napari_unet.learning.gate import ORDER

TILE = Tile(0, 48, 0, 48)


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
def test_together_is_the_plain_mean(model, source, name):
    parts = [
        model.predictor(part).probabilities(source, 0, TILE).copy()
        for part in name.split("+")
    ]
    both = model.predictor(name).probabilities(source, 0, TILE)
    np.testing.assert_allclose(both, sum(parts) / 2, atol=1e-6)
    # and it leaves its parts as they are
    again = model.predictor(name).probabilities(source, 0, TILE)
    np.testing.assert_array_equal(both, again)


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
    assert model.start.feature_scale is None


def test_with_a_prior_each_feature_has_its_factor(pretrained, image, strokes):
    pretrained.annotate(image, strokes)
    pretrained.predict(image)
    network = pretrained._state.start
    assert network.n_features == 2 * (4 + 8 + 16) + 1
    assert network.feature_scale.shape == (network.n_features,)
    other = network.with_weights(network.unet)
    assert other.uid != network.uid
    assert other.prior is network.prior
    np.testing.assert_array_equal(other.feature_scale, network.feature_scale)


def test_a_prior_is_left_alone_where_it_knows_too_little(pretrained, image, strokes):
    pretrained.annotate(image, strokes)
    pretrained.predict(image)
    network = pretrained._state.start
    wide = Network(network.unet, network.n_levels, 3, network.prior)
    assert wide.feature_scale is None


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
