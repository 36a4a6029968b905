"""The interactive loop, driven by a script instead of a viewer and threads."""

import threading

import numpy as np
import pytest
from scripted_loop import notices, of, run

from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.jobs import (
    AnnotationTaken,
    CancelToken,
    HeadFitted,
    LearningChanged,
    ModelSaved,
    Notice,
    Progress,
    Scored,
    StepDone,
    TilePredicted,
    WholeEnded,
)
from napari_unet.learning import Learner, load
from napari_unet.learning.candidates import ForestCandidate
from napari_unet.learning.inbox import Inbox, ViewRequest
from napari_unet.learning.live import live
from napari_unet.learning.training import Trainer

EVERYTHING = ViewRequest("image", (), 0, 48, 0, 48)
STOPPED = "Stopped predicting; the finished part stays."
CORNER = ViewRequest("image", (), 0, 10, 0, 10)


def _after(events, event):
    return events[events.index(event) + 1 :]


def _put_together(tiles, shape=(48, 48)):
    labels = np.zeros(shape, int)
    for t in tiles:
        h, w = t.labels.shape
        labels[(*t.index, slice(t.y, t.y + h), slice(t.x, t.x + w))] = t.labels
    return labels


@pytest.fixture
def paint(image, strokes):
    """Make an action that hands over an annotation of the image."""

    def make(annotation=None, key="image"):
        painted = strokes if annotation is None else annotation
        return lambda inbox: inbox.annotate(key, image, painted.copy())

    return make


def _show(view=EVERYTHING):
    return lambda inbox: inbox.show(view)


def _learn(on=True):
    return lambda inbox: inbox.learn(on)


def _stop_at(step):
    """Pause learning at a step."""

    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == step:
            inbox.learn(False)

    return on


# -- painting and looking ------------------------------------------------------------


def test_it_gets_ready_and_ends(config):
    events = run(config)
    # taken back: nothing says that it waits when it has begun to learn by then
    assert notices(events, "info") == ["Getting ready ...", ""]
    assert notices(events, "device") == ["CPU, 1 thread"]


def test_painting_alone_predicts_what_is_looked_at(config, paint, image):
    events = run(config, _show(), paint())
    (fitted,), (scored,) = of(events, HeadFitted), of(events, Scored)
    tiles = of(events, TilePredicted)
    # the first labels do not wait for the gate
    first = [t for t in tiles if events.index(t) < events.index(scored)]
    assert events.index(fitted) < events.index(first[0])
    labels = _put_together(first)
    assert set(np.unique(labels)) == {1, 2}
    assert {t.key for t in tiles} == {"image"}
    # nothing is predicted twice unless the model changed
    places = [(t.generation, t.y, t.x) for t in tiles]
    assert len(set(places)) == len(places)
    assert tiles[-1].candidate == scored.chosen


def test_only_the_visible_field_is_predicted(config, paint):
    events = run(config, _show(CORNER), paint())
    assert {(t.y, t.x) for t in of(events, TilePredicted)} == {(0, 0)}


def test_nothing_is_predicted_while_nobody_looks(config, paint):
    events = run(config, paint(), _show(None))
    assert of(events, HeadFitted)
    assert not of(events, TilePredicted)


def test_an_image_that_is_not_known_is_not_predicted(config, paint):
    other = ViewRequest("other", (), 0, 48, 0, 48)
    assert not of(run(config, _show(other), paint()), TilePredicted)


def test_another_field_is_predicted_and_the_old_one_is_not_again(config, paint):
    far = ViewRequest("image", (), 33, 47, 33, 47)
    events = run(config, _show(CORNER), paint(), _show(far))
    generation = of(events, TilePredicted)[-1].generation
    shown = [
        (t.y, t.x) for t in of(events, TilePredicted) if t.generation == generation
    ]
    assert shown == [(0, 0), (32, 32)]


def test_moving_while_tiles_come_begins_anew_there(config, paint):
    far = ViewRequest("image", (), 33, 47, 33, 47)
    moved = []

    def on(event, inbox):
        if isinstance(event, TilePredicted) and not moved:
            moved.append(event)
            inbox.show(far)

    events = run(config, _show(), paint(), on=on)
    tiles = of(events, TilePredicted)
    assert {(t.y, t.x) for t in tiles[1:]} == {(32, 32)}


