import numpy as np
import pytest

from napari_unet.jobs import Score
from napari_unet.learning.gate import (
    NETWORK_SHARE,
    ORDER,
    PRETRAINED_ORDER,
    choose,
    log_loss,
    mix,
    score_candidate,
)
from napari_unet.learning.samples import Samples


def _score(log_loss, mean_iou=0.5):
    return Score(None if log_loss is None else mean_iou, log_loss=log_loss)


def _samples(targets, strokes, weights=None, values=(1, 2), is_of_objects=False):
    targets = np.array(targets)
    weights = np.ones(len(targets)) if weights is None else np.array(weights)
    return Samples(
        values=values,
        targets=targets,
        strokes=np.array(strokes),
        bundles=np.array(strokes),
        folds=np.zeros(len(targets), int),
        weights=weights.astype(np.float32),
        groups=(),
        is_of_objects=is_of_objects,
    )


def _one_hot(classes, n_classes=2):
    return np.eye(n_classes, dtype=np.float32)[classes]


# -- the choice ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "chosen"),
    [
        ({"forest": 0.5, "instant": 0.4}, "instant"),
        ({"forest": 0.4, "instant": 0.5}, "forest"),
        ({"forest": 0.4, "instant": 0.4}, "forest"),  # ties go to the earlier one
        ({"forest": 0.5, "instant": 0.46}, "forest"),  # and gains too small too
        ({"forest": 0.5, "fine-tuned": 0.44}, "fine-tuned"),
        ({"instant": 9.0}, "instant"),
        ({"forest": 0.5, "instant": 0.3, "instant+forest": 0.29}, "instant"),
        (
            {"forest": 0.5, "instant": 0.51, "fine-tuned+forest": 0.4},
            "fine-tuned+forest",
        ),
        # a share of the loss, however large or small it is
        ({"forest": 0.010, "instant": 0.008}, "instant"),
        ({"forest": 5.0, "instant": 4.6}, "forest"),
        ({"forest": 0.0, "instant": 0.0}, "forest"),
    ],
)
def test_the_surest_is_chosen_and_the_earlier_one_in_doubt(losses, chosen):
    given = {name: _score(loss) for name, loss in losses.items()}
    backwards = dict(reversed(given.items()))
    assert choose(given, 0.1) == choose(backwards, 0.1) == chosen


@pytest.mark.parametrize("order", [ORDER, PRETRAINED_ORDER, ("instant", "forest")])
def test_ties_go_to_the_first_of_the_order_that_is_given(order):
    scores = {name: _score(0.3) for name in ORDER}
    assert choose(scores, 0.0, order) == order[0]
    assert choose(scores, 0.1, order) == order[0]


@pytest.mark.parametrize(
    ("min_gain", "chosen"), [(0.0, "instant"), (0.15, "instant"), (0.25, "forest")]
)
def test_the_share_that_must_be_saved_is_a_setting(min_gain, chosen):
    scores = {"forest": _score(0.5), "instant": _score(0.4)}
    assert choose(scores, min_gain) == chosen


def test_candidates_outside_the_order_are_not_chosen():
    scores = {"forest": _score(0.5), "instant": _score(0.1)}
    assert choose(scores, 0.1, ("forest", "instant+forest")) == "forest"


def test_pretrained_weights_come_first_together_with_the_forest():
    """All candidates are in both orders; only who wins a tie differs."""
    assert set(PRETRAINED_ORDER) == set(ORDER)
    assert PRETRAINED_ORDER[0] == "instant+forest"
    assert ORDER[0] == "forest"


def test_without_held_out_strokes_the_first_of_the_order_is_trusted():
    scores = {name: _score(None) for name in ORDER}
    assert choose(scores, 0.1) == "forest"
    assert choose(scores, 0.1, PRETRAINED_ORDER) == "instant+forest"


def test_an_unscored_candidate_does_not_beat_a_scored_one():
    assert choose({"forest": _score(9.0), "instant": _score(None)}, 0.0) == "forest"
    assert choose({"forest": _score(None), "instant": _score(0.1)}, 0.0) == "forest"


def test_a_gain_that_may_be_luck_does_not_count():
    """A pixel more or less on the right side changes the IoU, and is luck."""
    steady, lucky = _score(0.30, 0.8), _score(0.29, 1.0)
    surer = _score(0.20, 0.8)
    assert choose({"forest": steady, "instant": lucky}, 0.1) == "forest"
    assert choose({"forest": steady, "instant": surer}, 0.1) == "instant"


