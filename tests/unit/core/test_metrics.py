import json
import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import jaccard_score

from napari_unet.core.metrics import (
    confusion_matrix,
    dice_per_class,
    evaluate,
    iou_per_class,
)
from napari_unet.errors import ImageError


def _labels(seed, values=(1, 2, 5), shape=(20, 30)):
    return np.random.default_rng(seed).choice(values, shape)


def test_matrix_worked_by_hand():
    truth = np.array([[1, 1, 2], [2, 2, 5]])
    prediction = np.array([[1, 2, 2], [2, 5, 5]])
    expected = [[1, 1, 0], [0, 2, 1], [0, 0, 1]]
    np.testing.assert_array_equal(
        confusion_matrix(truth, prediction, [1, 2, 5]), expected
    )


def test_order_of_values_is_the_order_of_rows():
    truth, prediction = _labels(0), _labels(1)
    values = [5, 1, 2]
    expected = sklearn_confusion(truth.ravel(), prediction.ravel(), labels=values)
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, values), expected)


def test_weights_count_pixels():
    truth, prediction = _labels(0), _labels(1)
    weights = np.random.default_rng(2).random(truth.shape)
    expected = sklearn_confusion(
        truth.ravel(), prediction.ravel(), sample_weight=weights.ravel()
    )
    actual = confusion_matrix(truth, prediction, [1, 2, 5], weights)
    np.testing.assert_allclose(actual, expected)


def test_true_values_not_asked_for_are_left_out():
    truth, prediction = np.array([0, 1, 2]), np.array([9, 1, 1])
    np.testing.assert_array_equal(
        confusion_matrix(truth, prediction, [1, 2]), [[1, 0], [1, 0]]
    )


def test_a_prediction_outside_the_values_is_an_error_not_a_gift():
    with pytest.raises(ImageError, match="value 9"):
        confusion_matrix(np.array([1, 2]), np.array([9, 2]), [1, 2])


@pytest.mark.parametrize("values", [[], [1, 1, 2]])
def test_values_must_be_given_once(values):
    with pytest.raises(ImageError, match="once"):
        confusion_matrix(np.array([1]), np.array([1]), values)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.uint64])
def test_any_integer_type(dtype):
    truth = np.array([1, 0, 1, 1], dtype)
    prediction = np.array([1, 1, 0, 1], dtype)
    np.testing.assert_array_equal(
        confusion_matrix(truth, prediction, [0, 1]), [[0, 1], [1, 2]]
    )


def test_scores_agree_with_sklearn():
    truth, prediction = _labels(0), _labels(1)
    matrix = confusion_matrix(truth, prediction, [1, 2, 5])
    expected = jaccard_score(truth.ravel(), prediction.ravel(), average=None)
    iou = iou_per_class(matrix)
    np.testing.assert_allclose(iou, expected)
    np.testing.assert_allclose(dice_per_class(matrix), 2 * iou / (1 + iou))


def test_a_class_absent_from_both_has_no_score():
    matrix = confusion_matrix(np.array([1, 1]), np.array([1, 2]), [1, 2, 3])
    np.testing.assert_array_equal(iou_per_class(matrix), [0.5, 0, math.nan])
    np.testing.assert_array_equal(dice_per_class(matrix), [2 / 3, 0, math.nan])


def test_evaluate_perfect():
    truth = _labels(0)
    scores = evaluate(truth, truth)
    assert scores["mean_iou"] == scores["mean_dice"] == 1
    assert scores["n_px"] == truth.size
    assert set(scores["classes"]) == {1, 2, 5}
    assert sum(c["n_px"] for c in scores["classes"].values()) == truth.size


def test_evaluate_takes_the_union_of_values():
    scores = evaluate(np.array([1, 1, 3]), np.array([1, 2, 1]))
    assert scores["classes"][1] == {
        "iou": pytest.approx(1 / 3),
        "dice": pytest.approx(0.5),
        "n_px": 2,
    }
    assert scores["classes"][2] == {"iou": 0, "dice": 0, "n_px": 1}
    assert scores["classes"][3] == {"iou": 0, "dice": 0, "n_px": 0}
    assert scores["mean_iou"] == pytest.approx(1 / 9)


def test_evaluate_ignores_unlabelled_truth_only():
    truth = np.array([0, 0, 1, 2, 2])
    prediction = np.array([2, 7, 1, 2, 0])
    scores = evaluate(prediction, truth, ignore=0)
    assert scores["n_px"] == 3
    assert set(scores["classes"]) == {1, 2}
    # the predicted 0 is missed by class 2, without being a class
    assert scores["classes"][2]["iou"] == 0.5
    assert scores["mean_iou"] == 0.75


def test_evaluate_is_plain_json():
    scores = evaluate(_labels(0).astype(np.uint8), _labels(1).astype(np.uint16))
    assert json.loads(json.dumps(scores))["n_px"] == 600
    assert all(type(value) is int for value in scores["classes"])


def test_nothing_to_compare():
    with pytest.raises(ImageError, match=r"no pixel to compare: all are 0"):
        evaluate(np.ones(3, int), np.zeros(3, int), ignore=0)


def test_shapes_must_agree():
    with pytest.raises(ImageError, match=r"\(2, 3\) and \(3, 2\)"):
        evaluate(np.ones((2, 3), int), np.ones((3, 2), int))
    with pytest.raises(ImageError, match="weights"):
        confusion_matrix(np.ones(3, int), np.ones(3, int), [1], np.ones(2))


def test_probabilities_are_not_labels():
    with pytest.raises(ImageError, match="float64"):
        evaluate(np.ones((2, 3)), np.ones((2, 3), int))


def test_instances_are_refused_before_memory_is_taken():
    instances = np.arange(40_000).reshape(200, 200)
    with pytest.raises(ImageError, match="instances"):
        evaluate(instances, instances)