def test_painting_while_tiles_come_does_not_wait_for_them(config, paint, strokes):
    newer = strokes.copy()
    newer[40, 2:9] = 1
    fitted = []

    def on(event, inbox):
        if isinstance(event, HeadFitted):
            fitted.append(event)
        if isinstance(event, TilePredicted) and len(fitted) == 1:
            paint(newer)(inbox)

    events = run(config, _show(), paint(), on=on)
    first, second = of(events, HeadFitted)
    between = events[events.index(first) : events.index(second)]
    assert len(of(between, TilePredicted)) == 1
    assert second.annotation_version == 2
    last = of(events, TilePredicted)[-1].generation
    assert len([t for t in of(events, TilePredicted) if t.generation == last]) == 4


def test_update_now_predicts_again(config, paint):
    events = run(config, _show(CORNER), paint(), lambda inbox: inbox.refresh())
    tiles = of(events, TilePredicted)
    assert tiles[-1].generation == tiles[-2].generation
    assert (tiles[-1].labels == tiles[-2].labels).all()


def test_volumes_show_the_plane_looked_at(config, image, strokes):
    volume, painted = np.stack([image] * 3), np.zeros((3, 48, 48), np.uint8)
    painted[1] = strokes
    view = ViewRequest("image", (2,), 0, 9, 0, 9)
    events = run(
        config, _show(view), lambda inbox: inbox.annotate("image", volume, painted)
    )
    assert {t.index for t in of(events, TilePredicted)} == {(2,)}


def test_one_class_is_advised_on_and_not_predicted(config, paint, strokes):
    events = run(config, _show(), paint(np.where(strokes == 1, 1, 0)))
    assert "object" in notices(events, "advice")[-1]
    assert not of(events, (TilePredicted, HeadFitted, Scored))
    assert notices(events, "warning") == []


def test_advice_is_withdrawn_when_it_is_followed(config, paint, strokes):
    events = run(config, paint(np.where(strokes == 1, 1, 0)), paint())
    advice = notices(events, "advice")
    assert advice[0] != ""
    assert advice[-1] == ""


def test_the_newest_of_many_annotations_counts(config, paint, strokes):
    def many(inbox):
        for _ in range(5):
            paint(np.where(strokes == 1, 1, 0))(inbox)
        paint()(inbox)

    events = run(config, many)
    assert len(of(events, HeadFitted)) == 1
    assert of(events, HeadFitted)[0].annotation_version == 1


def test_two_images_are_learned_from_together(config, image, strokes):
    def both(inbox):
        inbox.annotate("a", image, np.where(strokes == 1, 1, 0))
        inbox.annotate("b", image + 0, np.where(strokes == 2, 2, 0))

    events = run(config, _show(ViewRequest("a", (), 0, 48, 0, 48)), both)
    assert set(np.unique(_put_together(of(events, TilePredicted)))) == {1, 2}


def test_erasing_everything_keeps_the_overlay_but_teaches_nothing(
    config, paint, strokes
):
    events = run(config, _show(CORNER), paint(), paint(strokes * 0), _show(EVERYTHING))
    assert "Nothing is painted" in notices(events, "advice")[-1]
    assert {(t.y, t.x) for t in of(events, TilePredicted)} > {(0, 0), (32, 32)}


def test_an_image_that_is_gone_is_neither_learned_from_nor_predicted(config, paint):
    events = run(
        config, paint(), lambda inbox: inbox.forget("image"), _show(), _learn()
    )
    assert not of(events, (TilePredicted, StepDone))
    assert of(events, LearningChanged) == [
        LearningChanged(False, notices(events, "advice")[-1])
    ]


# -- failures ------------------------------------------------------------------------


def test_an_annotation_that_does_not_fit_is_a_notice(config, image, paint):
    wrong = np.ones((7, 7), np.uint8)
    events = run(
        config,
        lambda inbox: inbox.annotate("image", image, wrong),
        _show(),
        paint(),
    )
    (warning,) = notices(events, "warning")
    assert "(7, 7)" in warning
    assert of(events, TilePredicted)


def test_where_an_image_is_refused_the_advice_says_why_until_another_is_painted(
    config, image, strokes, paint
):
    empty = np.full_like(image, np.nan)
    events = run(
        config,
        lambda inbox: inbox.annotate("empty", empty, strokes),
        _learn(),
        paint(),
    )
    (refusal,) = notices(events, "warning")
    assert "holds no number" in refusal
    assert notices(events, "advice")[0] == refusal  # not "Nothing is painted yet"
    assert of(events, LearningChanged)[0] == LearningChanged(False, refusal)
    assert refusal not in notices(_after(events, of(events, HeadFitted)[0]), "advice")


