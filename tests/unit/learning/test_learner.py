"""The learner's contract: labels at once, status, refusals, jobs."""

import numpy as np
import pytest

from napari_unet.errors import AnnotationError, ConfigError, ImageError
from napari_unet.jobs import (
    CancelToken,
    Scored,
    TilePredicted,
    finish,
)
from napari_unet.learning.gate import ORDER

# -- instant -------------------------------------------------------------------------


def test_labels_come_before_any_fine_tuning(learner, image, strokes, truth):
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert labels.shape == image.shape
    assert labels.dtype == np.uint8
    assert (labels == truth).mean() > 0.9
    assert learner.status.step == 0
    assert learner.status.chosen in ORDER[:3]


def test_the_status_says_what_is_shown_with_its_score(learner, image, strokes):
    assert learner.status.chosen == ""
    assert learner.status.score is None
    learner.annotate(image, strokes)
    learner.predict(image)
    status = learner.status
    assert set(status.scores) == set(ORDER[:3])
    assert status.score == status.scores[status.chosen]
    assert 0.5 < status.score.mean_iou <= 1
    assert status.score.n_strokes == 4
    assert status.score.n_px == status.n_px == (strokes > 0).sum()
    assert status.n_strokes == 4
    assert status.annotation_version == 1
    assert status.device == "CPU, 1 thread"
    assert status.reason
    assert status.advice == ""


def test_with_single_strokes_nothing_is_scored_and_advice_given(
    learner, image, strokes
):
    strokes[-10:] = 0
    strokes[28:] = 0
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert set(np.unique(labels)) <= {1, 2}
    status = learner.status
    assert status.chosen == "forest"
    assert status.score.mean_iou is None
    assert "second stroke" in status.advice


def test_probabilities_belong_to_the_labels(learner, image, strokes):
    strokes = np.where(strokes == 2, 300, strokes.astype(np.uint16))
    learner.annotate(image, strokes)
    labels, probabilities = learner.predict(image), learner.predict_probabilities(image)
    assert probabilities.shape == (2, 48, 48)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    values = np.array(learner.class_values)
    np.testing.assert_array_equal(values[probabilities.argmax(0)], labels)


@pytest.mark.parametrize("values", [(1, 2), (2, 5), (1, 65_535), (7, 300)])
def test_labels_have_the_annotation_s_values(learner, image, strokes, values):
    painted = np.zeros(strokes.shape, np.uint16)
    painted[strokes == 1], painted[strokes == 2] = values
    learner.annotate(image, painted)
    labels = learner.predict(image)
    assert set(np.unique(labels)) == set(values)
    assert labels.dtype == (np.uint8 if max(values) < 256 else np.uint16)
    assert learner.class_values == values


def test_tiles_do_not_show(learner, new_learner, image, strokes):
    large = new_learner(tiling=learner.config.tiling.model_copy(update={"tile_px": 64}))
    for one in (learner, large):
        one.annotate(image, strokes)
    for name in ORDER[:3]:
        small_tiles = [learner.predict(image, candidate=name)]
        one_tile = [large.predict(image, candidate=name)]
        np.testing.assert_array_equal(small_tiles, one_tile)


def test_the_same_seed_gives_the_same_labels(new_learner, image, strokes):
    results = []
    for _ in range(2):
        learner = new_learner()
        learner.annotate(image, strokes)
        finish(learner.fine_tune(steps=2))
        results.append([learner.predict(image, candidate=name) for name in ORDER])
    np.testing.assert_array_equal(*results)


def test_a_candidate_that_is_not_there_is_refused(learner, image, strokes):
    learner.annotate(image, strokes)
    with pytest.raises(ConfigError, match="perceptron"):
        learner.predict(image, candidate="perceptron")
    with pytest.raises(ConfigError, match="fine_tune"):
        learner.predict(image, candidate="fine-tuned")


# -- what cannot be learned from -----------------------------------------------------


