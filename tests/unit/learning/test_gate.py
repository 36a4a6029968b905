from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet.jobs import Score
from napari_unet.learning.gate import ORDER, choose, score_candidate


def _score(mean_iou, per_stroke=None):
    if per_stroke is None and mean_iou is not None:
        per_stroke = (mean_iou,) * 4
    return Score(mean_iou, per_stroke=per_stroke or ())


def _samples(targets, strokes, weights=None, values=(1, 2)):
    targets = np.array(targets)
    weights = np.ones(len(targets)) if weights is None else np.array(weights)
    return SimpleNamespace(
        targets=targets,
        strokes=np.array(strokes),
        weights=weights.astype(np.float32),
        values=values,
    )


def _one_hot(classes, n_classes=2):
    return np.eye(n_classes, dtype=np.float32)[classes]


# -- the choice ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({"forest": 0.8, "instant": 0.9}, "instant"),
        ({"forest": 0.9, "instant": 0.8}, "forest"),
        ({"forest": 0.8, "instant": 0.8}, "forest"),  # ties go to the simpler one
        ({"forest": 0.8, "instant": 0.805}, "forest"),  # and gains too small too
        ({"forest": 0.8, "fine-tuned": 0.81}, "fine-tuned"),
        ({"instant": 0.1}, "instant"),
        ({"forest": 0.5, "instant": 0.6, "instant+forest": 0.605}, "instant"),
        (
            {"forest": 0.5, "instant": 0.495, "fine-tuned+forest": 0.6},
            "fine-tuned+forest",
        ),
    ],
)
def test_the_best_is_chosen_and_the_simpler_one_in_doubt(scores, chosen):
    given = {name: _score(iou) for name, iou in scores.items()}
    backwards = dict(reversed(given.items()))
    assert choose(given, 0.01) == choose(backwards, 0.01) == chosen


def test_without_held_out_strokes_the_first_of_the_order_is_trusted():
    scores = {name: _score(None) for name in ORDER}
    assert choose(scores, 0.01) == "forest"
    assert choose(scores, 0.01, ("instant", "forest")) == "instant"


def test_an_unscored_candidate_does_not_beat_a_scored_one():
    assert choose({"forest": _score(0.1), "instant": _score(None)}, 0.0) == "forest"


def test_a_gain_that_may_be_luck_does_not_count():
    steady = _score(0.5, (0.5, 0.5, 0.5, 0.5))
    lucky = _score(0.6, (1.0, 0.4, 0.4, 0.55))
    better = _score(0.6, (0.65, 0.6, 0.55, 0.6))
    assert choose({"forest": steady, "instant": lucky}, 0.01) == "forest"
    assert choose({"forest": steady, "instant": better}, 0.01) == "instant"


# -- the score -----------------------------------------------------------------------


def test_a_score_worked_by_hand():
    samples = _samples([0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2])
    probabilities = _one_hot([0, 0, 0, 1, 1, 0])
    score = score_candidate(samples, probabilities, np.ones(6, bool))
    # each class weighs 1: three quarters of 1 are right, and a half of 2
    assert score.iou[1] == pytest.approx(0.75 / (1 + 0.5))
    assert score.iou[2] == pytest.approx(0.5 / (1 + 0.25))
    assert score.mean_iou == pytest.approx((score.iou[1] + score.iou[2]) / 2)
    assert score.dice[1] == pytest.approx(1.5 / (1.5 + 0.75))
    assert (score.n_px, score.n_strokes) == (6, 3)
    assert score.per_stroke == (1.0, 0.5, 0.5)


def test_how_much_of_a_class_is_painted_does_not_matter():
    probabilities = _one_hot([0, 1, 1, 0])
    few = score_candidate(
        _samples([0, 0, 1, 1], range(4)), probabilities, np.ones(4, bool)
    )
    many = score_candidate(
        _samples([0] * 50 + [0] * 50 + [1, 1], range(102)),
        _one_hot([0] * 50 + [1] * 50 + [1, 0]),
        np.ones(102, bool),
    )
    assert many.mean_iou == pytest.approx(few.mean_iou)


def test_weights_count_within_a_class():
    samples = _samples([0, 0, 1], [0, 1, 2], weights=[3, 1, 5])
    score = score_candidate(samples, _one_hot([0, 1, 1]), np.ones(3, bool))
    assert score.iou[1] == pytest.approx(0.75)


def test_only_held_out_samples_count():
    samples = _samples([0, 1, 0, 1], range(4))
    mask = np.array([True, True, False, False])
    score = score_candidate(samples, _one_hot([0, 1, 1, 0]), mask)
    assert score.mean_iou == 1
    assert (score.n_px, score.n_strokes) == (2, 2)


@pytest.mark.parametrize("held_out", [[], [0], [0, 1]])
def test_with_one_class_held_out_there_is_no_score(held_out):
    mask = np.zeros(4, bool)
    mask[held_out] = True
    score = score_candidate(_samples([0, 0, 1, 1], range(4)), _one_hot([0] * 4), mask)
    assert score.mean_iou is None
    assert score.n_px == len(held_out)


def test_classes_that_are_not_held_out_are_left_out():
    samples = _samples([0, 1, 2], range(3), values=(1, 2, 7))
    mask = np.array([True, True, False])
    score = score_candidate(samples, _one_hot([0, 2, 2], 3), mask)
    assert set(score.iou) == {1, 2}
    assert score.iou[2] == 0
    assert score.mean_iou == pytest.approx(0.5)
