"""Learn, pause, stop, predict, fail."""

import numpy as np
import pytest
from fake_live import FakeLive
from qtpy.QtCore import QTimer

from napari_unet.errors import OutOfMemoryError
from napari_unet.jobs import (
    HeadFitted,
    LearningChanged,
    Notice,
    Progress,
    Score,
    Scored,
    TilePredicted,
    WholeEnded,
)


def test_learn_becomes_pause_and_counts_steps(painted, qtbot):
    case = painted()
    learn = case.dock.learning.learn
    qtbot.waitUntil(learn.isEnabled)
    assert learn.text() == "Learn  K"
    learn.click()
    qtbot.waitUntil(lambda: case.state.session.step > 3)
    qtbot.waitUntil(lambda: learn.text() == "Pause  K")
    assert "steps/s" in case.dock.learning.status.text()
    assert case.dock.learning.stop.isEnabled()
    learn.click()
    qtbot.waitUntil(lambda: learn.text() == "Learn  K")
    assert case.live.inbox.calls("learn") == [(True,), (False,)]
    assert case.state.session.phase == "paused"
    qtbot.waitUntil(lambda: "paused at step" in case.dock.learning.status.text())


def test_the_dock_says_what_is_so_when_the_learner_gets_ready(painted):
    case = painted()
    case.state.learn(True)
    case.state.apply(Notice("Getting ready ..."))
    case.dock.refresh()
    assert case.dock.learning.status.text() == "starting …"
    assert case.dock.message.text() == "Getting ready ..."
    case.state.apply(Notice(""))
    case.dock.refresh()
    assert case.dock.message.text() == ""
    case.state.session.say("Getting ready ...")
    case.viewer.window.remove_dock_widget(case.dock)  # it does not any more
    assert case.state.session.message == ""


def test_painting_goes_on_while_learning(painted, qtbot):
    case = painted()
    case.state.learn(True)
    n_sent = len(case.live.inbox.calls("annotate"))
    case.layer.paint((60, 60), 1)
    qtbot.waitUntil(lambda: len(case.live.inbox.calls("annotate")) == n_sent + 1)
    assert case.state.session.phase == "learning"
    assert len(case.live.inboxes) == 1


def test_learning_that_ends_by_itself_gives_the_button_back(painted, qtbot):
    case = painted()
    case.state.learn(True)
    case.state.apply(LearningChanged(False, "The loss is not a number."))
    case.dock.refresh()
    assert case.dock.learning.learn.text() == "Learn  K"
    assert case.dock.message.text() == "The loss is not a number."


def test_the_card_names_candidate_score_n_and_age(painted, qtbot):
    case = painted()
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    case.state.session.clock = lambda: case.state.session.overlay_time_s + 42
    case.state.session.is_updating = False
    case.dock.refresh()
    card = case.dock.learning
    assert card.shown.text() == "Instant network"
    assert card.score.text() == "IoU 0.80 (40 px of 4 strokes held out)"
    assert card.others.text() == "others: forest 0.70"
    assert card.age.text() == "42 s old"


def test_a_worse_network_is_said_and_the_overlay_stays(painted, qtbot):
    case = painted()
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    prediction = case.state.book.current.prediction.data.copy()
    scores = {"instant": Score(0.8, n_px=40), "fine-tuned": Score(0.6, n_px=40)}
    reason = "The fine-tuned network scores lower."
    case.state.apply(Scored(scores, "instant", reason, 50, 9.0, False))
    case.dock.refresh()
    assert case.dock.learning.shown.text() == "Instant network"
    assert case.dock.learning.reason.text() == reason
    assert np.array_equal(case.state.book.current.prediction.data, prediction)


def test_predict_whole_image_covers_every_plane(painted, qtbot):
    volume = np.full((3, 96, 128), 20, np.uint8)
    volume[:, 20:50, 20:50] = 200
    case = painted(image=volume)
    entry = case.state.book.current
    assert not entry.is_complete
    qtbot.waitUntil(case.dock.overlay.predict.isEnabled)
    case.dock.overlay.predict.click()
    assert case.state.session.progress is not None
    qtbot.waitUntil(lambda: entry.is_complete)
    assert np.array_equal(entry.prediction.data, np.where(volume > 100, 2, 1))
    qtbot.waitUntil(lambda: case.state.session.progress is None)


def test_stop_ends_prediction_and_learning(painted, qtbot):
    live = FakeLive()
    case = painted(live)
    case.state.learn(True)
    case.state.predict_all()
    qtbot.waitUntil(case.dock.learning.stop.isEnabled)
    case.dock.learning.stop.click()
    assert case.state.session.phase == "paused"
    assert case.state.session.progress is None
    assert live.inbox.calls("cancel_prediction") == [()]
    assert live.inbox.calls("learn")[-1] == (False,)
    qtbot.waitUntil(lambda: not case.dock.learning.stop.isEnabled())


