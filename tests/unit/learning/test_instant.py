import numpy as np
import pytest

from napari_unet.config import InstantConfig, UNetConfig
from napari_unet.core.head import HeadPrior, RidgeHead
from napari_unet.core.unet import UNet
from napari_unet.learning import instant
from napari_unet.learning.candidates import Network
from napari_unet.learning.instant import (
    HeadChoice,
    cross_validate,
    first_choice,
    fit_head,
    held_out,
)
from napari_unet.learning.samples import Samples

CONFIG = InstantConfig(n_trees=5)
NETWORK = Network(None, 1, 1)  # only its prior is asked for, and it has none


def _samples(strokes, values=(1, 2)):
    """Make samples of strokes ``(target, fold, n_px)``."""
    targets = np.repeat([t for t, _, _ in strokes], [n for _, _, n in strokes])
    numbers = np.repeat(np.arange(len(strokes)), [n for _, _, n in strokes])
    folds = np.array([fold for _, fold, _ in strokes])[numbers]
    return Samples(
        values=values,
        targets=targets,
        strokes=numbers,
        bundles=numbers,
        folds=folds,
        weights=np.ones(len(targets), np.float32),
        groups=(),
    )


def _validate(samples, features, config=CONFIG, seed=0):
    """Cross-validate with the same features (n, F) for head and forest."""
    features = np.asarray(features, np.float32)
    return cross_validate(samples, features, features, NETWORK, config, seed)


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
    samples = _samples(strokes)
    validation = _validate(samples, _pattern(strokes))
    assert validation.mask.all()
    for probabilities in (validation.head, validation.forest):
        right = probabilities.argmax(1) == samples.targets
        assert 0.2 < right.mean() < 0.8  # chance