def test_other_channels_are_a_notice(config, image, strokes, paint):
    rgb = np.stack([image] * 3, axis=-1)
    events = run(
        config,
        paint(),
        lambda inbox: inbox.annotate("colour", rgb, strokes),
        _show(ViewRequest("colour", (), 0, 9, 0, 9)),
        _show(),
    )
    warnings = notices(events, "warning")
    assert warnings
    assert all("3 channels" in text for text in warnings)
    assert {t.key for t in of(events, TilePredicted)} == {"image"}


def test_a_prediction_that_fails_is_said_once_and_others_go_on(
    config, paint, monkeypatch
):
    real = ForestCandidate.probabilities

    def fail_in_the_corner(self, source, plane, tile, n_planes=1):
        if (tile.y0, tile.x0) == (0, 0):
            raise OutOfMemoryError("too large")
        return real(self, source, plane, tile)

    monkeypatch.setattr(ForestCandidate, "probabilities", fail_in_the_corner)
    far = ViewRequest("image", (), 33, 47, 33, 47)
    events = run(config, paint(), _show(CORNER), lambda i: None, _show(far))
    assert notices(events, "warning") == ["too large"]
    assert {(t.y, t.x) for t in of(events, TilePredicted)} == {(32, 32)}


def test_training_that_fails_stops_and_the_overlay_goes_on(
    config, paint, strokes, monkeypatch
):
    def fail(self, notices):
        raise TrainingError("the loss is not a number")

    monkeypatch.setattr(Trainer, "step", fail)
    newer = strokes.copy()
    newer[40, 2:9] = 1
    events = run(config, paint(), _learn(), _show(CORNER), paint(newer))
    assert of(events, LearningChanged) == [
        LearningChanged(True),
        LearningChanged(False, "the loss is not a number"),
    ]
    assert notices(events, "warning") == ["the loss is not a number"]
    ended = of(events, LearningChanged)[-1]
    tiles = of(_after(events, ended), TilePredicted)
    assert len(tiles) >= 2  # for the new field, and for the new strokes
    assert len({t.generation for t in tiles}) >= 2


def test_an_instant_stage_that_fails_is_said_once(config, paint, monkeypatch):
    from napari_unet.learning import state

    def fail(*args, **options):
        raise OutOfMemoryError("too many pixels")

    real = state.collect_samples
    monkeypatch.setattr(state, "collect_samples", fail)

    def mend(inbox):
        monkeypatch.setattr(state, "collect_samples", real)
        inbox.refresh()

    events = run(config, _show(), paint(), lambda i: None, _learn(), mend)
    assert set(notices(events, "warning")) == {"too many pixels"}
    assert len(notices(events, "warning")) == 2  # for painting and for learning
    # the button that asked for learning is told
    assert not of(events, LearningChanged)[-1].is_learning
    assert of(events, TilePredicted)


def test_a_bug_comes_through(config, paint, monkeypatch):
    def bug(self, source, plane, tile, n_planes=1):
        raise ZeroDivisionError

    monkeypatch.setattr(ForestCandidate, "probabilities", bug)
    with pytest.raises(ZeroDivisionError):
        run(config, _show(), paint())


# -- learning ------------------------------------------------------------------------


def test_learning_with_one_class_is_refused_with_advice(config, paint, strokes):
    one = np.where(strokes == 1, 1, 0)
    inboxes = []
    events = run(config, paint(one), _learn(), inboxes.append)
    (changed,) = of(events, LearningChanged)
    assert not changed.is_learning
    assert "object" in changed.reason
    assert not inboxes[0].is_learning
    assert not of(events, StepDone)


def test_learning_with_nothing_is_refused_with_advice(config):
    events = run(config, _learn())
    (changed,) = of(events, LearningChanged)
    assert (changed.is_learning, changed.reason != "") == (False, True)


def test_learning_steps_until_it_is_paused_and_then_scores(config, paint):
    events = run(config, paint(), _learn(), on=_stop_at(3))
    assert [c.is_learning for c in of(events, LearningChanged)] == [True, False]
    assert [s.step for s in of(events, StepDone)] == [1, 2, 3]
    after = _after(events, of(events, StepDone)[-1])
    assert "fine-tuned" in of(after, Scored)[-1].scores