def test_late_progress_of_what_was_stopped_shows_no_bar(painted):
    case = painted()
    case.state.apply(Progress(1, 4, "predict"))
    assert case.state.session.progress is None


def test_the_bar_goes_when_the_job_has_nothing_to_predict(painted):
    case = painted()
    case.state.predict_all()
    assert case.state.session.progress is not None
    case.state.apply(WholeEnded())
    assert case.state.session.progress is None


@pytest.mark.parametrize(
    "notice",
    [
        Notice(""),  # a worker that had to start first
        Notice("Saved the model to a.safetensors"),
        Notice("Paint a second stroke of 'object'.", "advice"),
        Notice("Memory ran out: went on with tiles of 64 px.", "warning"),
    ],
)
def test_only_the_end_of_a_whole_image_takes_its_bar(painted, notice):
    case = painted()
    case.state.predict_all()
    case.state.apply(notice)
    assert case.state.session.progress is not None
    case.state.apply(Progress(2, 9, "predict"))
    case.state.apply(notice)
    assert case.state.session.progress.done == 2
    case.state.apply(WholeEnded())
    assert case.state.session.progress is None


def test_an_image_that_is_covered_already_has_a_bar_to_the_end(painted, qtbot):
    case = painted()
    entry = case.state.book.current
    case.state.predict_all()
    qtbot.waitUntil(lambda: entry.is_complete and case.state.session.progress is None)
    case.state.predict_all()  # what follows is played by hand
    labels = entry.prediction.data[:64, :64].copy()
    generation = case.state.session.generation
    tile = TilePredicted(entry.key, (), 0, 0, labels, "instant", generation)
    case.state.apply(tile)
    assert entry.is_complete
    case.state.apply(Progress(1, 4, "predict"))
    assert case.state.session.progress == Progress(1, 4, "predict")


def test_while_a_whole_image_is_cut_there_is_a_bar_and_stop(painted):
    case = painted()
    case.state.predict_all()
    case.state.apply(Progress(4, 4, "predict"))
    case.state.apply(Progress(0, 1, "split"))
    case.dock.refresh()
    assert not case.dock.learning.progress.isHidden()
    assert case.dock.learning.stop.isEnabled()
    assert case.dock.learning.status.text() == "finding objects …"


@pytest.mark.parametrize("way", ["set_config", "set_mode", "start_over"])
def test_what_begins_anew_ends_a_whole_image(painted, way):
    case = painted()
    case.state.predict_all()
    values = {
        "set_config": [case.state.config.model_copy(update={"seed": 5})],
        "set_mode": ["objects"],
        "start_over": [],
    }
    getattr(case.state, way)(*values[way])
    assert case.state.session.progress is None
    assert case.live.inbox.calls("cancel_prediction")
    case.state.apply(Progress(2, 9, "predict"))  # on its way already
    assert case.state.session.progress is None


def test_out_of_sight_the_overlay_is_out_of_date_not_updating(painted, qtbot):
    case = painted()
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    case.viewer.scene.camera.center = (0, 1e5, 1e5)
    case.state.overlay.look()
    assert not case.state.live.has_view
    case.state.session.apply(HeadFitted(9, 0.1))
    case.dock.refresh()
    assert case.dock.learning.age.text() == "out of date"
    case.viewer.reset_view()
    case.state.overlay.look()
    case.state.session.apply(HeadFitted(10, 0.1))
    case.dock.refresh()
    assert case.dock.learning.age.text() == "updating …"


def test_update_now_asks_even_when_not_live(painted, qtbot):
    case = painted()
    case.state.overlay.set_live(False)
    assert case.live.inbox.calls("show")[-1] == (None,)
    case.state.update_now()
    assert case.live.inbox.calls("show")[-1][0] is not None
    assert case.live.inbox.calls("refresh") == [()]


@pytest.mark.parametrize(
    "error", [OutOfMemoryError("Ran out of memory with 64 px tiles."), KeyError("k")]
)
def test_after_an_error_everything_works_again(painted, qtbot, error, monkeypatch):
    live = FakeLive()
    case = painted(live)
    seen = []
    monkeypatch.setattr(
        "napari_unet.widgets._notify.show_warning", lambda text: seen.append(text)
    )
    monkeypatch.setattr(
        "napari_unet.widgets._notify.notification_manager.receive_error",
        lambda _type, value, _traceback: seen.append(value),
    )
    live.error = error
    case.state.learn(True)
    qtbot.waitUntil(lambda: case.state.session.phase == "failed")
    case.dock.refresh()
    message = case.dock.message
    assert message.property("level") == "error"
    assert len(seen) == 1
    if isinstance(error, OutOfMemoryError):
        assert message.text() == str(error) == seen[0]
    else:
        assert "KeyError" in message.text()
        assert seen[0] is error
    assert case.dock.learning.learn.text() == "Learn  K"
    case.dock.learning.learn.click()
    qtbot.waitUntil(lambda: case.state.session.step > 0)
    assert len(live.inboxes) == 2
    assert live.inbox.calls("annotate")[0][2].any()


