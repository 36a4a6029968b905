"""The observable state: what events do to it."""

from itertools import pairwise

import pytest

from napari_unet.jobs import (
    AnnotationTaken,
    HeadFitted,
    LearningChanged,
    Notice,
    Progress,
    Score,
    Scored,
    StepDone,
    TilePredicted,
)
from napari_unet.session import Curve, Session, others_text, sight_text


def step(number, seconds, loss=1.0):
    return StepDone(number, loss, seconds, 4.0, 1)


def test_phases_from_empty_to_paused():
    session = Session()
    assert session.phase == "empty"
    session.apply(AnnotationTaken(1, 3, 50))
    assert (session.phase, session.n_strokes, session.n_px) == ("ready", 3, 50)
    session.apply(LearningChanged(True))
    assert session.phase == "learning"
    session.apply(LearningChanged(False, "Enough."))
    assert (session.phase, session.message) == ("paused", "Enough.")


def test_seconds_add_up_over_pauses():
    session = Session()
    for number, seconds in enumerate([1.0, 5.0, 0.5, 2.0, 1.0], start=1):
        session.apply(step(number, seconds))
    assert session.seconds == 5.0 + 2.0 + 1.0
    assert [s for s, _ in session.curve.losses] == [1.0, 5.0, 5.5, 7.0, 8.0]


def test_seconds_add_up_when_the_second_call_is_longer():
    session = Session()
    for seconds in (0.5, 0.9):
        session.apply(LearningChanged(True))
        session.apply(step(1, seconds))
        session.apply(LearningChanged(False))
    assert session.seconds == pytest.approx(1.4)


def test_wishes_are_shown_before_the_job_answers():
    session = Session()
    session.be_ready()
    session.want_learning(True)
    session.want_prediction()
    session.want_update()
    assert (session.phase, session.is_updating) == ("learning", True)
    assert session.progress == Progress(0, 1, "predict")
    session.be_ready()  # it is more than ready
    assert session.phase == "learning"
    session.end_prediction()
    session.want_learning(False)
    assert (session.phase, session.progress) == ("paused", None)


def test_listeners_hear_single_fields_and_everything():
    session = Session()
    phases, everything = [], []
    session.events.phase.connect(phases.append)
    session.events.connect(everything.append)
    session.apply(LearningChanged(True))
    session.apply(LearningChanged(True))
    assert phases == ["learning"]
    assert everything


def test_age_of_the_overlay():
    now = [100.0]
    session = Session(clock=lambda: now[0])
    assert session.overlay_age_s is None
    session.apply(HeadFitted(1, 0.1))
    assert session.is_updating
    session.apply(TilePredicted("k", (), 0, 0, None, "forest", 3, is_last=True))
    now[0] = 102.5
    assert session.overlay_age_s == 2.5
    assert not session.is_updating
    assert (session.shown, session.generation) == ("forest", 3)


def test_scores_of_what_is_shown_make_the_curve():
    session = Session()
    good, worse = Score(0.8, {1: 0.9, 2: 0.7}, {}, 44, 4), Score(0.5, n_px=44)
    scores = {"instant": good, "forest": worse}
    session.apply(Scored(scores, "instant", "best", 0, 0.0, True))
    assert session.score is good
    assert session.is_updating
    assert session.curve.scores[0].score is good
    session.apply(Scored({"forest": Score(None)}, "forest", "", 0, 0.0, False))
    assert session.score.mean_iou is None
    assert len(session.curve.scores) == 1


def test_what_the_shown_network_sees_is_kept_and_forgotten():
    session = Session()
    session.apply(Scored({}, "instant", "", 0, 0.0, True, 2, 184))
    assert (session.n_scales, session.reach_px) == (2, 184)
    session.apply(Scored({}, "forest", "", 0, 0.0, True))
    assert (session.n_scales, session.reach_px) == (0, 0)
    session.apply(Scored({}, "instant", "", 0, 0.0, True, 1, 92))
    session.restart()
    assert (session.n_scales, session.reach_px) == (0, 0)


@pytest.mark.parametrize(
    ("n_scales", "sizes"),
    [(1, "full"), (2, "full and half"), (4, "full, half, quarter and eighth")],
)
def test_what_a_network_sees_in_words(n_scales, sizes):
    expected = f"92 px around each pixel, the image at {sizes} size"
    assert sight_text(n_scales, 92) == expected


