"""Fine-tuning through the learner, and classes that come later."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import napari_unet.learning.fine_tune as fine_tune_module
import napari_unet.learning.state as state_module
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.errors import AnnotationError
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import (
    AnnotationTaken,
    CancelToken,
    HeadFitted,
    Scored,
    StepDone,
    finish,
)
from napari_unet.learning import load
from napari_unet.learning.gate import ORDER
from napari_unet.learning.networks import ensure_trainer, hand_annotations

# -- fine-tuning ---------------------------------------------------------------------


def test_fine_tuning_tells_its_steps_and_scores(learner, image, strokes):
    learner.annotate(image, strokes)
    events = list(learner.fine_tune(steps=4))
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4]
    assert all(np.isfinite(e.loss) and e.steps_per_s > 0 for e in steps)
    assert [e.seconds for e in steps] == sorted(e.seconds for e in steps)
    assert {e.annotation_version for e in steps} == {1}
    assert isinstance(events[0], HeadFitted)
    assert isinstance(events[-1], Scored)
    assert set(events[-1].scores) == set(ORDER)
    assert events[-1].step == 4
    status = learner.status
    assert status.step == 4
    assert status.chosen == events[-1].chosen
    assert status.seconds == pytest.approx(steps[-1].seconds, abs=0.5)


def test_it_returns_the_status(learner, image, strokes):
    learner.annotate(image, strokes)
    assert finish(learner.fine_tune(steps=1)) == learner.status


def test_it_goes_on_where_it_stopped(learner, image, strokes):
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=2))
    steps = [e.step for e in learner.fine_tune(steps=2) if isinstance(e, StepDone)]
    assert steps == [3, 4]


@pytest.mark.parametrize("n_scales", [None, 1])
def test_it_learns(new_learner, config, image, strokes, truth, n_scales):
    """From random weights, that have one scale, and no teacher."""
    instant = config.instant.model_copy(update={"n_scales": n_scales})
    learner = new_learner(instant=instant)
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=100))
    labels = learner.predict(image, candidate="fine-tuned")
    assert (labels == truth).mean() > 0.9
    assert learner.status.scores["fine-tuned"].mean_iou > 0.8
    assert learner._state.tuned.network.n_scales == 1
    assert learner._state.trainer._teacher is None


@pytest.mark.parametrize("seconds", [0, 0.3])
def test_it_stops_when_its_time_is_over(learner, image, strokes, seconds):
    learner.annotate(image, strokes)
    steps = [e for e in learner.fine_tune(seconds=seconds) if isinstance(e, StepDone)]
    assert (len(steps) > 0) == (seconds > 0)
    # no step begins when the time is over
    assert all(e.seconds <= seconds for e in steps[:-1])


def test_the_first_fit_takes_no_time_from_training(
    learner, image, strokes, monkeypatch
):
    now = 0.0
    update = state_module.State.update

    def slow_update(state):
        nonlocal now
        yield from update(state)
        now = 100.0  # of the clock, not of training

    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(fine_tune_module, "time", clock)
    monkeypatch.setattr(state_module.State, "update", slow_update)
    learner.annotate(image, strokes)
    events = list(learner.fine_tune(seconds=5, steps=2))
    assert sum(isinstance(event, StepDone) for event in events) == 2


def test_a_cancel_is_honoured_within_one_step(learner, image, strokes):
    learner.annotate(image, strokes)
    token = CancelToken()
    job = learner.fine_tune(token=token)  # no end of its own
    n_after = 0
    for event in job:
        n_after += token.cancelled and isinstance(event, StepDone)
        if isinstance(event, StepDone) and event.step == 2:
            token.cancel()
    assert n_after == 0
    assert learner.status.step == 2
    assert "fine-tuned" in learner.status.scores


def test_a_token_that_is_cancelled_before_trains_nothing(learner, image, strokes):
    learner.annotate(image, strokes)
    token = CancelToken()
    token.cancel()
    assert not any(isinstance(e, StepDone) for e in learner.fine_tune(token=token))


def test_closing_the_job_leaves_a_learner_that_works(learner, image, strokes):
    learner.annotate(image, strokes)
    for kind in (HeadFitted, Scored, AnnotationTaken, StepDone):
        job = learner.fine_tune()
        for event in job:
            if isinstance(event, kind):
                break
            assert learner.status.step < 50
            if isinstance(event, StepDone):
                break  # this kind comes only once
        job.close()
        assert learner.predict(image).shape == (48, 48)
    finish(learner.fine_tune(steps=1))


def test_strokes_that_come_meanwhile_are_taken_up_at_the_next_step(
    learner, image, strokes
):
    """Another thread paints; training goes on with it, without a restart."""
    learner.annotate(image, strokes)
    painted = strokes.copy()
    painted[30, 2:9] = 3
    first_step, has_painted = threading.Event(), threading.Event()

    def paint():
        first_step.wait(60)
        learner.annotate(image, painted)
        has_painted.set()

    thread = threading.Thread(target=paint)
    thread.start()
    events = []
    token = CancelToken()
    for event in learner.fine_tune(token=token):
        events.append(event)
        if isinstance(event, StepDone) and event.step == 2:
            first_step.set()
            assert has_painted.wait(60)
        if isinstance(event, StepDone) and event.step == 4:
            token.cancel()
    thread.join()
    steps = [e for e in events if isinstance(e, StepDone)]
    assert [e.step for e in steps] == [1, 2, 3, 4]
    assert [e.annotation_version for e in steps] == [1, 1, 2, 2]
    taken = [e for e in events if isinstance(e, AnnotationTaken)]
    assert [e.version for e in taken] == [1, 2]
    assert taken[-1].n_px == (painted > 0).sum()
    # at once: the instant stage is fitted, and no step comes in between
    before, after = (events.index(steps[n]) for n in (1, 2))
    between = [type(e) for e in events[before + 1 : after]]
    assert between == [HeadFitted, Scored, AnnotationTaken]
    # the instant stage knows the new class as well
    assert learner.class_values == (1, 2, 3)
    assert learner._state.tuned.head.weights.shape[1] == 3


def test_strokes_that_come_with_the_last_step_lose_no_training(learner, image, strokes):
    learner.annotate(image, strokes)
    painted = strokes.copy()
    painted[40, 2:9] = 1
    for event in learner.fine_tune(steps=2):
        if isinstance(event, StepDone) and event.step == 2:
            learner.annotate(image, painted)
    learner.predict(image)
    assert "fine-tuned" in learner.status.scores
    assert learner.status.n_px == (painted > 0).sum()


def test_strokes_that_come_while_strokes_are_taken_lose_no_training(
    learner, image, strokes
):
    learner.annotate(image, strokes)
    painted = strokes.copy()
    painted[40, 2:9] = 1
    for event in learner.fine_tune(steps=1):
        if isinstance(event, AnnotationTaken) and event.version == 1:
            learner.annotate(image, painted)
    assert "fine-tuned" in learner.status.scores


@pytest.mark.parametrize("way", ["undo", "forget"])
def test_an_erased_stroke_that_comes_back_is_not_taken_for_a_new_one(
    trained, image, strokes, way
):
    """Or the network would be scored on what it was trained on."""
    folds = {s.signature: s.fold for _, s in trained._state.annotations.strokes}
    assert set(folds.values()) == {0, 1}
    for signature, fold in folds.items():
        (stroke,) = (
            s for _, s in trained._state.annotations.strokes if s.signature == signature
        )
        without = strokes.copy()
        without[stroke.yx[:, 0], stroke.yx[:, 1]] = 0
        if way == "undo":
            trained.annotate(image, without)
        else:
            trained.forget(trained.annotate(image, strokes))
        trained.annotate(image, strokes)
        after = {s.signature: s.fold for _, s in trained._state.annotations.strokes}
        assert (after[signature] == HELD_OUT_FOLD) <= (fold == HELD_OUT_FOLD)
    seen = {name for name, fold in folds.items() if fold != HELD_OUT_FOLD}
    assert all(after[name] != HELD_OUT_FOLD for name in seen)


def test_erasing_a_class_while_training_is_said(learner, image, strokes):
    learner.annotate(image, strokes)
    job = learner.fine_tune()
    while not isinstance(next(job), StepDone):
        pass
    learner.annotate(image, np.where(strokes == 1, 1, 0))
    with pytest.raises(AnnotationError, match="object"):
        finish(job)
    # what was learned is still there
    assert learner.predict(image).shape == (48, 48)


# -- what is held out ----------------------------------------------------------------


def _swapped(samples, rows):
    """Return the samples with the other of two classes in some rows."""
    targets = samples.targets.copy()
    targets[rows] = 1 - targets[rows]
    return replace(samples, targets=targets)


def _handed_out(state, trainer, samples, monkeypatch):
    """Return the heads that a trainer gets for these samples."""
    heads = []
    monkeypatch.setattr(trainer, "take", lambda _, *given: heads.extend(given))
    monkeypatch.setattr(state, "samples", samples)
    hand_annotations(state, trainer)
    return heads


@pytest.mark.parametrize("n_steps", [0, 2])
def test_the_trainer_s_heads_know_nothing_of_held_out_strokes(
    pretrained, image, strokes, monkeypatch, n_steps
):
    """Neither the one it starts from nor the teacher's, or it would be told."""
    pretrained.annotate(image, strokes)
    finish(pretrained.fine_tune(steps=n_steps))
    state = pretrained._state
    assert (state.tuned is not None) == (n_steps > 0)
    samples, trainer = state.samples, ensure_trainer(state)
    hidden = samples.folds == HELD_OUT_FOLD
    assert 0 < hidden.sum() < len(hidden)
    usual, other, changed = (
        _handed_out(state, trainer, given, monkeypatch)
        for given in (samples, _swapped(samples, hidden), _swapped(samples, ~hidden))
    )
    assert len(usual) == 2
    for mine, same, different in zip(usual, other, changed, strict=True):
        np.testing.assert_array_equal(mine.weights, same.weights)
        np.testing.assert_array_equal(mine.bias, same.bias)
        assert mine.temperature == same.temperature
        assert np.abs(mine.weights - different.weights).max() > 1e-3


