"""The interactive loop goes over from strokes to objects, and back, while it runs."""

import numpy as np
import pytest
from scripted_loop import of, run

from napari_unet.jobs import (
    AnnotationTaken,
    HeadFitted,
    ModeChanged,
    Notice,
    Progress,
    SettingsRefused,
    StepDone,
    TilePredicted,
    WholeEnded,
)
from napari_unet.learning import load
from napari_unet.learning.inbox import ViewRequest


def _paint(scene, annotation=None, complete=None):
    ids = scene.strokes() if annotation is None else annotation
    image = scene.image()
    return lambda inbox: inbox.annotate("image", image, ids, None, complete)


def _set(mode):
    return lambda inbox: inbox.set_mode(mode)


def _show(inbox):
    inbox.show(ViewRequest("image", (), 0, 48, 0, 48))


def _three(scene):
    """The scene's strokes, with some of them in a third number."""
    ids = scene.strokes().astype(np.uint16)
    rows = np.flatnonzero((ids == 2).any(axis=1))
    ids[rows[len(rows) // 2] :][ids[rows[len(rows) // 2] :] == 2] = 3
    return ids


def test_what_is_painted_is_read_anew_and_the_overlay_follows(scene):
    events = run(
        scene.config,
        _paint(scene, _three(scene)),
        _show,
        _set("objects"),
        _set("strokes"),
    )
    assert [e.mode for e in of(events, ModeChanged)] == ["objects", "strokes"]
    first, second = (events.index(e) for e in of(events, ModeChanged))
    for part, values in (
        (events[:first], {1, 2, 3}),
        (events[first:second], {1, 2}),
        (events[second:], {1, 2, 3}),
    ):
        assert len(of(part, HeadFitted)) == 1
        seen = {int(v) for t in of(part, TilePredicted) for v in np.unique(t.labels)}
        assert seen <= values
        assert {1, 2} <= seen


def test_the_same_mode_again_changes_nothing(scene):
    events = run(scene.config, _paint(scene), _set("strokes"))
    assert len(of(events, ModeChanged)) == 1
    assert len(of(events, HeadFitted)) == 1


def test_settings_and_names_go_along_and_into_the_model(scene, tmp_path):
    path = tmp_path / "model.safetensors"
    events = run(
        scene.config,
        lambda inbox: inbox.set_scales(1),
        lambda inbox: inbox.name_classes({2: "cell"}),
        _set("objects"),
        _paint(scene),
        lambda inbox: inbox.save(str(path)),
    )
    assert not [e for e in of(events, Notice) if e.level == "warning"]
    learner = load(path)
    assert learner.config.annotation_mode == "objects"
    assert learner.config.instant.n_scales == 1
    assert learner.class_names == {2: "cell"}


def test_a_complete_region_stands_for_background(scene):
    ids = np.where(scene.strokes() == 2, 2, 0).astype(np.uint16)
    complete = np.zeros(ids.shape, bool)
    complete[:, :24] = True
    paint = _paint(scene, ids)
    events = run(scene.config, _set("objects"), paint)
    assert not of(events, HeadFitted)
    told = [e.message for e in of(events, Notice) if e.level == "advice"][-1]
    assert "declare a region complete" in told
    events = run(scene.config, _set("objects"), paint, _paint(scene, ids, complete))
    assert len(of(events, HeadFitted)) == 1


def test_training_begins_again_in_the_new_mode(scene):
    steps = []

    def on(event, inbox):
        if isinstance(event, StepDone):
            steps.append(event.step)
            if len(steps) == 2:
                inbox.set_mode("objects")
            if len(steps) == 4:
                inbox.learn(False)

    events = run(scene.config, _paint(scene), lambda i: i.learn(True), on=on)
    assert steps == [1, 2, 1, 2]
    after = events[events.index(of(events, ModeChanged)[0]) :]
    assert of(after, AnnotationTaken)


def test_a_refusal_is_taken_back_with_its_mode(scene):
    many = np.arange(48 * 48).reshape(48, 48) % 400 + 1  # too many to be classes
    events = run(scene.config, _paint(scene, many.astype(np.uint16)), _set("objects"))
    advice = [e.message for e in of(events, Notice) if e.level == "advice"]
    assert "classes" in advice[0]
    after = events[events.index(of(events, ModeChanged)[0]) :]
    assert not [e for e in of(after, Notice) if "classes" in e.message]


def test_other_settings_make_a_new_learner_of_the_same_mode_and_scales(scene, tmp_path):
    path = tmp_path / "model.safetensors"
    other = scene.config.model_copy(update={"seed": 9})
    events = run(
        scene.config,
        lambda inbox: inbox.set_scales(1),
        _set("objects"),
        _paint(scene),
        lambda inbox: inbox.set_config(other),
        lambda inbox: inbox.save(str(path)),
    )
    assert len(of(events, HeadFitted)) == 2  # the strokes were learned anew
    config = load(path).config
    assert config.seed == 9
    assert config.annotation_mode == "objects"
    assert config.instant.n_scales == 1


@pytest.mark.parametrize("is_mode", [True, False])
def test_a_whole_image_that_a_new_learner_ends_is_not_dropped_in_silence(
    scene, is_mode
):
    other = scene.config.model_copy(update={"seed": 9})

    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 1:
            if is_mode:
                inbox.set_mode("objects")
            else:
                inbox.set_config(other)

    whole = lambda inbox: inbox.predict_all("image")  # noqa: E731
    events = run(scene.config, _paint(scene), whole, on=on)
    assert len(of(events, Progress)) == 1
    assert len(of(events, WholeEnded)) == 1
    (told,) = [e for e in of(events, Notice) if "Stopped predicting" in e.message]
    # in another mode the overlay is another one
    assert ("stays" in told.message) is not is_mode


def test_the_same_settings_again_change_nothing(scene):
    events = run(
        scene.config, _paint(scene), lambda inbox: inbox.set_config(scene.config)
    )
    assert len(of(events, HeadFitted)) == 1


def test_a_device_that_is_not_there_is_said_and_the_learner_stays(scene, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    other = scene.config.model_copy(update={"device": "cuda", "seed": 3})
    events = run(
        scene.config, _paint(scene), lambda inbox: inbox.set_config(other), _show
    )
    warnings = [e.message for e in of(events, Notice) if e.level == "warning"]
    assert len(warnings) == 1
    assert "cuda" in warnings[0].lower()
    assert of(events, TilePredicted)
    assert [e.mode for e in of(events, ModeChanged)] == ["strokes"]
    assert len(of(events, SettingsRefused)) == 1


def test_a_mode_counts_also_where_the_settings_beside_it_are_refused(
    scene, monkeypatch, tmp_path
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = tmp_path / "model.safetensors"

    def wish(inbox):
        inbox.set_config(scene.config.model_copy(update={"device": "cuda"}))
        inbox.set_mode("objects")

    save = lambda inbox: inbox.save(str(path))  # noqa: E731
    events = run(scene.config, wish, _paint(scene), save)
    assert [e.mode for e in of(events, ModeChanged)] == ["objects"]
    assert load(path).config.annotation_mode == "objects"


def test_an_image_of_other_channels_is_learned_after_starting_over(scene):
    grey, strokes = scene.image(), scene.strokes()
    colours = np.stack([grey] * 3, axis=-1)
    stages = [
        _paint(scene),
        lambda inbox: inbox.learn(True),
        lambda inbox: (
            inbox.forget("image"),
            inbox.annotate("rgb", colours, strokes, "YXC"),
        ),
        lambda inbox: inbox.reset(),
    ]

    def on(event, inbox):
        if isinstance(event, StepDone):
            inbox.learn(False)

    events = run(scene.config, *stages, on=on)
    warnings = [e.message for e in of(events, Notice) if e.level == "warning"]
    assert len(warnings) == 1
    assert "3 channels" in warnings[0]
    assert "Start over" in warnings[0]
    refused = next(e for e in events if isinstance(e, Notice) and "3 ch" in e.message)
    assert of(events[events.index(refused) :], HeadFitted)
