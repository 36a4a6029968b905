"""The border weights against the paper's equation 2, pixel by pixel."""

import numpy as np
import pytest

from napari_unet.annotation.border_weights import (
    border_weights,
    label_objects,
    weight_map,
)
from napari_unet.errors import AnnotationError


def _is_border(objects, place):
    """Whether a pixel has something else beside it, inside the image."""
    for axis in range(objects.ndim):
        for step in (-1, 1):
            beside = list(place)
            beside[axis] += step
            if (
                0 <= beside[axis] < objects.shape[axis]
                and objects[tuple(beside)] != objects[place]
            ):
                return True
    return False


def _by_the_equation(objects, w0, sigma, inside):
    """Equation 2's second term: every distance to every border pixel, one by one."""
    borders = {}
    for place, number in np.ndenumerate(objects):
        if number and _is_border(objects, place):
            borders.setdefault(int(number), []).append(place)
    result = np.zeros(objects.shape)
    for place, number in np.ndenumerate(objects):
        if len(borders) < 2 or (number and not inside):
            continue
        d1, d2, *_ = sorted(
            min(np.linalg.norm(np.subtract(place, at)) for at in border)
            for border in borders.values()
        )
        result[place] = w0 * np.exp(-((d1 + d2) ** 2) / (2 * sigma**2))
    return result


def _scatter(shape, n, seed=0):
    """Return boxes of random sizes and places, each with a number of its own."""
    rng = np.random.default_rng(seed)
    objects = np.zeros(shape, np.int32)
    for number in range(1, n + 1):
        corner = [rng.integers(0, side - 2) for side in shape]
        box = tuple(slice(at, at + rng.integers(2, 6)) for at in corner)
        objects[box] = 7 * number  # numbers need not follow each other
    return objects


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("shape", "n", "sigma"),
    [((20, 24), 2, 5.0), ((24, 20), 6, 2.0), ((16, 16), 12, 1.5), ((6, 9, 8), 4, 2.0)],
)
def test_it_is_equation_2(shape, n, sigma, inside):
    objects = _scatter(shape, n)
    assert len(np.unique(objects)) > 2
    found = border_weights(objects, 10, sigma, inside=inside)
    expected = _by_the_equation(objects, 10, sigma, inside)
    assert found.dtype == np.float32
    assert found.max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gap", [1, 2, 4, 9])
def test_a_gap_between_two_walls_by_hand(gap):
    objects = np.zeros((5, 20 + gap), np.uint8)
    objects[:, :10], objects[:, 10 + gap :] = 1, 2
    weights = border_weights(objects, w0=10, sigma_px=5)
    # anywhere in a gap of g px the two distances add up to g + 1
    expected = 10 * np.exp(-((gap + 1) ** 2) / 50)
    np.testing.assert_allclose(weights[:, 10 : 10 + gap], expected, rtol=1e-6)
    assert (weights[objects > 0] == 0).all()


def test_inside_objects_the_distance_is_to_their_own_border():
    objects = np.zeros((5, 22), np.uint8)
    objects[:, :10], objects[:, 12:] = 1, 2
    weights = border_weights(objects, w0=10, sigma_px=5, inside=True)
    # 4 px from the border at column 9 and 7 from that at 12; the edge is no border
    assert weights[2, 5] == pytest.approx(10 * np.exp(-(11**2) / 50), rel=1e-6)
    assert weights[2, 9] == pytest.approx(10 * np.exp(-(3**2) / 50), rel=1e-6)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_objects_have_no_gap(n, inside):
    objects = np.zeros((30, 30), np.int64)
    objects[5:9, 5:9] = n
    assert (border_weights(objects, inside=inside) == 0).all()
    assert (border_weights(np.full((4, 4), n), inside=inside) == 0).all()


def test_one_object_in_two_pieces_has_no_gap_between_them():
    objects = np.zeros((9, 9), int)
    objects[:, :3] = objects[:, 5:] = 4
    assert (border_weights(objects) == 0).all()


def test_numbers_may_be_large():
    objects = _scatter((20, 24), 5).astype(np.int64)
    large = np.where(objects > 0, objects + 10**12, 0)
    np.testing.assert_array_equal(border_weights(large), border_weights(objects))


