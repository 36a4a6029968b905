"""Scores of membranes: by hand, and against scikit-image and a count of pairs."""

import json
import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import adapted_rand_error, variation_of_information
from skimage.segmentation import watershed

from napari_unet.core.metrics import (
    evaluate_em,
    rand_and_information,
    thin_membrane,
)
from napari_unet.errors import ImageError


def cells(*rows):
    """Return a bool image from text: o is a cell, a blank the membrane."""
    return np.array([list(row) for row in rows]) == "o"


def tissue(seed, shape=(48, 64), n_cells=14):
    """Return cells with membranes of three pixels or so between them."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, int)
    seeds.flat[rng.choice(seeds.size, n_cells, replace=False)] = range(1, n_cells + 1)
    distance = ndimage.distance_transform_edt(seeds == 0)
    parted = watershed(distance, seeds, watershed_line=True)
    return ~ndimage.binary_dilation(parted == 0)


def alone(labels):
    """Return labels where each pixel of 0 has a number of its own."""
    single = np.arange(labels.size).reshape(labels.shape) + labels.max() + 1
    return np.where(labels == 0, single, labels)


@pytest.mark.parametrize(
    ("truth", "prediction", "v_rand", "v_info"),
    [
        ([1, 1, 2, 2], [5, 5, 3, 3], 1, 1),
        # a split and a merger are the same, seen from the other side
        ([1, 1, 1, 1], [1, 1, 2, 2], 2 * (1 / 2) / (1 + 1 / 2), 0),
        ([1, 1, 2, 2], [1, 1, 1, 1], 2 * (1 / 2) / (1 / 2 + 1), 0),
        # parts 2/4, 1/4 and 1/4 of the foreground meet
        ([1, 1, 2, 2], [1, 1, 1, 2], 2 * (6 / 16) / (8 / 16 + 10 / 16), None),
        # what the prediction calls membrane is a cell of one pixel
        ([1, 1, 1, 1], [1, 0, 2, 2], 2 * (6 / 16) / (1 + 6 / 16), 0),
        ([1, 1, 1, 1], [0, 0, 0, 0], 2 * (4 / 16) / (1 + 4 / 16), 0),
        # what the truth calls membrane does not count
        ([1, 1, 0, 0, 2, 2], [1, 1, 1, 7, 2, 2], 1, 1),
        # one cell found as one cell: no entropy, and nothing wrong
        ([1, 1, 1, 0], [3, 3, 3, 0], 1, 1),
    ],
)
def test_rand_and_information_worked_by_hand(truth, prediction, v_rand, v_info):
    scores = rand_and_information(np.array(prediction), np.array(truth))
    assert scores[0] == pytest.approx(v_rand)
    if v_info is None:  # in bits: 1 of the truth, 0.811 of the prediction, 1.5 of both
        h = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
        v_info = 2 * (1 + h - 1.5) / (1 + h)
    assert scores[1] == pytest.approx(v_info)


def test_rand_counts_pairs_of_pixels():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 4, (2, 60))
    is_cell = truth > 0
    t, p = truth[is_cell], alone(prediction[is_cell])
    same_t, same_p = t[:, None] == t, p[:, None] == p
    expected = 2 * (same_t & same_p).sum() / (same_t.sum() + same_p.sum())
    assert rand_and_information(prediction, truth)[0] == pytest.approx(expected)


def test_rand_agrees_with_scikit_image_where_pixels_are_many():
    truth, prediction = ndimage.label(tissue(0))[0], ndimage.label(tissue(1))[0] + 1
    # it leaves out the pairs of a pixel with itself, which matters ever less
    larger = np.ones((12, 12), int)
    error, *_ = adapted_rand_error(np.kron(truth, larger), np.kron(prediction, larger))
    assert rand_and_information(prediction, truth)[0] == pytest.approx(
        1 - error, abs=1e-4
    )


def test_information_agrees_with_scikit_image():
    truth, prediction = ndimage.label(tissue(0))[0], ndimage.label(tissue(1))[0]
    is_cell = truth > 0
    t, p = truth[is_cell], alone(prediction)[is_cell]
    nothing = np.zeros_like(t)
    entropies = [variation_of_information(nothing, x).sum() for x in (t, p)]
    expected = 1 - variation_of_information(t, p).sum() / sum(entropies)
    v_info = rand_and_information(prediction, truth)[1]
    assert 0.1 < v_info < 0.9
    assert v_info == pytest.approx(expected)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_membranes_become_one_pixel_wide(width):
    image = np.ones((5, 20), bool)
    image[:, 8 : 8 + width] = False
    thinned = thin_membrane(image)
    assert ((thinned == 0).sum(axis=1) == 1).all()
    line = (thinned == 0).argmax(axis=1)
    assert (abs(line - (7.5 + width / 2)) <= 0.5).all()
    assert set(thinned[:, 0]) == {1}
    assert set(thinned[:, -1]) == {2}


def test_membranes_that_part_nothing_vanish():
    image = cells("oooo", "o  o", "oooo", "oo  ")
    assert (thin_membrane(image) == 1).all()
    assert (thin_membrane(np.zeros((3, 4), bool)) == 1).all()


def test_cells_that_touch_at_a_corner_are_two():
    thinned = thin_membrane(cells("oo  ", "oo  ", "  oo", "  oo"))
    assert thinned[0, 0] != thinned[3, 3]


def test_the_width_of_a_predicted_membrane_changes_neither_score():
    truth = tissue(0)
    wide = ndimage.binary_erosion(truth, border_value=1)
    assert np.count_nonzero(truth != wide) > 200
    assert ndimage.label(wide)[1] == ndimage.label(truth)[1]
    scores = evaluate_em(wide.astype(int), truth.astype(int))
    assert scores["v_rand"] > 0.98
    assert scores["v_info"] > 0.98
    assert scores["warping_error"] < 0.002 < scores["pixel_error"]


def test_perfect():
    truth = tissue(3).astype(np.uint8) * 255
    assert evaluate_em(truth, truth) == {
        "v_rand": pytest.approx(1),
        "v_info": pytest.approx(1),
        "warping_error": 0,
        "pixel_error": 0,
        "foreground_iou": 1,
        "membrane_iou": 1,
        "membrane": 0,
    }


def test_a_missing_membrane_worked_by_hand():
    truth = cells("oo oo", "oo oo", "oo oo").astype(int)
    prediction = truth.copy()
    prediction[1, 2] = 1
    # the gap joins both cells: of 12 pixels all are one, of the truth 6 and 6
    assert evaluate_em(prediction, truth) == {
        "v_rand": pytest.approx(2 / 3),
        "v_info": 0,
        "warping_error": pytest.approx(1 / 15),
        "pixel_error": pytest.approx(1 / 15),
        "foreground_iou": pytest.approx(12 / 13),
        "membrane_iou": pytest.approx(2 / 3),
        "membrane": 0,
    }


def test_which_value_is_the_membrane():
    truth, prediction = tissue(0), tissue(1)
    expected = evaluate_em(prediction.astype(int), truth.astype(int))
    expected.pop("membrane")
    other = evaluate_em(2 - prediction, 2 - truth, membrane=2)
    assert other.pop("membrane") == 2
    assert other == expected
    wrong = evaluate_em(2 - prediction, 2 - truth)
    assert wrong.pop("membrane") == 1
    assert wrong["foreground_iou"] == expected["membrane_iou"]
    assert wrong["v_rand"] != expected["v_rand"]


def test_planes_are_scored_each_and_averaged():
    truth, prediction = np.array([tissue(0), tissue(1)]), np.array([tissue(2)] * 2)
    pairs = list(zip(prediction.astype(int), truth.astype(int), strict=True))
    single = [evaluate_em(*pair) for pair in pairs]
    scores = evaluate_em(prediction.astype(int), truth.astype(int))
    assert scores == {
        key: pytest.approx((single[0][key] + single[1][key]) / 2) for key in scores
    }


def test_images_without_a_cell_or_without_a_membrane():
    one, none = np.ones((4, 5), int), np.zeros((4, 5), int)
    missed = evaluate_em(none, one)
    # no membrane is thinned to one region, and that is what is there
    assert (missed["v_rand"], missed["v_info"]) == (1, 1)
    assert (missed["pixel_error"], missed["foreground_iou"]) == (1, 0)
    assert missed["warping_error"] == 1 / 20
    no_cell = evaluate_em(one, none)
    assert math.isnan(no_cell["v_rand"])
    assert math.isnan(no_cell["v_info"])
    both = evaluate_em(one, one, membrane=0)
    assert both["v_rand"] == both["foreground_iou"] == 1
    assert math.isnan(both["membrane_iou"])


def test_scores_are_plain_json():
    scores = evaluate_em(tissue(0).astype(np.uint8), tissue(1).astype(np.int32))
    assert json.loads(json.dumps(scores)) == scores


@pytest.mark.parametrize(
    ("prediction", "truth", "options", "sentence"),
    [
        (np.eye(3), np.eye(3, dtype=int), {}, "float64"),
        (np.eye(3, dtype=int), np.eye(4, dtype=int), {}, r"\(3, 3\) and \(4, 4\)"),
        (np.eye(3, dtype=int), np.eye(3, dtype=int) * 9, {}, "the values 0, 1, 9;"),
        (np.ones((3, 3), int), np.ones((3, 3), int), {}, "the values 1;"),
        (np.eye(3, dtype=int), np.eye(3, dtype=int), {"membrane": 5}, "0, 1 beside 5"),
        (np.arange(9), np.arange(9), {}, "planes"),
        (np.arange(9).reshape(3, 3), np.eye(3, dtype=int), {}, r"0, 1, 2, 3, 4, \.\."),
    ],
)
def test_what_holds_no_membranes_is_refused(prediction, truth, options, sentence):
    with pytest.raises(ImageError, match=sentence):
        evaluate_em(prediction, truth, **options)
