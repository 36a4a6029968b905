"""Scores of objects: worked by hand, and against a slow reference over all pairs."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from napari_unet.core.metrics import (
    IOU_THRESHOLDS,
    average_precision,
    evaluate_instances,
    n_matches,
    overlaps,
    panoptic_quality,
)
from napari_unet.errors import ImageError


def line(*runs, length=20):
    """Return (1, length): runs of (label, first, one behind the last)."""
    image = np.zeros((1, length), np.int32)
    for label, start, stop in runs:
        image[0, start:stop] = label
    return image


def objects(n_objects=12, shape=(30, 40), seed=0):
    """Return overlapping boxes, later ones on top of earlier ones."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.uint16)
    for label in rng.permutation(n_objects) + 1:
        corner = [rng.integers(0, n - 4) for n in shape]
        image[tuple(slice(c, c + rng.integers(3, 14)) for c in corner)] = label
    return image


def reference(prediction, truth):
    """Return the scores from masks, every pair looked at."""
    true = [truth == v for v in np.unique(truth) if v]
    predicted = [prediction == v for v in np.unique(prediction) if v]
    shared = np.array([[(t & p).sum() for p in predicted] for t in true])
    union = np.array([[(t | p).sum() for p in predicted] for t in true])
    iou = shared / union
    n_true, n_predicted = iou.shape

    def n_hits(threshold):
        is_hit = iou >= threshold
        return is_hit[linear_sum_assignment(is_hit, maximize=True)].sum()

    ap = {t: n_hits(t) / (n_true + n_predicted - n_hits(t)) for t in IOU_THRESHOLDS}
    matched = iou[iou > 0.5]
    rq = len(matched) / (len(matched) + (n_true + n_predicted - 2 * len(matched)) / 2)
    seg = [
        iou[i, j]
        for i, t in enumerate(true)
        for j in range(n_predicted)
        if shared[i, j] > t.sum() / 2
    ]
    correct, total, used = 0, 0, set()
    for i, t in enumerate(true):
        j = iou[i].argmax()
        if iou[i, j] == 0:
            total += t.sum()
            continue
        correct, total = correct + shared[i, j], total + union[i, j]
        used.add(j)
    total += sum(p.sum() for j, p in enumerate(predicted) if j not in used)
    return {
        "seg": sum(seg) / n_true,
        "pq": matched.sum() / ((n_true + n_predicted) / 2),
        "sq": matched.mean() if len(matched) else 0,
        "rq": rq,
        "ap50": ap[0.5],
        "ap": pytest.approx(ap),
        "map": np.mean(list(ap.values())),
        "f1_50": 2 * n_hits(0.5) / (n_true + n_predicted),
        "aji": correct / total,
        "n_true": n_true,
        "n_predicted": n_predicted,
    }


def test_objects_found_too_small_and_too_large():
    truth = line((1, 0, 10), (2, 10, 14))
    prediction = line((7, 0, 8), (9, 10, 16))  # IoU 8/10 and 4/6
    scores = evaluate_instances(prediction, truth)
    assert scores["ap"] == pytest.approx(
        dict(zip(IOU_THRESHOLDS, [1] * 4 + [1 / 3] * 3 + [0] * 3, strict=True))
    )
    assert scores["map"] == pytest.approx(0.5)
    assert scores["ap50"] == scores["f1_50"] == scores["rq"] == 1
    assert scores["seg"] == scores["sq"] == scores["pq"] == pytest.approx(11 / 15)
    assert scores["aji"] == pytest.approx(12 / 16)


def test_objects_merged_missed_and_made_up():
    truth = line((1, 0, 6), (2, 6, 10), (3, 12, 14))
    prediction = line((1, 0, 10), (2, 16, 19))  # IoU 6/10 and 4/10
    scores = evaluate_instances(prediction, truth)
    assert scores.pop("ap") == {t: 0.25 if t <= 0.6 else 0 for t in IOU_THRESHOLDS}
    assert scores == pytest.approx(
        {
            "seg": (0.6 + 0.4 + 0) / 3,
            "pq": 0.24,
            "sq": 0.6,
            "rq": 1 / 2.5,
            "ap50": 1 / 4,
            "map": 3 / 4 / 10,
            "f1_50": 2 / 5,
            # the merged one is taken twice: (6 + 4) / (10 + 10 + 2 + 3)
            "aji": 10 / 25,
            "n_true": 3,
            "n_predicted": 2,
        }
    )


def test_two_halves_of_an_object_match_once_at_half_and_never_above():
    halves = overlaps(line((1, 0, 2), (2, 2, 4)), line((1, 0, 4)))
    np.testing.assert_array_equal(halves.iou, [0.5, 0.5])
    assert n_matches(halves, 0.5) == 1
    assert average_precision(halves, 0.5) == 1 / 2
    assert panoptic_quality(halves) == (0, 0, 0)


