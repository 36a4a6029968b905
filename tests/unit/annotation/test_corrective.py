"""Predictions compared with what a person left of them."""

import numpy as np
import pytest

from napari_unet.annotation.corrective import (
    Correction,
    corrections_of,
    verdict,
    visits_of,
)
from napari_unet.annotation.tiled import TiledLabels

SHAPE = (300, 300)


@pytest.fixture
def predicted():
    labels = np.ones(SHAPE, np.uint8)
    labels[100:200, 100:200] = 2
    return labels


def compare(predicted, before, after, **more):
    """Return the corrections of a plane's annotation."""
    return list(
        corrections_of(
            TiledLabels.of(before),
            TiledLabels.of(after),
            lambda plane, rows, columns: predicted[rows, columns],
            time_s=more.pop("time_s", 0.0),
            image="a",
            **more,
        )
    )


def nothing():
    return np.zeros(SHAPE, np.uint8)


def test_new_pixels_are_compared_and_old_and_erased_ones_are_not(predicted):
    before, after = nothing(), nothing()
    before[10, 10:20] = 1
    before[20, 10:20] = 1
    after[10, 10:20] = 1  # as before; the other one was erased
    after[110, 90:130] = 1  # 10 px right, 30 px wrong
    (found,) = compare(predicted, before, after)
    assert found.n_painted == {(1, 1): 10, (2, 1): 30}
    assert found.n_predicted == {1: 256 * 256 - 100 * 100, 2: 100 * 100}
    assert (found.y, found.x, found.plane) == (0, 0, 0)
    assert compare(predicted, after, after) == []


def test_what_is_not_predicted_and_no_new_stroke_say_nothing(predicted):
    after = nothing()
    after[10, 10:20] = 1
    assert compare(np.zeros_like(predicted), nothing(), after) == []
    predicted[:, :15] = 0
    (found,) = compare(predicted, nothing(), after)
    assert found.n_painted == {(1, 1): 5}


def test_a_stroke_over_two_regions_is_seen_in_both(predicted):
    after = nothing()
    after[10, 250:262] = 2
    first, second = compare(predicted, nothing(), after)
    assert (first.x, second.x) == (0, 256)
    assert first.n_painted == {(1, 2): 6} == second.n_painted


def test_objects_are_compared_as_one_class(predicted):
    after = nothing()
    after[150, 150:160] = 7
    (found,) = compare(predicted, nothing(), after, of_objects=True)
    assert found.n_painted == {(2, 2): 10}


def test_dice_is_that_of_the_prediction_with_the_corrected_one(predicted):
    after = nothing()
    after[100:150, 100:200] = 1  # half of the object is none
    after[210:220, 100:150] = 2  # and there is some below
    visits = visits_of(compare(predicted, nothing(), after))
    left = np.where(after > 0, after, predicted)[:256, :256] == 2
    guessed = predicted[:256, :256] == 2
    expected = 2 * (left & guessed).sum() / (left.sum() + guessed.sum())
    assert visits[0].dice == pytest.approx(expected)
    assert visits[0].n_px == 5000 + 500


def test_a_right_prediction_scores_1_also_where_nothing_is_but_background():
    after = nothing()
    after[10, 10:20] = 1
    (visit,) = visits_of(compare(np.ones(SHAPE, np.uint8), nothing(), after))
    assert visit.dice == 1


def _correction(time_s, x=0, wrong=10, image="a"):
    return Correction(
        time_s, image, 1, 0, 0, x, {1: 900, 2: 100}, {(2, 1): wrong, (1, 1): 5}
    )


def test_strokes_on_one_region_soon_after_each_other_are_one_visit():
    found = [
        _correction(1000),
        _correction(1010, x=256),
        _correction(1020),
        _correction(5000),
    ]
    visits = visits_of(found[::-1])
    assert [(v.first.time_s, v.n_px) for v in visits] == [
        (1000, 30),
        (1010, 15),
        (5000, 15),
    ]
    assert [v.work_s for v in visits] == [0, 10, 320]  # a break counts as 5 minutes
    assert visits[0].dice == pytest.approx(2 * 80 / (100 + 80))


def test_the_verdict_has_n_and_waits_for_three_regions():
    assert "n = 0" in verdict([])
    few = visits_of([_correction(i * 1000) for i in range(2)])
    assert verdict(few).startswith("Too few")
    bad = visits_of([_correction(i * 1000, wrong=60) for i in range(7)])
    assert verdict(bad) == (
        "Not good enough yet: predictions of the last 5 regions had a Dice of 0.57 "
        "with what you left (n = 7 regions, 325 px painted in the last)."
    )
    better = bad + visits_of([_correction(9000 + i * 1000, wrong=0) for i in range(5)])
    assert verdict(better).startswith("Good enough where you looked")
