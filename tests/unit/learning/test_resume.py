"""What a model file brings back: predictions, history, and which strokes are unseen."""

import numpy as np
import pytest

from napari_unet import Learner, LearnerConfig, load
from napari_unet.annotation.strokes import deal_folds, find_strokes
from napari_unet.jobs import finish

CONFIG = LearnerConfig(device="cpu", n_threads=1, base_channels=4, depth=2)


def painted(n_strokes):
    """Return an image of two halves and strokes that came one after the other."""
    image = np.zeros((64, 64), np.float32)
    image[:, 32:] = 1
    annotation = np.zeros((64, 64), np.uint8)
    # places in an order that differs from their order in the image
    for row in [40, 8, 56, 24, 16][:n_strokes]:
        annotation[row, 4:20] = 1
        annotation[row, 40:56] = 2
        yield image, annotation.copy()


@pytest.fixture
def trained():
    learner = Learner(CONFIG)
    for image, annotation in painted(5):
        learner.annotate(image, annotation)
    finish(learner.fine_tune(steps=3))
    return learner, image, annotation


def folds(learner):
    return {s.signature: s.fold for _, s in learner._state.annotations.strokes}


def test_a_loaded_learner_is_scored_on_strokes_that_it_never_saw(trained, tmp_path):
    learner, image, annotation = trained
    learner.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    loaded.annotate(image, annotation)
    assert folds(loaded) == folds(learner)
    # dealt anew, in the order of their places, they would differ
    anew = deal_folds(find_strokes(annotation), CONFIG.instant.n_folds)
    assert {s.signature: s.fold for s in anew} != folds(learner)


def test_a_loaded_learner_knows_its_history(trained, tmp_path):
    learner, _, _ = trained
    learner.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    for name in ("chosen", "score", "scores", "reason", "step"):
        assert getattr(loaded.status, name) == getattr(learner.status, name), name
    assert loaded.status.seconds == pytest.approx(learner.status.seconds, abs=0.1)


def test_saving_what_was_loaded_keeps_its_history(trained, tmp_path):
    learner, _, _ = trained
    learner.save(tmp_path / "a.safetensors")
    load(tmp_path / "a.safetensors").save(tmp_path / "b.safetensors")
    again = load(tmp_path / "b.safetensors")
    assert again.status.step == 3
    assert again.status.scores == learner.status.scores
    assert again._state.learned_from.n_strokes == 10


def test_steps_go_on_from_the_loaded_ones(trained, tmp_path):
    learner, image, annotation = trained
    learner.save(tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors")
    loaded.annotate(image, annotation)
    assert finish(loaded.fine_tune(steps=2)).step == 5


def test_a_flat_image_gets_advice():
    learner = Learner(CONFIG)
    *_, (_, annotation) = painted(5)
    learner.annotate(np.full((64, 64), 7, np.uint8), annotation)
    learner.predict(np.full((64, 64), 7, np.uint8))
    assert "same value everywhere" in learner.status.advice


def test_a_class_with_one_stroke_is_asked_for():
    learner = Learner(CONFIG)
    *_, (image, annotation) = painted(5)
    annotation[60, 30:34] = 3
    learner.annotate(image, annotation)
    learner.class_names = {3: "rim"}
    learner.predict(image)
    assert learner.status.score.mean_iou is not None
    assert "second stroke of 'rim'" in learner.status.advice