def test_learning_goes_on_where_it_was_paused(config, paint):
    def on(event, inbox):
        if isinstance(event, StepDone) and event.step in (2, 4):
            inbox.learn(False)

    events = run(config, paint(), _learn(), _learn(), on=on)
    assert [s.step for s in of(events, StepDone)] == [1, 2, 3, 4]
    assert [c.is_learning for c in of(events, LearningChanged)] == [True, False] * 2


def test_painting_while_learning_is_taken_up_without_a_restart(config, paint, strokes):
    newer = strokes.copy()
    newer[40, 2:9] = 5

    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == 2:
            paint(newer)(inbox)
        _stop_at(4)(event, inbox)

    events = run(config, _show(CORNER), paint(), _learn(), on=on)
    steps = of(events, StepDone)
    assert [s.step for s in steps] == [1, 2, 3, 4]
    assert [s.annotation_version for s in steps] == [1, 1, 2, 2]
    assert [t.version for t in of(events, AnnotationTaken)] == [1, 2]
    assert len(of(events, LearningChanged)) == 2
    # the overlay followed before the next step
    after = _after(events, steps[1])
    assert after.index(of(after, TilePredicted)[0]) < after.index(steps[2])


def test_looking_elsewhere_while_learning_is_served_before_the_next_step(config, paint):
    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == 2:
            inbox.show(EVERYTHING)
        _stop_at(3)(event, inbox)

    events = run(config, _show(CORNER), paint(), _learn(), on=on)
    second, third = of(events, StepDone)[1:3]
    between = events[events.index(second) : events.index(third)]
    assert len(of(between, TilePredicted)) == 4


def test_erasing_a_class_while_learning_ends_it_with_advice(config, paint, strokes):
    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == 2:
            paint(np.where(strokes == 1, 1, 0))(inbox)

    events = run(config, paint(), _learn(), on=on)
    changed = of(events, LearningChanged)[-1]
    assert not changed.is_learning
    assert "object" in changed.reason


def test_reset_starts_learning_over(config, paint):
    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == 3:
            inbox.learn(False)

    events = run(
        config,
        _show(CORNER),
        paint(),
        _learn(),
        lambda inbox: inbox.reset(),
        _learn(),
        on=on,
    )
    assert [s.step for s in of(events, StepDone)] == [1, 2, 3, 1, 2, 3]
    # the overlay is made anew from what is painted
    fitted = of(events, HeadFitted)
    assert len(fitted) == 2
    assert of(_after(events, fitted[1]), TilePredicted)


# -- ends ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["close", "token"])
@pytest.mark.parametrize("kind", [TilePredicted, HeadFitted, StepDone, Progress])
def test_the_end_comes_within_a_step_or_tile(config, paint, way, kind):
    token, ended = CancelToken(), []

    def on(event, inbox):
        if isinstance(event, kind) and not ended:
            ended.append(event)
            inbox.close() if way == "close" else token.cancel()

    events = run(
        config,
        paint(),
        _show(),
        lambda inbox: inbox.predict_all("image"),
        _learn(),
        on=on,
        token=token,
    )
    after = _after(events, ended[0])
    assert len(of(after, TilePredicted)) <= 1
    assert not of(after, StepDone)


def test_closing_wakes_a_loop_that_waits(config, paint):
    inbox, events, is_ready = Inbox(), [], threading.Event()

    def work():
        for event in live(config, inbox, CancelToken()):
            events.append(event)
            if isinstance(event, Scored):
                is_ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    paint()(inbox)
    assert is_ready.wait(60)
    inbox.close()
    thread.join(60)
    assert not thread.is_alive()


def test_a_cancelled_token_ends_a_loop_that_waits(config):
    inbox, token, is_ready = Inbox(), CancelToken(), threading.Event()

    def work():
        for event in live(config, inbox, token):
            if event == Notice(""):
                is_ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert is_ready.wait(60)
    token.cancel()  # nobody notifies: the loop looks by itself
    thread.join(60)
    assert not thread.is_alive()


# -- whole images --------------------------------------------------------------------


def _predict_all(inbox):
    inbox.predict_all("image")


def test_the_whole_image_is_predicted_on_demand(config, paint):
    events = run(config, paint(), _predict_all)
    tiles = of(events, TilePredicted)
    assert len(tiles) == 4
    assert [t.is_last for t in tiles] == [False, False, False, True]
    assert (_put_together(tiles) > 0).all()
    progress = of(events, Progress)
    assert [(p.done, p.total) for p in progress] == [(n, 4) for n in (1, 2, 3, 4)]
    assert "whole image" in notices(events, "info")[-1]