def test_the_teacher_is_the_pretrained_network_and_its_head(pretrained, image, strokes):
    pretrained.annotate(image, strokes)
    finish(pretrained.fine_tune(steps=2))
    state = pretrained._state
    trainer = state.trainer
    assert trainer._teacher.unet is state.start.unet
    head, teacher_head = trainer._heads
    assert teacher_head.weights.shape == (trainer.network.n_features, 2)
    np.testing.assert_array_equal(head.weights, teacher_head.weights)
    # the head follows the network, the teacher's stays one of the pretrained features
    strokes[40, 4:20] = 1
    pretrained.annotate(image, strokes)
    finish(pretrained.fine_tune(steps=1))
    assert trainer._teacher.unet is state.start.unet
    head, teacher_head = trainer._heads
    assert np.abs(head.weights - teacher_head.weights).max() > 1e-4


def test_it_is_trained_at_the_scales_that_were_chosen(
    bundle, new_learner, scene, monkeypatch
):
    """Two of the three that are computed; the teacher sees the same."""
    bundle(monkeypatch)
    monkeypatch.setattr(state_module, "_PRETRAINED_SCALES", 3)
    instant = scene.config.instant.model_copy(update={"n_scales": None})
    learner = new_learner(start="bundled", instant=instant)
    learner.annotate(scene.image(), scene.strokes())
    finish(learner.fine_tune(steps=2))
    state = learner._state
    assert state.start.n_scales == 3
    assert state.verdict.choice.n_scales == 2
    assert state.trainer._teacher.n_scales == 2
    assert state.tuned.network.n_scales == 2
    assert state.tuned.head.weights.shape == (state.tuned.network.n_features, 2)
    assert set(learner.status.scores) == set(ORDER)
    for name in ORDER:
        assert learner.predict(scene.image(), candidate=name).shape == (48, 48)


