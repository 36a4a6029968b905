"""What is suspicious is said once, before the long work, and stands in the advice."""

import numpy as np
import pytest

from napari_unet.jobs import HeadFitted, Notice
from napari_unet.learning import Learner, load


def cautions(events):
    return [e.message for e in events if isinstance(e, Notice) and e.level == "caution"]


def numbered(n, n_marks=1):
    """Return n values in a 48 x 48 annotation, each with so many marks."""
    annotation = np.zeros((48, 48), np.uint8)
    for number in range(n * n_marks):
        y, x = divmod(number, 12)
        annotation[4 * y : 4 * y + 2, 4 * x : 4 * x + 2] = 1 + number % n
    return annotation


def test_a_constant_image_is_said_before_anything_is_fitted(learner, strokes):
    learner.annotate(np.full((48, 48), 7, np.uint8), strokes)
    assert "48 × 48 px has the same value everywhere" in learner.status.advice
    first, *rest = learner.update()
    assert cautions([first]) == [learner.status.advice]
    assert any(isinstance(event, HeadFitted) for event in rest)
    assert cautions(rest) == []


def test_a_doubt_is_told_once_and_again_when_it_comes_back(learner, image, strokes):
    flat, key = np.full((48, 48), 7, np.uint8), "one"
    learner.annotate(flat, strokes, key=key)
    assert len(cautions(learner.update())) == 1
    strokes[0, 0] = 1
    learner.annotate(flat, strokes, key=key)
    assert cautions(learner.update()) == []
    learner.annotate(image, strokes, key=key)
    assert cautions(learner.update()) == []
    assert learner.status.advice == ""
    learner.annotate(flat, strokes, key=key)
    assert len(cautions(learner.update())) == 1


@pytest.mark.parametrize(
    ("annotation", "is_suspected"),
    [
        (numbered(12), True),
        (numbered(30, 2), True),
        (numbered(12, 2), False),
        (numbered(4), False),
    ],
    ids=["12, one mark each", "30", "12, two marks each", "4, one mark each"],
)
def test_numbers_of_objects_are_suspected(learner, image, annotation, is_suspected):
    learner.annotate(image, annotation)
    n_values = len(np.unique(annotation)) - 1
    said = f"The {n_values} values of the annotation look like numbers of objects"
    assert (said in learner.status.advice) == is_suspected


@pytest.mark.parametrize(
    ("dimensions", "distance", "is_told"),
    [("3d", 40, True), ("3d", 3, False), ("2.5d", 40, False), ("2d", 40, False)],
)
def test_planes_too_far_apart_for_3d_are_told_and_learned_one_by_one(
    config, image, strokes, tmp_path, dimensions, distance, is_told
):
    learner = Learner(config.model_copy(update={"dimensions": dimensions}))
    stack, marks = np.stack([image] * 3), np.stack([strokes, 0 * strokes, strokes])
    learner.annotate(stack, marks, scale=(distance, 1, 1))
    told = cautions(learner.fine_tune(steps=1))
    sentence = "Planes lie 40 pixels apart, and from 8 on '3d' cannot see them"
    assert [sentence in text for text in told] == [True] * is_told
    assert "Planes" not in learner.status.advice  # where it says what to paint next
    trained = learner._state.tuned.network.unet.config
    assert (trained.ndim == 3) == (dimensions == "3d" and not is_told)
    path = tmp_path / "m.safetensors"
    learner.save(path)
    np.testing.assert_array_equal(load(path).predict(stack), learner.predict(stack))


@pytest.mark.parametrize("given", [None, 40.0])
def test_the_distance_of_planes_is_told_in_pixels_of_the_image(
    new_learner, image, strokes, given
):
    learner = new_learner(dimensions="3d", downsampling=4, voxel_anisotropy=given)
    stack, marks = np.stack([image] * 2), np.stack([strokes, strokes])
    learner.annotate(stack, marks, scale=(40, 1, 1))
    told = cautions(learner.update())
    assert "Planes lie 40 pixels apart, and from 32 on '3d' cannot" in told[0]


def test_an_image_without_a_number_is_predicted_with_a_warning(learner, image, strokes):
    learner.annotate(image, strokes)
    job = learner.predict_job(np.full(image.shape, np.nan, np.float32))
    told = [event for event in job if isinstance(event, Notice)]
    assert [notice.level for notice in told] == ["warning"]
    assert "holds no number" in told[0].message
    assert not [e for e in learner.predict_job(image) if isinstance(e, Notice)]
