"""Collapse: seen where strokes come out as another class, never on rare classes."""

from itertools import pairwise

import numpy as np
import pytest

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.inference.predictor import Frugal
from napari_unet.jobs import (
    CancelToken,
    Progress,
    StepDone,
    TilePredicted,
    finish,
)
from napari_unet.learning.collapse import (
    Collapse,
    CollapseWatch,
    find_collapse,
    tiles_to_check,
)
from napari_unet.learning.inbox import Inbox, ViewRequest
from napari_unet.learning.live import live
from napari_unet.session import Session

NAMES = {1: "background", 2: "nuclei", 3: "rim"}


def test_all_background_although_nuclei_are_painted():
    found = find_collapse({1: 9_990, 2: 10}, {(1, 1): 80, (2, 1): 40}, {1: 80, 2: 40})
    assert found == Collapse((2,), 1, is_total=True)
    assert found.advice(NAMES) == (
        "Almost everything is predicted as 'background': paint a few more strokes of "
        "'nuclei', also on small ones and near their borders."
    )


def test_all_nuclei_asks_for_background():
    found = find_collapse({2: 9_999}, {(1, 2): 80, (2, 2): 40}, {1: 80, 2: 40})
    assert found == Collapse((1,), 2, is_total=True)
    assert "of 'background', also between objects" in found.advice(NAMES)


def test_several_lost_classes_are_all_named():
    on_strokes = {(1, 1): 80, (2, 1): 40, (3, 1): 9, (3, 3): 1}
    found = find_collapse({1: 9_999}, on_strokes, {1: 80, 2: 40, 3: 10})
    assert found.lost == (2, 3)
    assert "of 'nuclei' and 'rim'" in found.advice(NAMES)


@pytest.mark.parametrize("n_rare", [1, 30, 50])
def test_a_rare_class_that_is_right_on_its_strokes_is_none(n_rare):
    """0.3 % of the pixels, or even fewer than are painted."""
    n_predicted = {1: 10_000 - n_rare, 2: n_rare}
    on_strokes = {(1, 1): 500, (2, 2): 14, (2, 1): 6}
    assert find_collapse(n_predicted, on_strokes, {1: 500, 2: 20}) is None


def test_one_class_of_three_that_is_lost_to_another():
    on_strokes = {(1, 1): 80, (2, 2): 40, (3, 2): 20, (3, 1): 9}
    n_predicted = {1: 6_000, 2: 4_000}
    found = find_collapse(n_predicted, on_strokes, {1: 80, 2: 40, 3: 30})
    assert found == Collapse((3,), 2, is_total=False)
    assert found.advice(NAMES).startswith("Strokes of 'rim' come out as 'nuclei'")


def test_one_wrong_stroke_among_unseen_ones_is_what_people_correct():
    on_strokes = {(1, 1): 80, (2, 1): 20}
    assert find_collapse({1: 6_000, 2: 500}, on_strokes, {1: 80, 2: 100}) is None
    # but where all that is seen is background, they wonder
    assert find_collapse({1: 6_500}, on_strokes, {1: 80, 2: 100}) is not None


@pytest.mark.parametrize(
    ("n_predicted", "on_strokes", "n_painted"),
    [
        ({}, {}, {1: 9, 2: 9}),  # nothing seen
        ({1: 9_999}, {(1, 1): 9}, {1: 9, 2: 9}),  # no stroke of the class in sight
        ({1: 9_999}, {(2, 1): 2}, {1: 9, 2: 9}),  # a corner of one
        ({1: 300}, {(2, 1): 5}, {1: 9, 2: 9}),  # a few pixels in all
        ({1: 9_999}, {(5, 1): 50}, {1: 9}),  # a class that the model does not know yet
    ],
)
def test_too_little_was_seen_to_tell(n_predicted, on_strokes, n_painted):
    assert find_collapse(n_predicted, on_strokes, n_painted) is None


# -- watching tiles ------------------------------------------------------------------


def _annotations(**painted):
    annotations = AnnotationSet()
    for key, annotation in painted.items():
        stack = PlaneStack(np.zeros(annotation.shape, np.float32))
        annotations = annotations.with_image(ImageSource(key, stack), annotation, 2)
    return annotations


def _painted():
    annotation = np.zeros((64, 64), np.uint8)
    annotation[4, 4:30] = 1
    annotation[40, 40:60] = 2
    return annotation


