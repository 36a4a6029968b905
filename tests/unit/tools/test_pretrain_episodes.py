"""What pretraining learns from: invented images, strokes on them, and their truth."""

import numpy as np
import pytest

from napari_unet.annotation.strokes import find_strokes
from tools.pretrain.episodes import MAX_CLASSES, draw_episode
from tools.pretrain.procedural import Pair, View, draw_pair

SIZE = 96


@pytest.fixture(scope="module")
def pairs():
    return [draw_pair(seed, 128) for seed in range(12)]


def _arrays(pair):
    return [a for v in (pair.first, pair.second) for a in (v.image, v.truth)]


def test_the_seed_decides_a_pair(pairs):
    for mine, theirs in zip(_arrays(pairs[3]), _arrays(draw_pair(3, 128)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert any(
        (mine.shape != theirs.shape) or (mine != theirs).any()
        for mine, theirs in zip(_arrays(pairs[3]), _arrays(pairs[4]), strict=True)
    )


def test_a_pair_is_two_images_of_one_kind(pairs):
    for pair in pairs:
        for view in (pair.first, pair.second):
            assert view.image.dtype == np.float32
            assert view.image.shape[0] in (1, 2, 3)
            assert view.image.shape[1:] == view.truth.shape == (128, 128)
            assert np.isfinite(view.image).all()
        assert len(pair.first.image) == len(pair.second.image)
        assert (pair.first.image != pair.second.image).any()
        values = set(np.unique(pair.first.truth)) - {0}
        assert 2 <= len(values) <= 4
        assert values == set(range(1, len(values) + 1))
        assert set(np.unique(pair.second.truth)) <= values | {0}


def _episodes(pairs, seed=0):
    rng = np.random.default_rng(seed)
    drawn = [draw_episode(rng, pair, SIZE) for pair in pairs for _ in range(2)]
    return [episode for episode in drawn if episode is not None]


def test_an_episode_is_what_a_fit_and_its_judgement_need(pairs):
    episodes = _episodes(pairs)
    assert len(episodes) > len(pairs)
    for episode in episodes:
        assert episode.images.shape == (2, 3, SIZE, SIZE)
        assert episode.images.dtype == np.float32
        assert np.isfinite(episode.images).all()
        assert episode.truths.shape == (2, SIZE, SIZE)
        n = len(episode.yx)
        assert episode.targets.shape == episode.weights.shape == (n,)
        assert 2 <= episode.n_classes <= MAX_CLASSES
        assert set(episode.targets) == set(range(episode.n_classes))
        assert episode.n_strokes >= episode.n_classes
        assert episode.truths.min() >= -1
        assert episode.truths.max() < episode.n_classes
        # strokes are where their class is
        y, x = episode.yx.T
        np.testing.assert_array_equal(episode.truths[0][y, x], episode.targets)


def test_weights_are_those_of_the_product(pairs):
    """All together 1, each class the same, long strokes as the root of their length."""
    for episode in _episodes(pairs):
        assert (episode.weights > 0).all()
        assert episode.weights.sum() == pytest.approx(1, rel=1e-4)
        for index in range(episode.n_classes):
            share = episode.weights[episode.targets == index].sum()
            assert share == pytest.approx(1 / episode.n_classes, rel=1e-4)


def test_a_long_stroke_weighs_as_the_root_of_its_length():
    truth = np.ones((SIZE, SIZE), np.uint8)
    truth[SIZE // 2 :] = 2
    found = 0
    for seed in range(40):
        episode = draw_episode(np.random.default_rng(seed), _pair(truth), SIZE)
        if episode is None:
            continue
        canvas = np.zeros((SIZE, SIZE), np.uint8)
        canvas[tuple(episode.yx.T)] = episode.targets + 1
        weights = np.zeros((SIZE, SIZE), np.float32)
        weights[tuple(episode.yx.T)] = episode.weights
        strokes = find_strokes(canvas)
        longest = max(s.n_px for s in strokes)
        if len(strokes) != episode.n_strokes or longest >= 400 // len(strokes):
            continue  # some touch, or are so long that their pixels are thinned
        for value in (1, 2):
            mine = [s for s in strokes if s.value == value]
            sums = np.array([weights[tuple(s.yx.T)].sum() for s in mine])
            roots = np.sqrt([s.n_px for s in mine])
            np.testing.assert_allclose(sums / sums[0], roots / roots[0], rtol=1e-3)
            found += len(mine) > 1
    assert found > 2


def test_the_seed_decides_an_episode(pairs):
    for mine, theirs in zip(_episodes(pairs), _episodes(pairs), strict=True):
        for name, value in vars(mine).items():
            np.testing.assert_array_equal(value, getattr(theirs, name))
    other = _episodes(pairs, seed=1)
    assert (_episodes(pairs)[0].images != other[0].images).any()


def _pair(truth, n_channels=1):
    image = np.random.default_rng(0).normal(size=(n_channels, *truth.shape))
    view = View(image.astype(np.float32), truth)
    return Pair(view, view)


def test_what_is_unknown_stays_unknown():
    truth = np.zeros((SIZE, SIZE), np.uint8)
    truth[:30], truth[60:] = 1, 2
    episode = draw_episode(np.random.default_rng(0), _pair(truth), SIZE)
    for known in episode.truths:
        assert (known == -1).sum() == 30 * SIZE
        assert sorted(np.unique(known)) == [-1, 0, 1]


def test_one_class_is_no_episode():
    truth = np.ones((SIZE, SIZE), np.uint8)
    assert draw_episode(np.random.default_rng(0), _pair(truth), SIZE) is None


@pytest.mark.parametrize("n_channels", [1, 2])
def test_channels_enter_as_they_do_in_the_product(n_channels):
    from napari_unet.core.start import to_bundled_channels

    truth = np.ones((SIZE, SIZE), np.uint8)
    truth[40:] = 2
    episode = draw_episode(np.random.default_rng(0), _pair(truth, n_channels), SIZE)
    own = episode.images[0][:n_channels]
    mixing = to_bundled_channels(n_channels).numpy()
    expected = np.einsum("cs,cyx->syx", mixing, own)
    np.testing.assert_allclose(episode.images[0], expected, atol=1e-5)
