"""How many sizes of the image the network sees: chosen, said, and changed."""

from dataclasses import replace

import numpy as np
import pytest

import napari_unet.learning.state as state_module
from napari_unet.core.checkpoint import load_tensors, save_tensors
from napari_unet.errors import CheckpointError, ConfigError
from napari_unet.jobs import StepDone, finish
from napari_unet.learning import Learner, load


def _at(config, n_scales):
    instant = config.instant.model_copy(update={"n_scales": n_scales})
    return config.model_copy(update={"instant": instant})


def _tune_for(learner, steps):
    finish(learner.fine_tune(steps=steps))
    assert learner.status.step == steps


def _tell(learner, name):
    """Return what a learner tells where the gate has chosen a candidate."""
    state = learner._state
    state.verdict = replace(state.verdict, chosen=name)
    return learner.status.n_scales, learner.status.reach_px


@pytest.fixture
def trusting(scene, bundle, monkeypatch):
    """Make pretrained learners whose gate never leaves the network for the forest."""
    bundle(monkeypatch)

    def make(n_scales):
        changes = {"n_scales": n_scales, "min_gain": 1.0}
        instant = scene.pretrained.instant.model_copy(update=changes)
        return Learner(scene.pretrained.model_copy(update={"instant": instant}))

    return make


def test_it_then_predicts_as_one_that_was_set_so_from_the_start(
    trusting, image, strokes
):
    learner, fresh = trusting(2), trusting(1)
    for one in (learner, fresh):
        one.annotate(image, strokes)
    before = learner.predict_probabilities(image)
    learner.set_scales(1)
    after = learner.predict_probabilities(image)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_array_equal(after, fresh.predict_probabilities(image))
    assert learner.config == fresh.config
    assert learner.status == fresh.status
    learner.set_scales(2)
    np.testing.assert_array_equal(before, learner.predict_probabilities(image))


def test_what_is_painted_stays(trained, image, strokes):
    painted = trained.status.n_px, trained.status.n_strokes
    trained.set_scales(2)
    trained.predict(image)
    assert (trained.status.n_px, trained.status.n_strokes) == painted
    assert trained.class_values == (1, 2)


@pytest.mark.parametrize(("n_scales", "reach_px"), [(1, 20), (2, 40), (3, 80)])
def test_the_status_tells_how_far_the_chosen_network_sees(
    learner, image, strokes, n_scales, reach_px
):
    assert (learner.status.n_scales, learner.status.reach_px) == (0, 0)
    learner.set_scales(n_scales)
    learner.annotate(image, strokes)
    learner.predict(image)
    for name in ("instant", "instant+forest"):
        assert _tell(learner, name) == (n_scales, reach_px)
    assert _tell(learner, "forest") == (0, 0)


def test_the_automatic_choice_is_told(trusting, image, strokes):
    learner = trusting(None)
    learner.annotate(image, strokes)
    learner.predict(image)
    chosen = learner.status.n_scales
    assert chosen == learner._state.verdict.choice.n_scales
    assert chosen in (2, 3)
    learner.set_scales(1)
    learner.predict(image)
    assert (learner.status.n_scales, learner.status.reach_px) == (1, 20)
    learner.set_scales(None)
    learner.predict(image)
    assert learner.status.n_scales == chosen


def test_fine_tuning_begins_again(trained, image):
    trained.set_scales(2)
    trained.predict(image)
    assert (trained.status.step, trained.status.seconds) == (0, 0)
    assert not any("fine-tuned" in name for name in trained.status.scores)
    _tune_for(trained, 2)
    assert trained._state.tuned.network.n_scales == 2


def test_a_running_job_ends_without_what_it_learned(learner, image, strokes):
    learner.annotate(image, strokes)
    job = learner.fine_tune(steps=50)
    n_steps = 0
    for event in job:
        n_steps += isinstance(event, StepDone)
        if n_steps == 2:
            learner.set_scales(2)
    assert n_steps == 2
    learner.predict(image)
    assert learner.status.step == 0
    _tune_for(learner, 1)