def _tile(labels, y=0, x=0, generation=1, key="image", is_last=True, index=()):
    labels = np.asarray(labels, np.uint8)
    return TilePredicted(key, index, y, x, labels, "forest", generation, is_last)


def _job(*events):
    yield from events
    return True


def _watch(watch, annotations, *events, values=(1, 2)):
    job = watch.follow(_job(*events), annotations, values)
    assert finish(job) is True


ALL_1 = np.ones((64, 64))


def test_events_and_result_pass_through():
    events = [_tile(ALL_1), Progress(1, 1)]
    job = CollapseWatch().follow(_job(*events), _annotations(image=_painted()), (1, 2))
    assert [next(job), next(job)] == events
    with pytest.raises(StopIteration) as stop:
        next(job)
    assert stop.value.value is True


def test_it_is_judged_when_the_last_tile_has_come():
    watch, annotations = CollapseWatch(), _annotations(image=_painted())
    _watch(watch, annotations, _tile(ALL_1, is_last=False))
    assert watch.finding is None
    _watch(watch, annotations, _tile(ALL_1))  # the same tile is not counted twice
    assert watch.finding == Collapse((2,), 1, is_total=True)
    assert sum(watch._tallies["image"].n_predicted.values()) == 64 * 64


def test_it_ends_with_a_better_model_and_not_before_its_tiles():
    watch, annotations = CollapseWatch(), _annotations(image=_painted())
    _watch(watch, annotations, _tile(ALL_1))
    better = ALL_1.copy()
    better[38:43, 38:62] = 2
    _watch(watch, annotations, _tile(better, generation=2, is_last=False))
    assert watch.advice((1, 2), NAMES) != ""
    _watch(watch, annotations, _tile(better, generation=2))
    assert watch.advice((1, 2), NAMES) == ""


def test_tiles_add_up_over_planes_and_images():
    volume = np.zeros((3, 64, 64), np.uint8)
    volume[0], volume[2] = _painted(), _painted()
    watch, annotations = CollapseWatch(), _annotations(a=volume, b=_painted())
    tiles = [_tile(ALL_1, key="a", index=(z,)) for z in range(3)]
    _watch(watch, annotations, *tiles, _tile(ALL_1 * 2, key="b"))
    # half of class 1's strokes and most of class 2's are seen to be wrong
    assert watch._tallies["a"].on_strokes == {(1, 1): 52, (2, 1): 40}
    assert watch._tallies["b"].on_strokes == {(1, 2): 26, (2, 2): 20}
    assert watch.finding is None


def test_images_without_strokes_do_not_count():
    watch, annotations = CollapseWatch(), _annotations(image=_painted())
    half = np.where(np.arange(64) < 32, 1, 3) * np.ones((64, 1))
    _watch(watch, annotations, *[_tile(half, y=0, key="other")], _tile(ALL_1))
    assert watch.finding == Collapse((2,), 1, is_total=True)


def test_a_class_that_the_model_does_not_know_is_not_missed():
    watch, annotations = CollapseWatch(), _annotations(image=_painted())
    _watch(watch, annotations, _tile(ALL_1), values=(1, 3))
    assert watch.finding is None


def test_advice_ends_with_the_strokes_and_with_the_image():
    watch, annotations = CollapseWatch(), _annotations(image=_painted())
    _watch(watch, annotations, _tile(ALL_1))
    assert watch.advice((1,), NAMES) == ""
    assert "'nuclei'" in watch.advice((1, 2), NAMES)
    watch.forget("other")
    assert watch.finding is not None
    watch.forget("image")
    assert watch.finding is None
    _watch(watch, annotations, _tile(ALL_1))
    watch.reset()
    assert watch.finding is None


def test_the_tiles_to_check_hold_every_class():
    annotation = np.zeros((128, 128), np.uint8)
    annotation[2:60:4, 2:60] = 1  # fills the first tile
    annotation[2:60:4, 70:90] = 1
    annotation[100, 100:104] = 2
    annotations = _annotations(image=annotation)
    found = [(t.y0, t.x0) for _, _, t in tiles_to_check(annotations, 64, 2)]
    assert found == [(0, 0), (64, 64)]
    assert len(tiles_to_check(annotations, 64, 12)) == 3
    assert len(tiles_to_check(annotations, 64, 1)) == 2


# -- the learner ---------------------------------------------------------------------