def test_without_a_model_there_is_advice(config, paint, strokes):
    for painted in (strokes * 0, np.where(strokes == 2, 2, 0)):
        events = run(config, paint(painted), _predict_all)
        assert not of(events, TilePredicted)
        assert "aint" in notices(events, "advice")[-1]


@pytest.mark.parametrize("is_painted", [True, False])
def test_each_wish_for_a_whole_image_ends_and_is_what_progress_is_of(
    config, paint, strokes, is_painted
):
    """Whether the image is predicted or refused."""
    annotation = strokes if is_painted else strokes * 0
    events = run(config, paint(annotation), _show(), _predict_all, lambda i: None)
    kinds = [type(event) for event in events]
    assert kinds.count(WholeEnded) == 1
    assert WholeEnded in kinds[-2:]  # the refusal's reason comes after it
    assert len(of(events, Progress)) == 4 * is_painted


def test_a_whole_image_can_be_cancelled(config, paint):
    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 2:
            inbox.cancel_prediction()

    events = run(config, paint(), _predict_all, _show(CORNER), on=on)
    tiles = of(events, TilePredicted)
    assert len(tiles) == 2 + 1  # the two that were done, and the view later
    assert any("Stopped" in text for text in notices(events, "info"))


def test_a_cancel_also_stops_what_was_asked_for_twice(config, paint):
    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 1:
            inbox.predict_all("image")
            inbox.cancel_prediction()

    events = run(config, paint(), _predict_all, on=on)
    assert len(of(events, TilePredicted)) == 1


def test_the_visible_field_does_not_wait_for_the_whole_image(config, paint):
    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 1:
            inbox.show(ViewRequest("image", (), 40, 47, 40, 47))

    events = run(config, paint(), _predict_all, on=on)
    tiles = of(events, TilePredicted)
    assert (tiles[1].y, tiles[1].x) == (32, 32)
    assert len(tiles) == 5


def test_new_strokes_begin_the_whole_image_anew(config, paint, strokes):
    """Or it would be a patchwork of two models, the older one on top."""
    newer = strokes.copy()
    newer[40, 2:9] = 1

    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 2 and not painted:
            painted.append(event)
            paint(newer)(inbox)

    painted = []
    events = run(config, paint(), _predict_all, on=on)
    tiles = of(events, TilePredicted)
    newest = max(t.generation for t in tiles)
    assert newest > tiles[0].generation
    assert len({(t.y, t.x) for t in tiles if t.generation == newest}) == 4
    generations = [t.generation for t in tiles]
    assert generations == sorted(generations)
    assert tiles[-1].is_last


def test_a_whole_image_that_is_forgotten_ends(config, paint):
    """Also while another image keeps the learner going."""

    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 2:
            inbox.forget("image")

    events = run(config, paint(key="other"), paint(), _predict_all, on=on)
    assert len(of(events, Progress)) == 2
    assert notices(events, "info").count(STOPPED) == 1


def test_a_reset_ends_the_whole_image_where_nothing_can_be_fitted(
    config, paint, strokes
):
    def on(event, inbox):
        if isinstance(event, Progress) and event.done == 2:
            paint(np.where(strokes == 2, 2, 0))(inbox)
            inbox.reset()

    events = run(config, paint(), _predict_all, on=on)
    assert len(of(events, Progress)) == 2
    assert notices(events, "info").count(STOPPED) == 1


def test_a_whole_image_that_fails_is_a_notice(config, paint, monkeypatch):
    def fail(self, source, plane, tile, n_planes=1):
        raise OutOfMemoryError("too large")

    monkeypatch.setattr(ForestCandidate, "probabilities", fail)
    events = run(config, paint(), _predict_all, lambda i: None)
    assert notices(events, "warning") == ["too large"]


def test_learning_waits_for_the_whole_image(config, paint):
    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == 1:
            inbox.predict_all("image")
        _stop_at(2)(event, inbox)

    events = run(config, paint(), _learn(), on=on)
    first, second = of(events, StepDone)
    between = events[events.index(first) : events.index(second)]
    assert len(of(between, TilePredicted)) == 4


# -- saving --------------------------------------------------------------------------


def test_the_model_is_saved_with_its_class_names(config, paint, image, tmp_path):
    path = tmp_path / "model.safetensors"
    events = run(
        config,
        _show(),
        lambda inbox: inbox.name_classes({1: "ground", 2: "square"}),
        paint(),
        lambda inbox: inbox.save(str(path)),
    )
    assert [event.path for event in of(events, ModelSaved)] == [str(path)]
    learner = load(path)
    assert learner.class_names == {1: "ground", 2: "square"}
    last = of(events, TilePredicted)[-1].generation
    tiles = [t for t in of(events, TilePredicted) if t.generation == last]
    np.testing.assert_array_equal(_put_together(tiles), learner.predict(image))


