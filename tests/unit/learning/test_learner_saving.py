"""Learners that are saved, loaded, and go on."""

import numpy as np
import pytest

import napari_unet.learning.state as state_module
from napari_unet.config import InstantConfig
from napari_unet.errors import AnnotationError, ImageError
from napari_unet.jobs import (
    finish,
)
from napari_unet.learning import load
from napari_unet.learning.gate import ORDER


@pytest.mark.parametrize("architecture", ["compact", "unet2015"])
def test_what_is_saved_predicts_the_same(
    new_learner, image, strokes, tmp_path, architecture, choose
):
    learner = new_learner(architecture=architecture)
    rgb = np.stack([image, image**2, -image], axis=-1)
    strokes[38, 2:14] = 200
    learner.annotate(rgb, strokes)
    learner.class_names = {1: "ground", 200: "corner"}
    finish(learner.fine_tune(steps=2))
    path = tmp_path / "model.safetensors"
    new = np.random.default_rng(5).random((30, 40, 3))
    for name in ORDER:
        choose(learner, name)
        learner.save(path)
        again = load(path)
        assert again.status.chosen == name
        assert again.class_values == (1, 2, 200)
        assert again.class_names == {1: "ground", 200: "corner"}
        assert again.config == learner.config
        assert again.n_channels == 3
        np.testing.assert_array_equal(again.predict(new), learner.predict(new))
        np.testing.assert_array_equal(
            again.predict_probabilities(rgb), learner.predict_probabilities(rgb)
        )


def test_an_instant_model_without_training_is_saved_and_loaded(
    learner, image, strokes, tmp_path
):
    learner.annotate(image, strokes)
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors", device="cpu")
    np.testing.assert_array_equal(again.predict(image), learner.predict(image))


def test_a_loaded_model_goes_on_learning(trained, image, strokes, tmp_path):
    trained.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    with pytest.raises(AnnotationError, match="paint"):
        finish(again.fine_tune(steps=1))
    assert again.predict(image).shape == (48, 48)  # one class, or none, is enough
    again.annotate(image, np.where(strokes == 1, 1, 0))
    assert again.predict(image).shape == (48, 48)
    again.annotate(image, strokes)
    old = trained._state.tuned.network.unet.down[0][0].weight
    assert (again._state.tuned.network.unet.down[0][0].weight == old).all()
    strokes[38, 2:14] = 9
    again.annotate(image, strokes)
    finish(again.fine_tune(steps=1))
    assert again._state.tuned.head.weights.shape[1] == 3
    again.save(tmp_path / "model.safetensors")
    once_more = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(once_more.predict(image), again.predict(image))


def test_a_loaded_model_says_what_it_works_with(trained, image, tmp_path):
    trained.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        again.predict(np.zeros((48, 48, 3)))
    with pytest.raises(ImageError, match=r"3 channels.*works with 1"):
        again.annotate(np.zeros((48, 48, 3)), np.ones((48, 48), int))


def test_saving_takes_newer_strokes_along(trained, image, strokes, tmp_path):
    strokes[38, 2:14] = 9
    trained.annotate(image, strokes)
    trained.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").class_values == (1, 2, 9)


def test_more_feature_levels_than_there_are(new_learner, image, strokes, tmp_path):
    learner = new_learner(instant=InstantConfig(n_trees=2, n_feature_levels=6))
    learner.annotate(image, strokes)
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        again.predict(image, candidate="instant"),
        learner.predict(image, candidate="instant"),
    )


def test_a_network_that_was_trained_at_fewer_scales_is_saved_and_loaded(
    bundle, monkeypatch, new_learner, scene, tmp_path
):
    """Three scales are computed, and two of them chosen."""
    bundle(monkeypatch)
    monkeypatch.setattr(state_module, "_PRETRAINED_SCALES", 3)
    instant = scene.config.instant.model_copy(update={"n_scales": None})
    learner = new_learner(start="bundled", instant=instant)
    image = scene.image()
    learner.annotate(image, scene.strokes())
    finish(learner.fine_tune(steps=2))
    learner.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    mine, theirs = learner._state, again._state
    assert (theirs.start.n_scales, theirs.tuned.network.n_scales) == (3, 2)
    for name in ORDER:
        np.testing.assert_array_equal(
            again.predict(image, candidate=name), learner.predict(image, candidate=name)
        )
    again.annotate(image, scene.strokes())
    finish(again.fine_tune(steps=1))
    assert theirs.trainer.network.n_scales == mine.trainer.network.n_scales == 2