def test_the_same_again_changes_nothing(trained, image):
    generation, step = trained.generation, trained.status.step
    trained.set_scales(1)
    trained.predict(image)
    assert (trained.generation, trained.status.step) == (generation, step)


@pytest.mark.parametrize("n_scales", [0, 5, -1, 1.5])
def test_other_numbers_are_refused(trained, image, n_scales):
    generation = trained.generation
    with pytest.raises(ConfigError, match=rf"scales is {n_scales}: give 1, 2, 3 or 4"):
        trained.set_scales(n_scales)
    trained.predict(image)
    assert trained.generation == generation
    assert trained.config.instant.n_scales == 1


def test_it_can_be_set_before_anything_is_painted(learner, scene, image, strokes):
    learner.set_scales(2)
    learner.annotate(image, strokes)
    fresh = Learner(_at(scene.config, 2))
    fresh.annotate(image, strokes)
    np.testing.assert_array_equal(
        learner.predict(image, candidate="instant"),
        fresh.predict(image, candidate="instant"),
    )


def test_it_outlives_a_reset(learner, image, strokes):
    learner.annotate(image, strokes)
    learner.set_scales(2)
    learner.reset()
    learner.predict(image)
    assert learner._state.start.n_scales == 2


def test_a_loaded_model_keeps_its_own(pretrained, image, strokes, tmp_path):
    path = tmp_path / "model.safetensors"
    pretrained.annotate(image, strokes)
    pretrained.set_scales(1)
    pretrained.save(path)
    again = load(path)
    assert again.config.instant.n_scales == 1
    assert again.status.n_scales == pretrained.status.n_scales
    assert again.status.reach_px == pretrained.status.reach_px
    assert _tell(again, "instant") == (1, 20)


def test_a_model_without_strokes_stays_until_there_are_some(
    trained, image, strokes, tmp_path, choose
):
    choose(trained, "fine-tuned")
    path = tmp_path / "model.safetensors"
    trained.save(path)
    expected = trained.predict_probabilities(image)
    for _ in range(2):  # also when it is saved meanwhile
        again = load(path)
        again.set_scales(2)
        np.testing.assert_array_equal(again.predict_probabilities(image), expected)
        assert again.status.step == 3
        again.save(path)
    again = load(path)
    again.annotate(image, strokes)
    again.predict(image)
    assert again._state.model.start.n_scales == 2
    assert again.status.step == 0


def test_networks_that_see_fewer_sizes_than_were_computed_are_saved(
    scene, bundle, monkeypatch, image, strokes, tmp_path
):
    bundle(monkeypatch)
    monkeypatch.setattr(state_module, "_PRETRAINED_SCALES", 3)
    learner = Learner(_at(scene.pretrained, None))
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=1))
    n_tuned = learner._state.tuned.network.n_scales
    assert learner._state.start.n_scales == 3
    path = tmp_path / "model.safetensors"
    learner.save(path)
    again = load(path)
    assert _tell(again, "fine-tuned")[0] == n_tuned
    for name in ("instant", "fine-tuned"):
        assert _tell(again, name) == _tell(learner, name)
        np.testing.assert_array_equal(
            again.predict(image, candidate=name), learner.predict(image, candidate=name)
        )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head_n_scales": 2}, "more scales than there are"),
        ({"tuned_n_scales": 2}, "more scales than there are"),
        ({"tuned_n_scales": None}, "scales do not fit"),
        ({"head_n_scales": 0}, "head_n_scales"),
        ({"ridge_factor": -1.0}, "ridge_factor"),
    ],
)
def test_a_file_that_tells_of_other_sizes_is_refused(
    trained, tmp_path, changes, reason
):
    path = tmp_path / "model.safetensors"
    trained.save(path)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, {**header, **changes})
    with pytest.raises(CheckpointError, match=reason):
        load(path)