def test_what_was_learned_is_saved_before_another_model_is_loaded(
    config, paint, image, strokes, tmp_path
):
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    learner = Learner(config)
    learner.annotate(image, strokes)
    learner.save(old)

    def on(event, inbox):  # both at once, as going back to a round does
        if isinstance(event, StepDone) and event.step == 3:
            inbox.save(str(new))
            inbox.load(str(old))
            inbox.learn(False)

    run(config, _show(), paint(), _learn(), on=on)
    assert load(old).status.step == 0
    assert load(new).status.step >= 3


def test_a_path_that_cannot_be_written_is_a_notice_and_learning_goes_on(
    config, paint, tmp_path
):
    def on(event, inbox):
        if isinstance(event, StepDone) and event.step == 1:
            inbox.save(str(tmp_path / "none" / "model.safetensors"))
            inbox.save(str(tmp_path / "model.safetensors"))
        _stop_at(3)(event, inbox)

    events = run(config, paint(), _learn(), on=on)
    assert len(notices(events, "warning")) == 1
    assert (tmp_path / "model.safetensors").exists()  # the other mail is not lost
    assert [s.step for s in of(events, StepDone)] == [1, 2, 3]
    assert [c.is_learning for c in of(events, LearningChanged)] == [True, False]


def test_saving_nothing_is_a_notice(config, tmp_path):
    path = tmp_path / "model.safetensors"
    events = run(config, lambda inbox: inbox.save(str(path)))
    assert "aint" in notices(events, "warning")[-1]
    assert not path.exists()


def test_objects_are_learned_where_a_region_is_declared_complete(config, image):
    """As a dock in the mode *objects* calls it: ids, and where they are all."""
    ids = np.zeros(image.shape, np.uint16)
    ids[16:32, 16:24], ids[16:32, 24:32] = 2, 3
    objects = config.model_copy(update={"annotation_mode": "objects"})

    def paint_objects(complete):
        return lambda inbox: inbox.annotate(
            "image", image, ids.copy(), complete=complete
        )

    events = run(objects, _show(), paint_objects(None))
    assert "declare a region complete" in notices(events, "advice")[-1]
    assert not of(events, TilePredicted)
    events = run(objects, _show(), paint_objects(np.ones(image.shape, bool)))
    labels = _put_together(of(events, TilePredicted))
    assert set(np.unique(labels)) == {1, 2}


# -- images that cannot be read -------------------------------------------------------


class Unplugged:
    """A lazy image on a drive that may be away."""

    def __init__(self, image):
        self.image, self.shape, self.dtype = image, image.shape, image.dtype
        self.is_there = False

    def __getitem__(self, where):
        if not self.is_there:
            raise OSError(5, "Input/output error")
        return self.image[where]


@pytest.mark.parametrize("is_away_before", [True, False])
def test_an_unreadable_image_is_said_and_learned_from_when_it_is_back(
    config, image, strokes, is_away_before
):
    lazy = Unplugged(image)
    lazy.is_there = not is_away_before

    def unplug(_inbox):
        lazy.is_there = False

    def plug_in(_inbox):
        lazy.is_there = True

    def paint_lazy(inbox):
        inbox.annotate("image", lazy, strokes.copy())

    events = run(
        config, unplug, paint_lazy, _learn(), plug_in, _learn(), on=_stop_at(1)
    )
    assert any("could not be read" in text for text in notices(events, "warning"))
    assert [e.step for e in of(events, StepDone)][-1] >= 1


def test_strokes_that_come_while_a_turn_takes_its_time_are_learned_from(
    config, paint, tmp_path
):
    """Learn was pressed right after them, and must not be taken back."""
    model = tmp_path / "model.safetensors"

    def paint_and_learn(inbox):
        paint()(inbox)
        inbox.learn(True)

    asked = []

    def on(event, inbox):
        if isinstance(event, Notice) and event.level == "warning" and not asked:
            asked.append(event)  # in the middle of reading the mail
            paint_and_learn(inbox)
        _stop_at(1)(event, inbox)

    events = run(config, lambda inbox: inbox.save(str(model)), on=on)
    assert asked
    assert [e.is_learning for e in of(events, LearningChanged)] == [True, False]