@pytest.fixture
def collapse(monkeypatch):
    """Let every prediction be of the first class; ``mend()`` ends it."""
    real = Frugal.predict

    def fail(self, source, plane, tile, n_planes=1):
        probabilities = real(self, source, plane, tile)
        probabilities[0] = 2
        return probabilities

    def begin():
        monkeypatch.setattr(Frugal, "predict", fail)
        return lambda: monkeypatch.setattr(Frugal, "predict", real)

    return begin


def test_the_learner_tells_of_it_and_takes_it_back(learner, image, strokes, collapse):
    learner.class_names = NAMES
    learner.annotate(image, strokes)
    mend = collapse()
    assert (learner.predict(image) == 1).all()
    assert "of 'nuclei', also on small ones" in learner.status.advice
    mend()
    strokes[24, 20:28] = 2
    learner.annotate(image, strokes)
    learner.predict(image)
    assert learner.status.advice == ""


def test_a_comparison_with_another_candidate_is_no_finding(
    learner, image, strokes, collapse
):
    learner.annotate(image, strokes)
    learner.predict(image)
    other = "forest" if learner.status.chosen == "instant" else "instant"
    collapse()
    assert (learner.predict(image, candidate=other) == 1).all()
    assert learner.status.advice == ""


def test_a_rare_object_is_learned_without_an_alarm(learner):
    """Nine pixels of 2,304, 0.4 %, all of them painted."""
    image = np.random.default_rng(0).normal(0, 0.02, (48, 48))
    strokes = np.zeros(image.shape, np.uint8)
    strokes[3, 4:40] = strokes[-4, 4:40] = 1
    for y, x in ((20, 10), (30, 36)):
        image[y, x : x + 5] += 2
        strokes[y, x : x + 5] = 2
    learner.annotate(image, strokes)
    labels = learner.predict(image)
    assert 0 < (labels == 2).mean() < 0.02
    assert learner.status.advice == ""


def test_strokes_are_checked_without_a_prediction(learner, image, strokes, collapse):
    learner.check_collapse()  # nothing to check yet
    learner.annotate(image, strokes)
    mend = collapse()
    finish(learner.update())
    learner.check_collapse()
    assert "Almost everything" in learner.status.advice
    mend()
    finish(learner.fine_tune(steps=0))
    learner.reset()
    finish(learner.update())
    learner.check_collapse()
    assert learner.status.advice == ""


# -- the interactive loop ------------------------------------------------------------


class _Script(Inbox):
    """Acts once whenever the loop has nothing to do, then closes."""

    def __init__(self, *actions):
        super().__init__()
        self.actions = list(actions)

    def wait(self, since, token):
        if self.number != since:
            return
        if self.actions:
            self.actions.pop(0)(self)
        else:
            self.close()


def test_the_loop_advises_once_and_withdraws_it(config, image, strokes, collapse):
    newer = strokes.copy()
    newer[24, 20:28] = 2
    mend = collapse()
    session, heard, before = Session(), [], []

    def follow_advice(inbox):
        before.append(session.advice)
        mend()
        inbox.annotate("image", image, newer)

    inbox = _Script(
        lambda i: i.annotate("image", image, strokes),
        lambda i: i.show(ViewRequest("image", (), 0, 48, 0, 48)),
        follow_advice,
    )
    for event in live(config, inbox, CancelToken()):
        session.apply(event)
        heard.append(session.advice)
    told = [new for old, new in pairwise(heard) if new != old]
    assert [text[:17] for text in told] == ["Almost everything", ""]
    assert before == [told[0]]


def test_new_strokes_while_learning_do_not_end_the_advice(
    config, image, strokes, collapse
):
    """The session drops its advice when it hears of newer strokes."""
    collapse()
    newer = strokes.copy()
    newer[40, 2:9] = 1
    inbox = _Script(
        lambda i: i.show(ViewRequest("image", (), 0, 48, 0, 48)),
        lambda i: i.annotate("image", image, strokes),
        lambda i: i.learn(True),
    )
    session = Session()
    for event in live(config, inbox, CancelToken()):
        session.apply(event)
        if isinstance(event, StepDone) and event.step == 1:
            inbox.annotate("image", image, newer)
        if isinstance(event, StepDone) and event.step == 3:
            inbox.learn(False)
    assert session.annotation_version == 2
    assert session.advice.startswith("Almost everything")
