import numpy as np
import pytest
import torch

from napari_unet.inference.tiles import Tile
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


def test_the_network_at_pixels_is_the_network_in_the_tile(model, source):
    candidate = model.predictor("fine-tuned")
    whole = candidate.probabilities(source, 0, Tile(0, 32, 32, 48))
    yx = np.array([[0, 32], [31, 47], [7, 40]], np.int32)
    at_pixels = candidate.at_pixels(source, 0, Tile(0, 32, 32, 48), yx)
    np.testing.assert_allclose(
        at_pixels, whole[:, yx[:, 0], yx[:, 1] - 32].T, atol=1e-5
    )


def test_channels_of_classes_that_are_not_in_use_are_left_out(trained, image, strokes):
    strokes[40, 2:12] = 9
    trained.annotate(image, strokes)
    for _ in trained.fine_tune(steps=1):
        pass
    strokes[strokes == 2] = 0  # the class in the middle goes
    trained.annotate(image, strokes)
    trained.predict(image)
    model = trained._state.model
    source = trained._state.annotations.images[0].source
    assert model.tuned.outputs == (1, 2, 9)
    candidate = model.predictor("fine-tuned")
    assert candidate.values == (1, 9)
    unet = model.tuned.network.unet
    with torch.inference_mode():
        logits = unet(torch.from_numpy(source.read(0, -32, 80, -32, 80))[None])
    expected = logits[0, [0, 2], 32:80, 32:80].softmax(0).numpy()
    np.testing.assert_allclose(
        candidate.probabilities(source, 0, TILE), expected, atol=1e-4
    )


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
