"""Laws of scores of objects and of membranes."""

import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_unet.core.metrics import (
    IOU_THRESHOLDS,
    evaluate_em,
    evaluate_instances,
    n_matches,
    overlaps,
    rand_and_information,
    thin_membrane,
    warp,
)

# a busy machine is no failure
unhurried = settings(deadline=None)

SHARES = ("seg", "pq", "sq", "rq", "ap50", "map", "f1_50", "aji")
EIGHT = np.ones((3, 3), int)


@st.composite
def labels(draw, n_images=2, n_labels=4):
    """Label images of one shape, some of whose pixels are the same."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=7))
    values = st.integers(0, n_labels)
    images = [draw(hnp.arrays(np.uint8, shape, elements=values))]
    for _ in range(n_images - 1):
        other = draw(hnp.arrays(np.uint8, shape, elements=values))
        is_same = draw(hnp.arrays(bool, shape))
        images.append(np.where(is_same, images[0], other))
    return images


@st.composite
def planes(draw, n_images=2):
    """Binary images of one shape: cells and membranes."""
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
    return [draw(hnp.arrays(bool, shape)) for _ in range(n_images)]


def flattened(scores):
    """Return the scores without the dict in them, NaN as None, so that they compare."""
    flat = scores | {f"ap{t}": ap for t, ap in scores.get("ap", {}).items()}
    flat.pop("ap", None)
    return {k: None if math.isnan(v) else round(v, 12) for k, v in flat.items()}


def renumbered(image, draw):
    """Return other numbers for the same objects."""
    numbers = draw(st.permutations(range(1, 10)))
    return np.array([0, *numbers])[image] * 7


@given(labels())
@unhurried
def test_scores_lie_between_nothing_and_perfect(images):
    scores = evaluate_instances(*images)
    assert all(math.isnan(scores[k]) or 0 <= scores[k] <= 1 for k in SHARES)
    ap = list(scores["ap"].values())
    assert math.isnan(ap[0]) or ap == sorted(ap, reverse=True)


@given(labels(n_images=1), st.data())
@unhurried
def test_the_same_objects_are_perfect_whatever_their_numbers(images, data):
    (truth,) = images
    assume(truth.any())
    scores = evaluate_instances(renumbered(truth, data.draw), truth)
    assert all(scores[key] == 1 for key in SHARES)
    assert set(scores["ap"].values()) == {1}


@given(labels(), st.data())
@unhurried
def test_numbers_do_not_matter(images, data):
    prediction, truth = images
    expected = flattened(evaluate_instances(prediction, truth))
    other = renumbered(prediction, data.draw), renumbered(truth, data.draw)
    assert flattened(evaluate_instances(*other)) == expected


@given(labels())
@unhurried
def test_what_counts_pairs_is_symmetric(images):
    scores = flattened(evaluate_instances(*images))
    swapped = flattened(evaluate_instances(*images[::-1]))
    ap = tuple(f"ap{t}" for t in IOU_THRESHOLDS)
    for key in ("pq", "sq", "rq", "map", "f1_50", *ap):
        assert scores[key] == swapped[key]
    assert scores["n_true"] == swapped["n_predicted"]


@given(labels(n_images=1))
@unhurried
def test_a_split_object_costs_something_everywhere(images):
    (truth,) = images
    pixels = np.flatnonzero(truth == truth.max())
    assume(truth.any() and len(pixels) > 1)
    prediction = truth.copy()
    prediction.flat[pixels[: len(pixels) // 2]] = 9
    scores = evaluate_instances(prediction, truth)
    for key in ("seg", "pq", "rq", "ap50", "map", "f1_50", "aji"):
        assert scores[key] < 1
    assert scores["n_predicted"] == scores["n_true"] + 1


@given(labels(n_labels=6))
@unhurried
def test_fewer_match_where_more_is_asked(images):
    table = overlaps(*images)
    counts = [n_matches(table, threshold) for threshold in (0.01, 0.2, 0.5, 0.51, 1)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] <= min(table.n_true, table.n_predicted)
    assert table.shared_px.sum() == np.count_nonzero(
        images[0].astype(bool) & (images[1] > 0)
    )


@given(labels(), st.data())
@unhurried
def test_rand_and_information_are_bounded_and_know_no_numbers(images, data):
    prediction, truth = images
    scores = rand_and_information(prediction, truth)
    assume(truth.any())
    assert all(0 <= score <= 1 for score in scores)
    other = renumbered(prediction, data.draw), renumbered(truth, data.draw)
    np.testing.assert_allclose(rand_and_information(*other), scores, atol=1e-9)
    np.testing.assert_allclose(rand_and_information(truth, truth), 1)


@given(labels())
@unhurried
def test_rand_and_information_are_symmetric_without_membrane(images):
    one, other = (image + 1 for image in images)
    np.testing.assert_allclose(
        rand_and_information(one, other), rand_and_information(other, one), atol=1e-9
    )


@given(planes(n_images=1))
@unhurried
def test_thinning_keeps_every_cell(images):
    (cells,) = images
    assume(cells.any())
    before, n_cells = ndimage.label(cells)
    thinned = thin_membrane(cells)
    assert set(np.unique(thinned[cells])) == set(range(1, n_cells + 1))
    np.testing.assert_array_equal(thinned[cells], before[cells])
    # a line parts: no two cells share an edge
    for axis in (0, 1):
        a, b = np.delete(thinned, 0, axis), np.delete(thinned, -1, axis)
        assert ((a == b) | (a == 0) | (b == 0)).all()


def is_simple(image, y, x):
    """Whether the neighbours hold one cell and one membrane that touch the pixel."""
    around = np.pad(image, 1)[y : y + 3, x : x + 3].copy()
    around[1, 1] = False
    numbers, _ = ndimage.label(around)
    n_cells = len(set(numbers[[0, 1, 1, 2], [1, 0, 2, 1]]) - {0})
    around = ~around
    around[1, 1] = False
    return n_cells == 1 and ndimage.label(around, EIGHT)[1] == 1


@given(planes())
@unhurried
def test_warping_keeps_topology_and_stops_late(images):
    source, target = images
    warped = warp(source, target)
    for image in (source, warped):
        assert ndimage.label(image)[1] == ndimage.label(source)[1]
        outside = [
            ndimage.label(np.pad(~i, 1, constant_values=True), EIGHT)[1]
            for i in (image, source)
        ]
        assert outside[0] == outside[1]
    # what agreed stays, and no flip is left that would keep the topology
    assert (warped == source)[source == target].all()
    assert not any(is_simple(warped, *place) for place in np.argwhere(warped != target))


@given(planes())
@unhurried
def test_scores_of_membranes_are_bounded(images):
    prediction, truth = (image.astype(int) for image in images)
    scores = evaluate_em(prediction, truth, membrane=0)
    assert all(math.isnan(score) or 0 <= score <= 1 for score in scores.values())
    assert scores["warping_error"] <= scores["pixel_error"]
    assert (scores["pixel_error"] == 0) == np.array_equal(prediction, truth)


@given(planes(n_images=1))
@unhurried
def test_the_same_membranes_are_perfect(images):
    truth = images[0].astype(int)
    scores = evaluate_em(truth, truth, membrane=0)
    assert scores["warping_error"] == scores["pixel_error"] == 0
    if truth.any():
        np.testing.assert_allclose([scores["v_rand"], scores["v_info"]], 1)