@pytest.mark.parametrize("call", ["predict", "probabilities", "fine_tune", "save"])
def test_nothing_painted_is_said(learner, image, tmp_path, call):
    calls = {
        "predict": lambda: learner.predict(image),
        "probabilities": lambda: learner.predict_probabilities(image),
        "fine_tune": lambda: finish(learner.fine_tune(steps=1)),
        "save": lambda: learner.save(tmp_path / "model.safetensors"),
    }
    with pytest.raises(AnnotationError, match="paint"):
        calls[call]()
    learner.annotate(image, np.zeros((48, 48), int))
    with pytest.raises(AnnotationError, match="paint"):
        calls[call]()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "said"), [(1, "object"), (2, "background")])
def test_one_class_says_what_to_paint_next(learner, image, strokes, value, said):
    strokes[strokes > 0] = value
    learner.annotate(image, strokes)
    assert said in learner.status.advice
    for job in (learner.fine_tune(steps=1), learner.update()):
        with pytest.raises(AnnotationError, match=said):
            finish(job)


@pytest.mark.parametrize(
    "shape", [(48, 47), (47, 48), (48,), (48, 48, 48), (2, 48, 48), ()]
)
def test_an_annotation_of_another_shape_is_refused(learner, image, shape):
    with pytest.raises((ImageError, AnnotationError)):
        learner.annotate(image, np.ones(shape, int))
    assert learner.status.n_px == 0


@pytest.mark.parametrize("wrong", [-1, 65_536, 0.5])
def test_annotations_with_other_values_are_refused(learner, image, strokes, wrong):
    annotation = strokes.astype(type(wrong))
    annotation[0, 0] = wrong
    with pytest.raises(AnnotationError):
        learner.annotate(image, annotation)


def test_an_annotation_that_is_refused_changes_nothing(learner, image, strokes):
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    rgb = np.zeros((48, 48, 3))
    with pytest.raises(ImageError, match="3 channels"):
        learner.annotate(rgb, strokes, key="other")
    with pytest.raises(AnnotationError):
        learner.annotate(image, strokes.astype(float))
    assert learner.status.annotation_version == 1
    np.testing.assert_array_equal(learner.predict(image), labels)


def test_more_channels_than_a_network_has_are_refused(learner):
    spectrum = np.zeros((100, 48, 48))
    with pytest.raises(ImageError, match="100 channels"):
        learner.annotate(spectrum, np.ones((48, 48), int))


def test_numbered_objects_are_refused(learner, image):
    objects = np.arange(48 * 48).reshape(48, 48)
    with pytest.raises(AnnotationError, match="classes"):
        learner.annotate(image, objects)


# -- jobs ----------------------------------------------------------------------------


def test_a_prediction_can_be_cancelled_between_tiles(learner, image, strokes):
    learner.annotate(image, strokes)
    token = CancelToken()
    job = learner.predict_job(image, token=token)
    n_tiles = 0
    labels = None
    while labels is None:
        try:
            event = next(job)
        except StopIteration as stop:
            labels = stop.value
            break
        if isinstance(event, TilePredicted):
            n_tiles += 1
            token.cancel()
    assert n_tiles == 1
    assert 0 < (labels == 0).mean() < 1


def test_generations_change_with_what_is_shown(learner, image, strokes):
    learner.annotate(image, strokes)
    learner.predict(image)
    first = learner.generation
    learner.predict(image)
    assert learner.generation == first
    strokes[40, 3:9] = 1
    learner.annotate(image, strokes)
    learner.predict(image)
    assert learner.generation > first


def test_hidden_training_does_not_change_the_generation(trained, image, choose):
    choose(trained, "forest")
    before = trained.generation
    for event in trained.fine_tune(steps=1):
        if isinstance(event, Scored):
            shown = event.chosen
            assert event.is_changed == (shown != "forest")
    assert (trained.generation == before) == (shown == "forest")
