"""A tiny learner on a tiny image: a bright square on a dark ground."""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.config import (
    FineTuneConfig,
    InstantConfig,
    LearnerConfig,
    TilingConfig,
)
from napari_unet.learning import Learner

TINY = LearnerConfig(
    device="cpu",
    n_threads=1,
    base_channels=4,
    depth=2,
    start="scratch",
    fine_tune=FineTuneConfig(patch_px=32, batch_size=2, score_every_s=3600),
    instant=InstantConfig(n_trees=5, n_folds=2),
    tiling=TilingConfig(tile_px=32),
)


def make_image(shape=(48, 48), seed=0):
    """Return a float image: a square of value 1 in the middle, noise all over."""
    image = np.random.default_rng(seed).normal(0, 0.05, shape)
    height, width = shape
    image[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] += 1
    return image


def make_strokes(shape=(48, 48)):
    """Return two strokes of background (1) and two of the object (2)."""
    annotation = np.zeros(shape, np.uint8)
    annotation[3, 4:20] = annotation[-4, 4:20] = 1
    annotation[shape[0] // 3 + 2, 18:30] = annotation[2 * shape[0] // 3 - 3, 18:30] = 2
    return annotation


@pytest.fixture(scope="session")
def scene():
    """Settings, and functions that make images and strokes of any size."""
    return SimpleNamespace(config=TINY, image=make_image, strokes=make_strokes)


@pytest.fixture
def config():
    return TINY


@pytest.fixture
def image():
    return make_image()


@pytest.fixture
def strokes():
    return make_strokes()


@pytest.fixture
def truth():
    """The square's labels: background 1, square 2."""
    labels = np.ones((48, 48), int)
    labels[16:32, 16:32] = 2
    return labels


@pytest.fixture
def learner():
    return Learner(TINY)


@pytest.fixture
def trained(learner, image, strokes):
    """A learner that fine-tuned for three steps."""
    learner.annotate(image, strokes)
    for _ in learner.fine_tune(steps=3):
        pass
    return learner


@pytest.fixture
def new_learner():
    """Make learners, with settings changed as in ``new_learner(seed=3)``."""

    def make(**changes):
        return Learner(TINY.model_copy(update=changes))

    return make


@pytest.fixture
def choose():
    """Let the gate of a learner have chosen a candidate."""

    def let(learner, name):
        model = learner._state.model
        learner._state.model = model.using(model.tuned, name)

    return let