# -- together ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "iou", "chosen"),
    [
        (0.24, 0.9, "forest"),
        (0.26, 0.9, "instant"),
        (0.01, 0.78, "instant"),  # it is only surer
        (0.01, None, "instant"),
    ],
)
def test_the_forest_alone_must_halve_the_loss_and_be_right_more_often(
    loss, iou, chosen
):
    scores = {"instant": _score(0.5, 0.6), "forest": _score(loss, iou)}
    assert choose(scores, 0.1, ("instant", "forest")) == chosen


def test_the_network_has_the_larger_part_in_a_mean_with_the_forest():
    assert 0.5 < NETWORK_SHARE < 1
    network = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    forest = np.array([[0.0, 1.0], [0.5, 0.5]], np.float32)
    both = mix(network, forest)
    expected = NETWORK_SHARE * 0.9, NETWORK_SHARE * 0.2 + (1 - NETWORK_SHARE) * 0.5
    np.testing.assert_allclose(both[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(both.sum(1), 1, rtol=1e-6)
    assert both.dtype == np.float32
    np.testing.assert_allclose(mix(network, network), network, rtol=1e-6)


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


def test_a_log_loss_worked_by_hand():
    samples = _samples([0, 0, 0, 1], [0, 0, 1, 2])
    right = np.array([0.9, 0.5, 0.5, 0.2], np.float32)
    probabilities = np.stack([right, 1 - right], axis=1)
    probabilities[3] = 0.8, 0.2
    score = score_candidate(samples, probabilities, np.ones(4, bool))
    # each class weighs the same
    first, second = -np.log(right[:3]).mean(), -np.log(0.2)
    assert score.log_loss == pytest.approx((first + second) / 2, rel=1e-5)
    assert score.mean_iou is not None


def test_no_single_pixel_decides():
    """One that is wrong for certain would have an infinite loss."""
    samples = _samples([0] * 99 + [1], range(100))
    probabilities = np.full((100, 2), 0.5, np.float32)
    probabilities[0] = 0, 1
    score = score_candidate(samples, probabilities, np.ones(100, bool))
    assert np.isfinite(score.log_loss)
    assert score.log_loss < np.log(2) + 14 / 99
    assert np.isfinite(log_loss(samples, probabilities, np.ones(100, bool)))


def test_the_log_loss_tells_apart_what_is_right_on_the_same_pixels():
    samples = _samples([0, 1], range(2))
    sure, unsure = (np.array([[p, 1 - p], [1 - p, p]], np.float32) for p in (0.99, 0.6))
    scores = [score_candidate(samples, p, np.ones(2, bool)) for p in (sure, unsure)]
    assert scores[0].mean_iou == scores[1].mean_iou == 1
    assert scores[0].log_loss < scores[1].log_loss


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
    assert many.log_loss == pytest.approx(few.log_loss)


def test_weights_count_within_a_class():
    samples = _samples([0, 0, 1], [0, 1, 2], weights=[3, 1, 5])
    score = score_candidate(samples, _one_hot([0, 1, 1]), np.ones(3, bool))
    assert score.iou[1] == pytest.approx(0.75)
    assert score.log_loss == pytest.approx(-np.log(1e-6) * 0.25 / 2, rel=1e-4)


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
    assert score.log_loss is None
    assert score.n_px == len(held_out)


def test_objects_without_background_are_told_apart_by_log_loss_alone():
    """Users see one class, of which there is no IoU; the border was to be learned."""
    samples = _samples([0, 0, 1, 1], range(4), values=(2, 3), is_of_objects=True)
    all_rows = np.ones(4, bool)
    right = score_candidate(samples, _one_hot([0, 0, 1, 1]), all_rows)
    blind = score_candidate(samples, np.full((4, 2), 0.5, np.float32), all_rows)
    assert right.mean_iou is None
    assert right.iou == {}
    assert right.log_loss == 0
    assert blind.log_loss == pytest.approx(np.log(2))
    scores = {"forest": blind, "instant": right}
    assert choose(scores, 0.1) == "instant"


def test_classes_that_are_not_held_out_are_left_out():
    samples = _samples([0, 1, 2], range(3), values=(1, 2, 7))
    mask = np.array([True, True, False])
    score = score_candidate(samples, _one_hot([0, 2, 2], 3), mask)
    assert set(score.iou) == {1, 2}
    assert score.iou[2] == 0
    assert score.mean_iou == pytest.approx(0.5)