def test_a_fault_in_counting_leaves_the_learner_alone(painted, qtbot, monkeypatch):
    case = painted()
    seen = []
    monkeypatch.setattr(
        "napari_unet.widgets._notify.notification_manager.receive_error",
        lambda _type, value, _traceback: seen.append(value),
    )

    def broken(_token, _annotations):
        raise KeyError("count")
        yield

    monkeypatch.setattr("napari_unet.widgets._painting.count_job", broken)
    case.state.learn(True)
    case.layer.paint((60, 60), 1)
    qtbot.waitUntil(lambda: seen != [])
    assert case.state.session.phase == "learning"
    assert "could not be counted" in case.state.session.message
    monkeypatch.undo()
    case.layer.paint((70, 60), 1)
    qtbot.waitUntil(lambda: case.state.classes.get(1).n_strokes == 3)


def test_an_expected_warning_is_said_and_notified(painted, monkeypatch):
    case = painted()
    seen = []
    monkeypatch.setattr("napari_unet.widgets._notify.show_warning", seen.append)
    text = "Memory ran out: went on with tiles of 128 px."
    case.state.apply(Notice(text, "warning"))
    case.dock.refresh()
    assert case.dock.message.text() == text
    assert case.dock.message.property("level") == "warning"
    assert seen == [text]


def test_a_caution_is_notified_and_stands_in_the_tip_alone(painted, monkeypatch):
    case = painted()
    seen = []
    monkeypatch.setattr("napari_unet.widgets._notify.show_warning", seen.append)
    text = "The annotated image has the same value everywhere."
    case.state.apply(Notice(text, "caution"))
    case.dock.refresh()
    assert (case.dock.tip.text, case.dock.message.text()) == (text, "")
    assert seen == [text]
    case.state.apply(Notice("", "advice"))  # another image was painted
    case.dock.refresh()
    assert text not in (case.dock.tip.text, case.dock.message.text())


def test_a_refusal_is_not_said_twice(painted):
    case = painted()
    for level in ("info", "advice"):
        case.state.apply(Notice("The image holds no number.", level))
    case.dock.refresh()
    assert case.dock.tip.text == "The image holds no number."
    assert case.dock.message.text() == ""


def test_a_model_is_saved_under_its_own_suffix(painted, monkeypatch, tmp_path):
    case = painted()
    chosen = []
    monkeypatch.setattr(
        "napari_unet.widgets.segmentation.QFileDialog.getSaveFileName",
        lambda *_: (str(chosen[-1]), ""),
    )
    said = []
    monkeypatch.setattr("napari_unet.widgets._notify.show_warning", said.append)
    (tmp_path / "old.safetensors").touch()
    for name in ("new", "old", "m.txt", "old.safetensors"):
        chosen.append(tmp_path / name)
        case.dock._save()
    saved = [(str(tmp_path / f"{n}.safetensors"),) for n in ("new", "old")]
    assert case.live.inbox.calls("save") == saved
    assert ["is there already" in said[0], "a model is a" in said[1]] == [True, True]


def test_start_over_keeps_the_strokes(painted, qtbot):
    case = painted()
    before = case.layer.data.copy()
    case.state.start_over()
    assert case.live.inbox.calls("reset") == [()]
    assert case.state.session.phase == "ready"
    assert np.array_equal(case.layer.data, before)
    assert case.state.can_learn


def test_device_of_the_job_is_shown(painted, qtbot):
    case = painted()
    qtbot.waitUntil(lambda: case.dock.device.text() == "a test")


def test_the_dock_keeps_up_while_changes_stream_in(painted, qtbot):
    case = painted()
    stream = QTimer()
    stream.timeout.connect(case.state.changed)
    stream.start(5)
    case.state.session.say("A thousand tiles to go.")
    qtbot.waitUntil(lambda: case.dock.message.text() == "A thousand tiles to go.")
    stream.stop()


def test_before_the_first_overlay_it_asks_only_for_strokes_that_are_missing(
    painted, qtbot
):
    case = painted()
    assert "two strokes per class" in case.dock.learning._hint()
    case.layer.brush_size = 3
    with case.layer.block_history():
        case.layer.paint((60, 95), 2)
        case.layer.paint((90, 10), 1)
    counts = case.state.classes
    qtbot.waitUntil(lambda: all(entry.n_strokes == 2 for entry in counts))
    assert "in a moment" in case.dock.learning._hint()
