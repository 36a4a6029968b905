"""What is said of strokes that leave something out."""

import numpy as np

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.jobs import Score
from napari_unet.learning.variety import advise_variety

NAMES = {1: "background", 2: "cell"}


def annotated(counts, shape=(96, 96), planes=(0,), mode="strokes"):
    """Return an annotation with so many strokes of each class, dealt to planes."""
    labels = np.zeros(shape, np.uint8)
    flat = labels.reshape(-1, *shape[-2:])
    number = 0
    for value, n in counts.items():
        for _ in range(n):
            y, x = 4 + number // 5 * 8, 4 + number % 5 * 16
            flat[planes[number % len(planes)], y, x : x + 8] = value
            number += 1
    source = ImageSource("a", PlaneStack(np.zeros(shape), "ZYX"[-len(shape) :]))
    return AnnotationSet(mode=mode).with_image(source, labels, 3)


def test_a_class_with_few_strokes_against_many_is_named():
    said = advise_variety(annotated({1: 8, 2: 2}), None, NAMES)
    assert said == (
        "Only 2 strokes of 'cell' against 8 of 'background': paint more of it, where "
        "it looks different."
    )
    assert "1 stroke of" in advise_variety(annotated({1: 1, 2: 4}), None, NAMES)
    assert advise_variety(annotated({1: 8, 2: 3}), None, NAMES) == ""
    assert advise_variety(annotated({1: 2, 2: 2}), None, NAMES) == ""


def test_strokes_on_one_plane_of_a_stack_are_named():
    shape = (6, 96, 96)
    said = advise_variety(annotated({1: 3, 2: 3}, shape), None, NAMES)
    assert "one of 6 planes" in said
    assert advise_variety(annotated({1: 3, 2: 3}, shape, (0, 5)), None, NAMES) == ""
    assert advise_variety(annotated({1: 2, 2: 2}, shape), None, NAMES) == ""


def test_a_class_that_is_wrong_on_held_out_strokes_is_named():
    strokes = annotated({1: 3, 2: 3})
    weak = Score(0.6, {1: 0.8, 2: 0.32})
    said = advise_variety(strokes, weak, NAMES)
    assert said.startswith("'cell'")
    assert "0.32" in said
    assert advise_variety(strokes, Score(0.8, {1: 0.8, 2: 0.7}), NAMES) == ""
    assert advise_variety(strokes, Score(None), NAMES) == ""


def test_nothing_is_said_of_objects():
    objects = annotated({1: 8, 2: 1}, mode="objects")
    assert advise_variety(objects, None, NAMES) == ""