def test_below_half_each_object_matches_once_and_as_many_as_can():
    # a chain of four that overlap by a third: three pairs, and two without sharing
    chain = overlaps(
        line((1, 5, 15), (2, 15, 25), length=30),
        line((1, 0, 10), (2, 10, 20), length=30),
    )
    assert np.count_nonzero(chain.iou >= 0.3) == 3
    assert n_matches(chain, 0.3) == 2


def test_seg_needs_more_than_half_of_the_true_object():
    truth = line((1, 0, 8))
    assert evaluate_instances(line((1, 0, 4)), truth)["seg"] == 0
    assert evaluate_instances(line((1, 0, 5)), truth)["seg"] == 5 / 8
    # most of it is covered, though hardly anything of the prediction is right
    assert evaluate_instances(line((1, 0, 20)), truth)["seg"] == 8 / 20


@pytest.mark.parametrize("seed", range(5))
def test_scores_agree_with_masks_of_every_pair(seed):
    truth, prediction = objects(seed=seed), objects(seed=seed + 100)
    truth[:, :20] = prediction[:, :20] = objects(shape=(30, 20), seed=seed + 200)
    scores = evaluate_instances(prediction, truth)
    expected = reference(prediction, truth)
    assert 0 < expected["pq"] < 1
    assert scores.pop("ap") == expected.pop("ap")
    assert scores == pytest.approx(expected)


def test_volumes_and_the_overlaps_themselves():
    truth, prediction = np.zeros((2, 3, 4, 5), int)
    truth[:, :2], prediction[1:] = 3, 8
    table = overlaps(prediction, truth)
    assert (table.n_true, table.n_predicted) == (1, 1)
    np.testing.assert_array_equal(table.true_px, [3 * 2 * 5])
    np.testing.assert_array_equal(table.predicted_px, [2 * 4 * 5])
    np.testing.assert_array_equal(table.shared_px, [2 * 2 * 5])
    np.testing.assert_array_equal(table.iou, [20 / 50])


def test_labels_of_any_size_and_type():
    prediction, truth = objects(seed=1), objects(seed=2)
    expected = evaluate_instances(prediction, truth)
    huge = truth.astype(np.uint64) + np.uint64(2**63) * (truth > 0).astype(np.uint64)
    assert evaluate_instances(prediction.astype(np.int8), huge) == expected
    assert evaluate_instances(prediction, truth.T.copy().T) == expected


def test_nothing_there_and_nothing_found_is_no_score():
    nothing = np.zeros((3, 4), int)
    scores = evaluate_instances(nothing, nothing)
    assert scores.pop("n_true") == scores.pop("n_predicted") == 0
    assert all(math.isnan(value) for value in scores.pop("ap").values())
    assert all(math.isnan(value) for value in scores.values())


def test_objects_in_one_image_only_score_nothing():
    nothing, something = np.zeros((1, 20), int), line((1, 3, 5), (2, 8, 9))
    missed = evaluate_instances(nothing, something)
    made_up = evaluate_instances(something, nothing)
    assert (missed["n_true"], missed["n_predicted"]) == (2, 0)
    assert (made_up["n_true"], made_up["n_predicted"]) == (0, 2)
    for key in ("pq", "sq", "rq", "ap50", "map", "f1_50", "aji"):
        assert missed[key] == made_up[key] == 0
    assert missed["seg"] == 0
    assert math.isnan(made_up["seg"])


def test_ignored_pixels_are_left_out_of_both_images():
    truth = line((1, 0, 4), (9, 10, 20))
    prediction = line((1, 0, 4), (2, 8, 12), (3, 14, 18))
    scores = evaluate_instances(prediction, truth, ignore=9)
    # object 3 lies in the unknown, of object 2 only two pixels lie outside of it
    assert (scores["n_true"], scores["n_predicted"]) == (1, 2)
    assert scores["aji"] == 4 / (4 + 2)


def test_scores_are_plain_json():
    scores = json.loads(json.dumps(evaluate_instances(objects(seed=1), objects())))
    assert list(scores["ap"]) == [f"{p / 100}" for p in range(50, 100, 5)]
    assert type(scores["n_true"]) is int


@pytest.mark.parametrize(
    ("prediction", "truth", "sentence"),
    [
        (np.ones((2, 3), np.float32), np.ones((2, 3), int), "prediction.*float32"),
        (np.ones((2, 3), int), np.ones((2, 3)), "truth.*float64"),
        (np.ones((2, 3), int), np.ones((3, 2), int), r"\(2, 3\) and \(3, 2\)"),
        (np.ones((2, 3), int), np.full((2, 3), -4), "truth holds the label -4"),
        (np.full((2, 3), -4), np.ones((2, 3), int), "prediction holds the label -4"),
        (np.ones((0, 3), int), np.ones((0, 3), int), "no pixel"),
    ],
)
def test_what_holds_no_objects_is_refused(prediction, truth, sentence):
    with pytest.raises(ImageError, match=sentence):
        evaluate_instances(prediction, truth)


def test_nothing_known_is_refused():
    with pytest.raises(ImageError, match="all are 3"):
        evaluate_instances(np.ones(5, int), np.full(5, 3), ignore=3)
