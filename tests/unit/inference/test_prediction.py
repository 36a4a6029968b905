"""Of a model that knows the border between objects, users see two classes."""

import numpy as np
import pytest

from napari_unet.annotation.objects import BACKGROUND, BORDER, INSIDE
from napari_unet.inference.prediction import Prediction, merge_border


def _probabilities(n_classes, shape=(5, 6)):
    raw = np.random.default_rng(n_classes).random((n_classes, *shape), np.float32)
    return raw / raw.sum(axis=0)


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((BACKGROUND, INSIDE, BORDER), (1, 2)),
        ((BACKGROUND, BORDER), (1, 2)),
        ((INSIDE, BORDER), (2,)),
    ],
)
def test_the_border_is_a_part_of_the_objects(values, shown):
    found = merge_border(_probabilities(len(values)), values)
    assert found.values == shown
    assert found.probabilities.shape == (len(shown), 5, 6)
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, rtol=1e-5)
    assert (found.border > 0).all()
    assert (found.border <= found.probabilities[-1] + 1e-6).all()
    assert set(np.unique(found.labels)) <= set(shown)


def test_without_a_border_nothing_changes():
    probabilities = _probabilities(2)
    found = merge_border(probabilities, (BACKGROUND, INSIDE))
    assert found.border is None
    np.testing.assert_array_equal(found.probabilities, probabilities)


def test_where_nothing_is_known_half_is_background():
    found = merge_border(np.full((3, 1), 1 / 3, np.float32), (1, 2, 3))
    np.testing.assert_allclose(found.probabilities[:, 0], 0.5, rtol=1e-6)
    assert found.border[0] < 0.25  # border is rare, and none without a sign of it


def test_labels_are_the_first_of_the_likeliest():
    found = Prediction((1, 300), np.array([[0.5, 0.4], [0.5, 0.6]], np.float32))
    np.testing.assert_array_equal(found.labels, [1, 300])
    assert found.labels.dtype == np.uint16
