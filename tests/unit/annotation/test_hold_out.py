import numpy as np
import pytest

import napari_unet as nu
from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.strokes import HOLD_OUT_PX
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource


def source(name="a", shape=(1200, 1200)):
    return ImageSource(name, PlaneStack(np.zeros(shape, np.uint8), "YX"))


def strokes_at(*places, shape=(1200, 1200)):
    """Paint a stroke of both classes at each place (y, x)."""
    annotation = np.zeros(shape, np.uint8)
    for y, x in places:
        annotation[y : y + 3, x : x + 20] = 1
        annotation[y + 10 : y + 13, x : x + 20] = 2
    return annotation


FOUR = [(10, 10), (10, 700), (700, 10), (700, 700), (60, 60), (760, 760)]


def folds_by_square(images):
    """Return the folds in each square, whose side is in pixels of the full image."""
    found = {}
    for image in images.images:
        for stroke in image.strokes:
            yx = stroke.yx[0] * images.downsampling
            square = (image.key, *(yx // HOLD_OUT_PX).tolist())
            found.setdefault(square, set()).add(stroke.fold)
    return found


@pytest.mark.parametrize("downsampling", [1, 4])
def test_strokes_of_a_region_are_held_out_together(downsampling):
    images = AnnotationSet(downsampling=downsampling).with_image(
        source(), strokes_at(*FOUR), 4, hold_out="region"
    )
    folds = folds_by_square(images)
    assert len(folds) == 4
    assert all(len(mine) == 1 for mine in folds.values())
    assert len(set().union(*folds.values())) > 1


def test_strokes_of_an_image_are_held_out_together():
    images = AnnotationSet()
    for name in "abcd":
        images = images.with_image(source(name), strokes_at(*FOUR), 4, hold_out="image")
    folds = [{stroke.fold for stroke in image.strokes} for image in images.images]
    assert all(len(mine) == 1 for mine in folds)
    assert len(set().union(*folds)) == 4


def test_folds_stay_while_more_is_painted():
    first = AnnotationSet().with_image(
        source(), strokes_at(*FOUR[:4]), 4, hold_out="region"
    )
    second = first.with_image(source(), strokes_at(*FOUR), 4, hold_out="region")
    before, after = folds_by_square(first), folds_by_square(second)
    assert before == after


@pytest.mark.parametrize("hold_out", ["region", "image"])
def test_one_place_alone_scores_nothing_and_can_be_learned(hold_out):
    config = nu.LearnerConfig(
        device="cpu", start="scratch", base_channels=4, instant={"hold_out": hold_out}
    )
    learner = nu.Learner(config)
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    image[40:] += 3
    learner.annotate(image, strokes_at((10, 10), (60, 60), shape=(96, 96)))
    labels = learner.predict(image)
    assert set(np.unique(labels)) <= {1, 2}
    assert all(score.mean_iou is None for score in learner.status.scores.values())
