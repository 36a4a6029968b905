"""What is suspicious is said once, before the long work, and stands in the advice."""

import numpy as np
import pytest

from napari_unet.jobs import HeadFitted, Notice


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