def test_a_coarser_image_is_seen_at_smaller_sizes():
    seen = "368 px around each pixel, the image at half and quarter size"
    assert sight_text(2, 368, 2) == seen


def test_training_that_begins_again_counts_its_steps_from_zero():
    session = Session()
    session.apply(step(7, 3.0))
    session.apply(Scored({}, "fine-tuned", "", 7, 3.0, True))
    assert session.step == 7
    session.apply(Scored({}, "instant", "", 0, 0.0, True))
    assert session.step == 0
    session.apply(LearningChanged(True))
    session.apply(step(1, 0.5))
    assert (session.step, session.seconds) == (1, 3.5)


def test_new_strokes_while_learning_mark_a_round_once():
    session = Session()
    session.apply(AnnotationTaken(1, 2, 10))
    assert session.curve.rounds == []
    session.apply(step(1, 3.0))
    session.apply(AnnotationTaken(2, 3, 20))
    session.apply(AnnotationTaken(3, 4, 30))
    assert session.curve.rounds == [3.0]


def test_finished_progress_is_no_progress():
    session = Session()
    session.apply(Progress(1, 4, "predict"))
    assert session.progress.done == 1
    session.apply(Progress(4, 4, "predict"))
    assert session.progress is None


@pytest.mark.parametrize(
    ("level", "field"),
    [
        ("advice", "advice"),
        ("device", "device"),
        ("info", "message"),
        ("warning", "message"),
    ],
)
def test_notices_go_where_they_belong(level, field):
    session = Session()
    session.apply(Notice("Hear this.", level))
    assert getattr(session, field) == "Hear this."
    others = {"advice", "device", "message"} - {field}
    assert all(getattr(session, other) == "" for other in others)


def test_a_failure_ends_learning_and_the_bar():
    session = Session()
    session.apply(LearningChanged(True))
    session.apply(Progress(1, 3))
    session.fail("It broke.")
    assert (session.phase, session.progress) == ("failed", None)
    assert (session.message, session.message_level) == ("It broke.", "error")
    session.apply(AnnotationTaken(2, 2, 9))
    assert session.phase == "ready"


def test_restart_forgets_what_was_learned_but_not_the_device():
    session = Session(device="CPU")
    session.apply(step(5, 9.0))
    session.apply(Scored({"forest": Score(0.4)}, "forest", "x", 5, 9.0, True))
    session.restart()
    assert session.device == "CPU"
    assert (session.step, session.seconds, session.shown) == (0, 0.0, "")
    assert session.curve.losses == []
    session.apply(step(1, 1.0))
    assert session.seconds == 1.0


def test_long_curves_are_thinned_not_cut():
    curve = Curve(max_points=100)
    for second in range(1000):
        curve.add_loss(float(second), 1.0)
    seconds = [s for s, _ in curve.losses]
    assert 50 <= len(seconds) <= 100
    assert seconds[0] == 0.0
    assert seconds[-1] > 980
    gaps = {b - a for a, b in pairwise(seconds)}
    assert gaps == {16.0}


def test_curves_as_a_table():
    session = Session()
    session.apply(step(1, 2.0, 0.25))
    score = Score(0.6, {1: 0.75, 2: 0.5}, {}, 33, 4)
    session.apply(Scored({"forest": score}, "forest", "", 1, 2.0, True))
    session.apply(AnnotationTaken(2, 5, 50))
    assert session.curve.csv().splitlines() == [
        "kind,seconds,candidate,class,value,n_px,n_strokes",
        "loss,2.000,,,0.25,,",
        "iou,2.000,forest,1,0.75,33,4",
        "iou,2.000,forest,2,0.5,33,4",
        "round,2.000,,,,,",
    ]


def test_an_empty_notice_takes_back_what_was_said_but_no_warning():
    session = Session()
    session.apply(Notice("Getting ready ..."))
    session.apply(Notice(""))
    assert session.message == ""
    session.say("No space is left on the disk.", "error")
    session.apply(Notice(""))
    assert session.message == "No space is left on the disk."


def test_the_others_are_named_best_first_without_what_has_no_score():
    scores = {"instant": Score(0.8), "forest": Score(0.7), "fine-tuned": Score(None)}
    scores["instant+forest"] = Score(0.9)
    assert others_text(scores, "instant") == "instant+forest 0.90, forest 0.70"
    assert others_text({}, "") == ""
