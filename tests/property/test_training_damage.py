"""Whatever happens to a saved training: it is read, or refused in one sentence."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_unet.config import FineTuneConfig, InstantConfig, LearnerConfig
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import finish
from napari_unet.learning import Learner, load

_quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CONFIGS = {
    "strokes": LearnerConfig(
        device="cpu",
        n_threads=1,
        base_channels=4,
        depth=1,
        start="scratch",
        fine_tune=FineTuneConfig(patch_px=16, batch_size=2),
        instant=InstantConfig(n_trees=2, n_folds=2, n_scales=1),
    ),
    "paper": LearnerConfig(
        recipe="paper",
        device="cpu",
        n_threads=1,
        base_channels=4,
        depth=1,
        fine_tune=FineTuneConfig(patch_px=16, optimizer="sgd"),
        instant=InstantConfig(n_trees=2, n_folds=2, n_scales=1),
    ),
}


def _scene():
    image = np.zeros((32, 32), np.float32)
    image[:, 16:] = 1
    strokes = np.zeros((32, 32), np.uint8)
    strokes[4::12, 2:12], strokes[4::12, 18:28] = 1, 2
    return image, strokes


@pytest.fixture(scope="module", params=list(CONFIGS))
def content(request, tmp_path_factory):
    learner = Learner(CONFIGS[request.param])
    learner.annotate(*_scene())
    finish(learner.fine_tune(steps=1))
    path = tmp_path_factory.mktemp("training") / "state.safetensors"
    learner.save(path, with_training=True)
    return path.read_bytes()


def _go_on(path):
    """Load, and train a step: damage that is not refused must do no harm."""
    learner = load(path)
    learner.annotate(*_scene())
    finish(learner.fine_tune(steps=1))
    assert learner.predict(_scene()[0]).shape == (32, 32)


@_quick
@given(data=st.data())
def test_changed_bytes_of_a_training(content, tmp_path, data):
    damaged = bytearray(content)
    n_table = 8 + int.from_bytes(content[:8], "little")
    facts = content.index(b'\\"training\\"')
    # what the header says of the training decides, so most of the damage goes there
    places = st.integers(facts, n_table - 1) | st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(places)
        # a digit for a digit, often: other damage ends at the JSON reader
        is_digit = chr(damaged[place]).isdigit()
        byte = st.integers(48, 57) if is_digit else st.integers(0, 255)
        damaged[place] = data.draw(byte)
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(damaged)
    with suppress(NapariUnetError):  # anything else fails the test
        _go_on(path)


@_quick
@given(data=st.data())
def test_a_part_of_a_training_is_refused(content, tmp_path, data):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(NapariUnetError):
        load(path)


def test_the_whole_of_it_is_read(content, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes(content)
    _go_on(path)
