import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from napari_unet.config import InstantConfig
from napari_unet.errors import CheckpointError
from napari_unet.learning.forest import Forest

CONFIG = InstantConfig(n_trees=7, tree_depth=6)


def _data(n=120, n_features=5, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, n_features)).astype(np.float32)
    targets = (features[:, 0] > 0) + (features[:, 1] > 0.5).astype(int)
    return features, targets % n_classes, rng.random(n).astype(np.float32)


@pytest.fixture
def forest():
    features, targets, weights = _data()
    return Forest.fit(features, targets, 3, weights, CONFIG, seed=4)


def test_it_predicts_as_scikit_learn_does(forest):
    features, targets, weights = _data()
    model = RandomForestClassifier(n_estimators=7, max_depth=6, random_state=4)
    model.fit(features, targets, sample_weight=weights)
    new = _data(seed=9)[0]
    np.testing.assert_allclose(
        forest.probabilities(new), model.predict_proba(new), atol=1e-6
    )


def test_probabilities_sum_to_one(forest):
    probabilities = forest.probabilities(_data(seed=5)[0])
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_features_in_any_memory_order(forest):
    new = _data(seed=9)[0]
    np.testing.assert_array_equal(
        forest.probabilities(np.asfortranarray(new)), forest.probabilities(new)
    )
    np.testing.assert_array_equal(
        forest.probabilities(new.astype(np.float64)), forest.probabilities(new)
    )


def test_a_class_without_samples_has_a_column_of_zeros():
    features, targets, weights = _data()
    kept = targets != 1
    forest = Forest.fit(features[kept], targets[kept], 3, weights[kept], CONFIG, 0)
    probabilities = forest.probabilities(features)
    assert probabilities.shape == (120, 3)
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_constant_features_give_the_share_of_the_classes():
    targets = np.array([0] * 30 + [1] * 10)
    ones = np.ones(40, np.float32)
    forest = Forest.fit(np.ones((40, 3), np.float32), targets, 2, ones, CONFIG, 0)
    mean = forest.probabilities(np.ones((1, 3), np.float32))[0]
    np.testing.assert_allclose(mean, [0.75, 0.25], atol=0.15)


def test_features_of_another_image_are_refused(forest):
    """The bare trees do not look: they would read beyond the array."""
    with pytest.raises(ValueError, match="5 features"):
        forest.probabilities(np.zeros((4, 3), np.float32))


# -- arrays -------------------------------------------------------------------------


def test_arrays_make_the_same_forest(forest):
    arrays = forest.to_arrays()
    assert all(a.dtype.kind in "if" and not a.dtype.hasobject for a in arrays.values())
    again = Forest.from_arrays({name: a.copy() for name, a in arrays.items()})
    new = _data(seed=9)[0]
    np.testing.assert_array_equal(again.probabilities(new), forest.probabilities(new))
    assert (again.n_features, again.n_classes) == (5, 3)
    for name, array in again.to_arrays().items():
        np.testing.assert_array_equal(array, arrays[name])


def _broken(arrays, name, change):
    changed = {key: array.copy() for key, array in arrays.items()}
    changed[name] = change(changed[name])
    return changed


def _set(index, value):
    def change(array):
        array[index] = value
        return array

    return change


HOSTILE = [
    ("left_child", _set(0, 0)),  # a loop
    ("left_child", _set(0, 10**6)),  # beyond the tree
    ("left_child", _set(0, -7)),
    ("left_child", _set(0, -1)),  # a leaf on one side only
    ("right_child", _set(2, 0)),  # back to the root, or a leaf with a child
    ("right_child", _set(0, 2**31)),
    ("feature", _set(0, 5)),  # beyond the features
    ("feature", _set(0, -2)),
    ("feature", lambda a: a.astype(np.float64)),
    ("left_child", lambda a: a.astype(np.float32)),
    ("left_child", lambda a: a[:-1]),
    ("threshold", lambda a: a[:-1]),
    ("threshold", lambda a: a.astype(int)),
    ("values", lambda a: a[:, :-1]),
    ("values", lambda a: a[:-1]),
    ("values", lambda a: a.ravel()),
    ("values", _set((0, 0), np.nan)),
    ("values", _set((0, 0), np.inf)),
    ("values", _set((0, 0), -0.5)),
    ("values", _set((0, 0), 1e300)),
    ("counts", lambda a: a[:0]),
    ("counts", _set(0, -1)),
    ("counts", _set(0, 0)),
    ("counts", _set(0, 10**12)),
    ("counts", lambda a: a + 1),
    ("counts", lambda a: a[::-1].copy() if a[0] != a[-1] else a[:-1]),
    ("counts", lambda a: a.astype(float) * np.inf),
    ("counts", lambda a: a.astype(float) * np.nan),
    ("counts", lambda a: a[:, None].repeat(2, 1)),
    ("counts", lambda a: np.int64(3)),
    ("meta", lambda a: a[:1]),
    ("meta", lambda a: np.array([5, 3, 1])),
    ("meta", _set(0, 0)),
    ("meta", _set(0, -5)),
    ("meta", _set(0, 1)),  # fewer features than the nodes ask for
    ("meta", _set(1, 0)),
    ("meta", _set(1, 4)),
    ("meta", _set(1, 10**9)),
    ("meta", lambda a: a * np.inf),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_arrays_are_refused(forest, number):
    name, change = HOSTILE[number]
    with pytest.raises(CheckpointError, match="damaged"):
        Forest.from_arrays(_broken(forest.to_arrays(), name, change))


@pytest.mark.parametrize(
    "name", ["left_child", "right_child", "feature", "threshold", "values", "counts"]
)
def test_missing_arrays_are_refused(forest, name):
    arrays = forest.to_arrays()
    del arrays[name]
    with pytest.raises(CheckpointError, match="damaged"):
        Forest.from_arrays(arrays)


def test_no_change_of_one_number_can_hang_or_crash(forest):
    """Whatever is not refused must give probabilities, soon."""
    rng = np.random.default_rng(0)
    arrays, new = forest.to_arrays(), _data(seed=9)[0]
    n_refused = 0
    for _ in range(300):
        name = rng.choice(["left_child", "right_child", "feature", "threshold"])
        index = rng.integers(len(arrays[name]))
        value = rng.choice([-(2**31), -3, -2, -1, 0, 1, 2, 5, 7, 100, 2**31 - 1])
        try:
            changed = Forest.from_arrays(_broken(arrays, name, _set(index, value)))
        except CheckpointError:
            n_refused += 1
            continue
        np.testing.assert_allclose(changed.probabilities(new).sum(1), 1, rtol=1e-5)
    assert n_refused > 50
