"""A tiny learner on a tiny image: a bright square on a dark ground."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_unet.config import (
    FineTuneConfig,
    InstantConfig,
    LearnerConfig,
    TilingConfig,
    UNetConfig,
)
from napari_unet.core import start
from napari_unet.core.checkpoint import save_tensors
from napari_unet.core.unet import UNet
from napari_unet.learning import Learner

TINY = LearnerConfig(
    device="cpu",
    n_threads=1,
    base_channels=4,
    depth=2,
    start="scratch",
    fine_tune=FineTuneConfig(patch_px=32, batch_size=2, score_every_s=3600),
    # features of random weights at a second scale tell little of a square of 16 px
    instant=InstantConfig(n_trees=5, n_folds=2, n_scales=1),
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


# as most people use it: weights in the package, two scales
PRETRAINED = TINY.model_copy(
    update={
        "start": "bundled",
        "instant": TINY.instant.model_copy(update={"n_scales": 2}),
    }
)


def write_bundle(folder):
    """Write a bundled file for the tiny network, of random weights."""
    torch.manual_seed(7)
    config = UNetConfig(base_channels=4, depth=2, in_channels=3)
    state = UNet(config).state_dict()
    tensors = {n: t for n, t in state.items() if not n.startswith("head.")}
    sizes = (*config.channels * 2, 3)
    of_maps = [np.full(n, -0.5 * np.log(n * len(sizes))) for n in sizes]
    tensors["prior.log_scale"] = np.concatenate(of_maps).astype(np.float32)
    header = {
        "schema_version": 1,
        "kind": "bundled",
        "unet": config.model_dump(mode="json"),
        "n_levels": 3,
        "n_scales": 2,
        "strength": [-3.0, -0.5],
        "temperature": [1.7, 0.1],
    }
    save_tensors(folder / "compact.safetensors", tensors, header)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Let the package carry weights for the tiny network, where it is called."""
    folder = tmp_path_factory.mktemp("bundled")
    write_bundle(folder)
    return lambda monkeypatch: monkeypatch.setattr(start, "_FOLDER", folder)


@pytest.fixture
def pretrained(bundle, monkeypatch):
    """A learner that starts from weights in the package, at two scales."""
    bundle(monkeypatch)
    return Learner(PRETRAINED)


@pytest.fixture(scope="session")
def scene():
    """Settings, and functions that make images and strokes of any size."""
    return SimpleNamespace(
        config=TINY, pretrained=PRETRAINED, image=make_image, strokes=make_strokes
    )


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
