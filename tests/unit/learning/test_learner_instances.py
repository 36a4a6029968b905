"""Objects from the learner: its labels, cut into one id per object."""

import numpy as np
import pytest

import napari_unet
from napari_unet.config import InstanceConfig
from napari_unet.errors import AnnotationError, ImageError, OutOfMemoryError
from napari_unet.inference.instances import split_objects
from napari_unet.jobs import CancelToken, Progress, TilePredicted, finish
from napari_unet.learning import prediction


@pytest.fixture
def fitted(learner, image, strokes):
    learner.annotate(image, strokes)
    return learner


def test_objects_are_those_of_the_labels(fitted, image):
    labels = fitted.predict(image)
    probabilities = fitted.predict_probabilities(image)
    instances = fitted.predict_instances(image)
    np.testing.assert_array_equal(
        instances.labels, split_objects(labels, probabilities).labels
    )
    assert instances.n_objects >= 1
    value = instances.labels[24, 24]
    assert value > 0
    assert instances.classes[value] == 2


def test_settings_are_heeded(fitted, image):
    none = fitted.predict_instances(image, settings=InstanceConfig(min_size_px=3000))
    assert none.labels.shape == image.shape
    assert none.n_objects == 0


def test_a_stack_is_a_volume_unless_it_is_a_film(fitted, image):
    stack = np.stack([image] * 3)
    volume, film = (fitted.predict_instances(stack, axes=a) for a in ("ZYX", "TYX"))
    assert len(np.unique(volume.labels[:, 24, 24])) == 1
    assert len(np.unique(film.labels[:, 24, 24])) == 3


def test_channels_are_no_axis_of_the_objects(new_learner, image, strokes):
    learner = new_learner()
    rgb = np.stack([image] * 3)
    learner.annotate(rgb, strokes, axes="CYX")
    assert learner.predict_instances(rgb, scale=(0.5, 0.5)).labels.shape == image.shape


def test_the_job_yields_tiles_and_then_what_is_cut(fitted, image):
    events = list(fitted.predict_instances_job(image))
    kinds = [type(event) for event in events]
    assert kinds.count(TilePredicted) == 4
    assert events[-1] == Progress(1, 1, "split")


def test_a_cancelled_prediction_has_no_objects(fitted, image):
    token = CancelToken()
    job = fitted.predict_instances_job(image, token=token)
    while not isinstance(next(job), TilePredicted):
        pass
    token.cancel()
    instances = finish(job)
    assert instances.n_objects == 0
    assert instances.labels.shape == image.shape


def test_the_cut_needs_labels_and_one_map_however_many_classes(
    fitted, image, monkeypatch
):
    given = []

    def note(labels, evidence, **rest):
        given.append((labels, evidence, rest))
        return prediction_split(labels, evidence, **rest)

    prediction_split = prediction.split_job
    monkeypatch.setattr(prediction, "split_job", note)
    fitted.predict_instances(image)
    ((labels, evidence, rest),) = given
    assert labels.dtype == np.uint8
    assert labels.shape == evidence.shape == image.shape
    assert rest.keys().isdisjoint({"border"})
    expected = fitted.predict_probabilities(image).max(axis=0)
    np.testing.assert_array_equal(evidence, expected)


def test_where_a_cut_does_not_fit_into_memory_a_sentence_says_so(
    fitted, image, monkeypatch
):
    def fail(*_args, **_rest):
        raise MemoryError
        yield

    monkeypatch.setattr(prediction, "split_job", fail)
    with pytest.raises(OutOfMemoryError, match=r"shape \(48, 48\): close other"):
        fitted.predict_instances(image)


@pytest.mark.parametrize("method", ["predict", "predict_probabilities"])
def test_an_array_that_does_not_fit_is_told_as_one(fitted, image, monkeypatch, method):
    list(fitted.update())

    def fail(*_args):
        raise MemoryError

    monkeypatch.setattr(prediction.np, "zeros", fail)
    with pytest.raises(OutOfMemoryError, match="close other programs"):
        getattr(fitted, method)(image)


def test_a_wrong_scale_is_refused_before_anything_is_predicted(fitted, image):
    job = fitted.predict_instances_job(image, scale=(1, float("nan")))
    with pytest.raises(ImageError, match="must be 2 finite numbers"):
        next(job)


def test_without_a_model_it_says_what_to_do(learner, image):
    with pytest.raises(AnnotationError):
        learner.predict_instances(image)


def test_the_package_has_it_by_name():
    assert napari_unet.split_objects is split_objects
    assert napari_unet.InstanceConfig is InstanceConfig