def test_no_weight_is_beyond_w0_and_none_is_far_from_a_gap():
    objects = np.zeros((200, 200), np.uint8)
    objects[80:90, 80:90], objects[80:90, 92:99] = 1, 2
    weights = border_weights(objects, w0=3, sigma_px=5)
    assert 0 < weights.max() <= 3
    assert (weights[:50] == 0).all()
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("objects", "w0", "sigma", "words"),
    [
        (np.zeros((4, 4)), 10, 5, "dtype float64"),
        (np.zeros(4, int), 10, 5, r"shape \(4,\)"),
        (np.full((4, 4), -2), 10, 5, "number -2"),
        (np.zeros((4, 4), int), -1, 5, "w0 is -1"),
        (np.zeros((4, 4), int), 10, 0, "sigma is 0"),
        (np.zeros((4, 4), int), 10, float("nan"), "sigma is nan"),
    ],
)
def test_what_cannot_be_is_refused(objects, w0, sigma, words):
    with pytest.raises(AnnotationError, match=words):
        border_weights(objects, w0, sigma)


# -- objects of an annotation that has only classes ------------------------------------


def test_objects_are_the_parts_of_each_class_but_the_background():
    annotation = np.array(
        [
            [2, 2, 1, 3, 0],
            [1, 1, 1, 3, 2],
            [0, 2, 1, 1, 1],
            [0, 1, 2, 0, 3],
        ]
    )
    objects = label_objects(annotation)
    assert objects.dtype == np.int32
    assert ((objects > 0) == (annotation > 1)).all()
    groups = [
        {tuple(at) for at in np.argwhere(objects == number).tolist()}
        for number in range(1, objects.max() + 1)
    ]
    expected = [
        {(0, 0), (0, 1)},
        {(1, 4)},
        {(2, 1), (3, 2)},  # a slanting stroke is one
        {(0, 3), (1, 3)},
        {(3, 4)},
    ]
    assert sorted(map(sorted, groups)) == sorted(map(sorted, expected))


def test_an_annotation_without_objects_has_none():
    assert (label_objects(np.array([[0, 1], [1, 1]])) == 0).all()
    volume = np.zeros((3, 4, 5), np.uint8)
    volume[0, 0, 0] = volume[1, 1, 1] = 2
    volume[2, 3, 4] = 2
    assert label_objects(volume).max() == 2


# -- the whole of equation 2 -----------------------------------------------------------


def test_the_weight_map_by_hand():
    # 12 pixels, 8 of background and 3 of class 2: w_c is 11 / (2 * 8) and 11 / (2 * 3)
    annotation = np.array([[2, 1, 1, 2, 2, 1], [1, 1, 1, 1, 1, 0]])
    weights = weight_map(annotation, w0=10, sigma_px=5)
    ground, cell = 11 / 16, 11 / 6
    assert weights.dtype == np.float32
    gap = 10 * np.exp(-(3**2) / 50)  # two pixels between the two objects
    np.testing.assert_allclose(
        weights[0, :5], [cell, ground + gap, ground + gap, cell, cell], rtol=1e-6
    )
    below = 1 + np.hypot(1, 3)  # from the first column of the second row
    assert weights[1, 0] == pytest.approx(
        ground + 10 * np.exp(-(below**2) / 50), rel=1e-6
    )
    assert weights[1, 5] == 0  # nobody painted it


def test_given_objects_may_touch_what_classes_cannot_tell():
    annotation = np.full((6, 12), 2, np.uint8)
    annotation[:, 5] = 1
    annotation[0, 5] = 2  # a bridge: one object by its class
    of_class = 72 / (2 * 5)
    assert weight_map(annotation)[1:, 5] == pytest.approx(of_class)
    objects = np.zeros((6, 12), int)
    objects[:, :5], objects[:, 6:] = 1, 2
    gap = 10 * np.exp(-(2**2) / 50)
    assert weight_map(annotation, objects)[1:, 5] == pytest.approx(of_class + gap)
    with pytest.raises(AnnotationError, match="do not fit"):
        weight_map(annotation, objects[:, :4])


def test_nothing_painted_weighs_nothing():
    assert (weight_map(np.zeros((5, 5), np.uint8)) == 0).all()