def test_what_can_be_told_is_told():
    strokes = [(i % 2, (i // 2) % 2, 10) for i in range(8)]
    features = np.repeat([t for t, _, _ in strokes], 10)[:, None] + np.zeros((80, 2))
    validation = _validate(_samples(strokes), features)
    for probabilities in (validation.head, validation.forest):
        assert (probabilities.argmax(1) == features[:, 0]).all()


def test_a_class_with_all_strokes_in_one_fold_is_trained_on_but_not_scored():
    strokes = [(0, 0, 5), (0, 1, 5), (1, 1, 5), (1, 1, 5)]
    samples = _samples(strokes)
    validation = _validate(samples, _pattern(strokes))
    np.testing.assert_array_equal(validation.mask, samples.targets == 0)
    # it was known to the fits: none of them gives a certain answer
    assert (validation.head[validation.mask][:, 1] > 0).all()


def test_with_single_strokes_nothing_is_held_out():
    strokes = [(0, 1, 5), (1, 1, 5)]
    validation = _validate(_samples(strokes), _pattern(strokes))
    assert not validation.mask.any()
    assert validation.choice == HeadChoice(CONFIG.ridge_factors[0], 1)


def test_held_out_strokes_choose_the_strength():
    strokes = [(i % 2, (i // 2) % 4, 5) for i in range(32)]
    noise = _pattern(strokes, n_features=60)
    signal = np.repeat([t for t, _, _ in strokes], 5)[:, None]
    config = InstantConfig(n_trees=1, ridge_factors=(1e-5, 300.0))
    noisy = _validate(_samples(strokes), noise, config)
    assert noisy.choice.factor == 300  # what tells nothing is held down
    clear = _validate(_samples(strokes), signal, config)
    assert clear.choice.factor == 1e-5


def test_thinning_for_the_forest_leaves_every_stroke_something(monkeypatch):
    monkeypatch.setattr(instant, "_MAX_FOREST_PX", 20)
    strokes = [(t, f, 1 if t else 150) for f in (0, 1) for t in (0, 1, 0)]
    features = np.repeat([t for t, _, _ in strokes], [n for _, _, n in strokes])
    samples = _samples(strokes)
    validation = _validate(samples, features[:, None])
    # the one pixel that is left of class 2 was in the forest
    assert (validation.forest[samples.targets == 1, 1] > 0).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides(seed):
    strokes = [(i % 2, (i // 2) % 2, 10) for i in range(8)]
    samples, features = _samples(strokes), _pattern(strokes)
    first, again = (_validate(samples, features, seed=seed) for _ in range(2))
    np.testing.assert_array_equal(first.forest, again.forest)


# -- the head ------------------------------------------------------------------------


def _pretrained():
    """A network of one level with three channels, and what is known of its head."""
    prior = HeadPrior(
        scales=np.linspace(0.2, 2, 7).astype(np.float32),
        sizes=(4, 3),
        n_levels=1,
        strength=(-2.0, -0.5),
        temperature=(1.5, 0.2),
    )
    unet = UNet(UNetConfig(base_channels=4, depth=1, in_channels=3))
    return Network(unet, 1, 1, prior)


@pytest.mark.parametrize("factor", [1.0, 10.0])
@pytest.mark.parametrize("n_strokes", [2, 6])
def test_the_prior_says_how_to_fit_to_so_many_strokes(factor, n_strokes):
    network = _pretrained()
    strokes = [(i % 2, 0, 4) for i in range(8)]
    samples, features = _samples(strokes), _pattern(strokes, n_features=7)
    features = features.astype(np.float32)
    rows = samples.strokes < n_strokes
    head = fit_head(samples, features, network, HeadChoice(factor, 1), rows)
    strength = np.exp(-2) * n_strokes**-0.5 * factor
    expected = RidgeHead.fit(
        features[rows],
        samples.targets[rows],
        2,
        samples.weights[rows],
        strength,
        np.exp(1.5) * n_strokes**0.2,
        network.prior.scales,
    )
    np.testing.assert_allclose(head.weights, expected.weights, rtol=1e-4, atol=1e-6)
    assert head.temperature == pytest.approx(expected.temperature)


def test_without_a_prior_the_factor_is_all_that_changes():
    strokes = [(i % 2, 0, 4) for i in range(8)]
    samples, features = _samples(strokes), _pattern(strokes).astype(np.float32)
    loose, firm = (
        fit_head(samples, features, NETWORK, HeadChoice(f, 1)) for f in (0.1, 10.0)
    )
    assert loose.temperature == firm.temperature
    assert np.abs(firm.weights).sum() < np.abs(loose.weights).sum()


# -- scales --------------------------------------------------------------------------


def _at_scales(n_scales):
    """A network of one level with four features a scale, and one channel."""
    prior = HeadPrior(
        scales=np.full(4 + 4 + 3, 0.5, np.float32),
        sizes=(4, 4, 3),
        n_levels=1,
        strength=(-3.0, 0.0),
        temperature=(1.5, 0.0),
    )
    unet = UNet(UNetConfig(base_channels=4, depth=1))
    return Network(unet, 1, n_scales, prior)


def _choose(network, tells, config=CONFIG):
    """Cross-validate where only some features tell the classes apart."""
    strokes = [(i % 2, (i // 2) % 4, 5) for i in range(32)]
    features = 0.5 * _pattern(strokes, n_features=network.n_features)
    classes = np.repeat([t for t, _, _ in strokes], 5)
    features[:, tells] = 2.0 * classes[:, None]
    features = features.astype(np.float32)
    samples = _samples(strokes)
    return cross_validate(samples, features, features[:, :1], network, config, 0)


@pytest.mark.parametrize(
    ("losses", "choice"),
    [
        # of the usual strength and two others
        ([1.0, 0.96, 1.0], HeadChoice(1.0, 2)),  # not clearly less
        ([1.0, 0.94, 1.0], HeadChoice(0.1, 2)),
        ([1.0, 0.94, 0.90], HeadChoice(0.1, 2)),  # not clearly less than the second
        ([1.0, 0.94, 0.88], HeadChoice(10.0, 2)),
        ([1.0, 1.20, 0.96], HeadChoice(1.0, 2)),
    ],
)
def test_another_head_is_chosen_only_where_it_is_clearly_surer(
    monkeypatch, losses, choice
):
    given = iter(losses)
    monkeypatch.setattr(instant, "log_loss", lambda *args: next(given))
    config = InstantConfig(n_trees=1, ridge_factors=(1.0, 0.1, 10.0))
    validation = _choose(_at_scales(3), slice(0, 4), config)
    assert validation.choice == choice
    assert next(given, None) is None
    # its probabilities are those of the head that was chosen
    only = InstantConfig(
        n_trees=1, ridge_factors=(choice.factor,), n_scales=choice.n_scales
    )
    monkeypatch.setattr(instant, "log_loss", lambda *args: 1.0)
    again = _choose(_at_scales(3), slice(0, 4), only)
    np.testing.assert_array_equal(validation.head, again.head)


@pytest.mark.parametrize("n_scales", [1, 2, 3])
def test_as_many_scales_as_are_set(n_scales):
    """Whatever the held-out strokes say; two where none are set."""
    for tells in (slice(8, 12), slice(0, 4)):
        for given, expected in ((n_scales, n_scales), (None, 2)):
            config = InstantConfig(n_trees=1, n_scales=given)
            chosen = _choose(_at_scales(3), tells, config).choice
            assert chosen.n_scales == expected


@pytest.mark.parametrize(
    ("n_there", "n_set", "expected"),
    [(3, None, 2), (2, None, 2), (1, None, 1), (3, 3, 3), (3, 1, 1)],
)
def test_what_to_begin_with(n_there, n_set, expected):
    config = InstantConfig(ridge_factors=(0.5, 3.0), n_scales=n_set)
    assert first_choice(_at_scales(n_there), config) == HeadChoice(0.5, expected)


def test_of_one_scale_there_is_nothing_to_choose():
    assert _choose(_at_scales(1), slice(0, 4)).choice.n_scales == 1


def test_a_head_does_not_see_what_it_is_not_to_see():
    network = _at_scales(3)
    strokes = [(i % 2, 0, 4) for i in range(8)]
    samples = _samples(strokes)
    features = _pattern(strokes, n_features=13).astype(np.float32)
    head = fit_head(samples, features, network, HeadChoice(1.0, 2))
    columns = network.columns(2)
    assert (head.weights[~columns] == 0).all()
    assert (head.weights[columns] != 0).all()
    alone = fit_head(
        samples, features[:, columns], network.at_scales(2), HeadChoice(1.0, 2)
    )
    np.testing.assert_allclose(head.weights[columns], alone.weights, atol=1e-5)


# -- what is held out ----------------------------------------------------------------


def test_a_class_is_held_out_only_where_it_is_elsewhere_too():
    samples = _samples([(0, 0, 2), (0, 1, 2), (1, 1, 3)])
    assert held_out(samples, 0).sum() == 2
    np.testing.assert_array_equal(held_out(samples, 1), samples.strokes == 1)
    assert not held_out(samples, 2).any()