# -- classes that come later ---------------------------------------------------------


@pytest.mark.parametrize("when", ["before any", "after predicting", "after training"])
def test_a_class_can_come_later(learner, image, strokes, when):
    image[36:46, 30:46] -= 1
    if when != "before any":
        learner.annotate(image, strokes)
        learner.predict(image)
    if when == "after training":
        finish(learner.fine_tune(steps=2))
    strokes[38, 32:44] = strokes[43, 32:44] = 9
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert learner.class_values == (1, 2, 9)
    assert (labels[37:45, 31:45] == 9).mean() > 0.7
    events = list(learner.fine_tune(steps=2))
    assert learner._state.tuned.head.weights.shape[1] == 3
    assert set(events[-1].scores) == set(ORDER)
    assert learner.predict_probabilities(image).shape == (3, 48, 48)


def test_a_class_can_go_before_training(learner, image, strokes, tmp_path):
    strokes[38, 2:14] = 9
    learner.annotate(image, strokes)
    learner.predict(image)
    strokes[strokes == 9] = 0
    learner.annotate(image, strokes)
    finish(learner.fine_tune(steps=1))
    learner.save(tmp_path / "model.safetensors")
    assert load(tmp_path / "model.safetensors").class_values == (1, 2)


def test_a_class_can_go_and_come_back(trained, image, strokes):
    two = strokes.copy()
    strokes[38, 2:14] = 9
    for annotation in (strokes, two, strokes):
        trained.annotate(image, annotation)
        finish(trained.fine_tune(steps=1))
    assert trained._state.tuned.head.weights.shape[1] == 3
    assert trained.class_values == (1, 2, 9)
    assert trained.predict(image, candidate="fine-tuned").shape == (48, 48)
    trained.annotate(image, two)
    assert set(np.unique(trained.predict(image, candidate="fine-tuned"))) <= {1, 2}


def test_a_shown_network_knows_a_new_class_at_once(trained, image, strokes):
    """Its head is fitted anew, with no training and before the gate has judged."""
    state = trained._state
    state.verdict = replace(state.verdict, chosen="fine-tuned")
    network = state.tuned.network
    strokes[38, 2:14] = 9
    trained.annotate(image, strokes)
    job = trained.update()
    assert isinstance(next(job), HeadFitted)
    assert state.model.chosen == "fine-tuned"
    predictor = state.model.predictor()
    assert predictor.network is network
    assert predictor.values == (1, 2, 9)
    source = state.annotations.images[0].source
    probabilities = predictor.probabilities(source, 0, Tile(0, 48, 0, 48))
    assert (probabilities.argmax(0)[38, 2:14] == 2).mean() > 0.5
    finish(job)
    assert {1, 2, 9} >= set(trained.status.score.iou)


def test_reset_forgets_the_network_but_not_the_strokes(trained, image, strokes, truth):
    trained.reset()
    assert trained.status.step == 0
    assert trained.generation == 0
    assert trained.status.n_px == (strokes > 0).sum()
    assert (trained.predict(image) == truth).mean() > 0.9
    assert set(trained.status.scores) == set(ORDER[:3])
