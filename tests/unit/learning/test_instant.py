import numpy as np
import pytest

from napari_unet.config import InstantConfig
from napari_unet.learning import instant
from napari_unet.learning.instant import cross_validate
from napari_unet.learning.samples import Samples

CONFIG = InstantConfig(n_trees=5)


def _samples(strokes, features, values=(1, 2)):
    """Make samples of strokes ``(target, fold, n_px)`` with features (n, F)."""
    targets = np.repeat([t for t, _, _ in strokes], [n for _, _, n in strokes])
    numbers = np.repeat(np.arange(len(strokes)), [n for _, _, n in strokes])
    folds = np.array([fold for _, fold, _ in strokes])[numbers]
    features = np.asarray(features, np.float32)
    return Samples(
        values=values,
        targets=targets,
        strokes=numbers,
        folds=folds,
        weights=np.ones(len(targets), np.float32),
        network=features,
        filters=features,
        groups=(),
    )


def _pattern(strokes, seed=0, n_features=20):
    """Make features that are alike within a stroke and tell nothing of its class."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(len(strokes), n_features))
    rows = [
        means[i] + rng.normal(0, 0.01, (n, n_features))
        for i, (_, _, n) in enumerate(strokes)
    ]
    return np.concatenate(rows)


def test_held_out_means_never_seen():
    """With pixels of one stroke on both sides, everything would be right."""
    strokes = [(i % 2, (i // 2) % 4, 20) for i in range(64)]
    samples = _samples(strokes, _pattern(strokes))
    validation = cross_validate(samples, CONFIG, 0)
    assert validation.mask.all()
    for probabilities in (validation.head, validation.forest):
        right = probabilities.argmax(1) == samples.targets
        assert 0.2 < right.mean() < 0.8  # chance


def test_what_can_be_told_is_told():
    strokes = [(i % 2, (i // 2) % 2, 10) for i in range(8)]
    features = np.repeat([t for t, _, _ in strokes], 10)[:, None] + np.zeros((80, 2))
    validation = cross_validate(_samples(strokes, features), CONFIG, 0)
    for probabilities in (validation.head, validation.forest):
        assert (probabilities.argmax(1) == features[:, 0]).all()


def test_a_class_with_all_strokes_in_one_fold_is_trained_on_but_not_scored():
    strokes = [(0, 0, 5), (0, 1, 5), (1, 1, 5), (1, 1, 5)]
    samples = _samples(strokes, _pattern(strokes))
    validation = cross_validate(samples, CONFIG, 0)
    np.testing.assert_array_equal(validation.mask, samples.targets == 0)
    # it was known to the fits: none of them gives a certain answer
    assert (validation.head[validation.mask][:, 1] > 0).all()


def test_with_single_strokes_nothing_is_held_out():
    strokes = [(0, 1, 5), (1, 1, 5)]
    validation = cross_validate(_samples(strokes, _pattern(strokes)), CONFIG, 0)
    assert not validation.mask.any()
    assert validation.strength in CONFIG.ridge_strengths


def test_held_out_strokes_choose_the_strength():
    strokes = [(i % 2, (i // 2) % 4, 5) for i in range(32)]
    noise = _pattern(strokes, n_features=60)
    signal = np.repeat([t for t, _, _ in strokes], 5)[:, None]
    config = InstantConfig(n_trees=1, ridge_strengths=(1e-6, 30.0))
    noisy = cross_validate(_samples(strokes, noise), config, 0)
    assert noisy.strength == 30  # what tells nothing is held down
    clear = cross_validate(_samples(strokes, signal), config, 0)
    assert clear.strength == 1e-6


def test_thinning_for_the_forest_leaves_every_stroke_something(monkeypatch):
    monkeypatch.setattr(instant, "_MAX_FOREST_PX", 20)
    strokes = [(t, f, 1 if t else 150) for f in (0, 1) for t in (0, 1, 0)]
    features = np.repeat([t for t, _, _ in strokes], [n for _, _, n in strokes])
    samples = _samples(strokes, features[:, None])
    validation = cross_validate(samples, CONFIG, 0)
    # the one pixel that is left of class 2 was in the forest
    assert (validation.forest[samples.targets == 1, 1] > 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides(seed):
    strokes = [(i % 2, (i // 2) % 2, 10) for i in range(8)]
    samples = _samples(strokes, _pattern(strokes))
    first, again = (cross_validate(samples, CONFIG, seed) for _ in range(2))
    np.testing.assert_array_equal(first.forest, again.forest)
