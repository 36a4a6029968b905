"""Another size of objects reaches the interactive loop while it runs."""

import numpy as np
from scripted_loop import of, run

from napari_unet.jobs import (
    HeadFitted,
    LearningChanged,
    Notice,
    ScalesChanged,
    Scored,
    StepDone,
    TilePredicted,
)
from napari_unet.learning import Learner
from napari_unet.learning.inbox import ViewRequest


def _painted(scene):
    return lambda inbox: inbox.annotate("image", scene.image(), scene.strokes())


def _show(inbox):
    inbox.show(ViewRequest("image", (), 0, 48, 0, 48))


def _set(n_scales):
    return lambda inbox: inbox.set_scales(n_scales)


def test_the_overlay_follows_at_once(scene, bundle, monkeypatch):
    bundle(monkeypatch)
    changes = {"min_gain": 1.0}  # the gate never leaves the network for the forest
    instant = scene.pretrained.instant.model_copy(update=changes)
    config = scene.pretrained.model_copy(update={"instant": instant})
    events = run(config, _show, _painted(scene), _set(1))
    first, second = of(events, HeadFitted)
    assert first.annotation_version == second.annotation_version
    after = events[events.index(second) :]
    tiles = of(after, TilePredicted)
    assert len({(t.y, t.x) for t in tiles}) == 4  # the whole field
    assert min(t.generation for t in tiles) > max(
        t.generation for t in of(events[: events.index(second)], TilePredicted)
    )
    assert [s.n_scales for s in of(events, Scored)] == [2, 1]
    assert [s.reach_px for s in of(events, Scored)] == [40, 20]


def test_set_before_the_first_stroke_it_holds_for_the_first_overlay(
    scene, bundle, monkeypatch
):
    bundle(monkeypatch)
    instant = scene.pretrained.instant.model_copy(update={"n_scales": 1})
    config = scene.pretrained.model_copy(update={"instant": instant})
    expected = of(run(config, _show, _painted(scene)), TilePredicted)
    events = run(scene.pretrained, _set(1), _show, _painted(scene))
    assert len(of(events, HeadFitted)) == 1
    for mine, its in zip(of(events, TilePredicted), expected, strict=True):
        np.testing.assert_array_equal(mine.labels, its.labels)


def test_learning_goes_on_from_the_start(scene):
    def on(event, inbox):
        if isinstance(event, StepDone):
            n_seen.append(event.step)
            if len(n_seen) == 3:
                inbox.set_scales(2)
            if len(n_seen) == 5:
                inbox.learn(False)

    n_seen = []
    start = lambda inbox: inbox.learn(True)  # noqa: E731
    events = run(scene.config, _painted(scene), start, on=on)
    assert n_seen == [1, 2, 3, 1, 2]
    assert [e.is_learning for e in of(events, LearningChanged)] == [True, True, False]
    said = "Other object sizes: fine-tuning begins again."
    assert [e.message for e in of(events, Notice)].count(said) == 1


def test_nothing_is_said_to_begin_again_where_nothing_was_trained(scene):
    events = run(scene.config, _painted(scene), _set(2), _set(2))
    assert not [e for e in of(events, Notice) if "begins again" in e.message]
    assert len(of(events, HeadFitted)) == 2


def test_a_number_that_cannot_be_is_a_warning(scene):
    events = run(scene.config, _painted(scene), _set(9))
    (warning,) = [e.message for e in of(events, Notice) if e.level == "warning"]
    assert "number of scales is 9" in warning
    assert len(of(events, HeadFitted)) == 1


def test_a_model_that_is_loaded_brings_its_size_or_gets_the_one_that_is_set(
    scene, bundle, monkeypatch, tmp_path
):
    bundle(monkeypatch)
    path = str(tmp_path / "model.safetensors")
    learner = Learner(scene.pretrained)
    learner.set_scales(1)
    learner.annotate(scene.image(), scene.strokes())
    learner.save(path)
    events = run(scene.pretrained, _set(3), lambda inbox: inbox.load(path))
    assert [e.n_scales for e in of(events, ScalesChanged)] == [1]
    steps = (_set(2), lambda inbox: inbox.load(path, True), _painted(scene))
    events = run(scene.pretrained, *steps)
    assert of(events, ScalesChanged) == []
    assert of(events, Scored)[-1].n_scales in (0, 2)
