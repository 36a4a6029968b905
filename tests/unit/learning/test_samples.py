import numpy as np
import pytest
import torch

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.filters import compute_filters, count_filters
from napari_unet.inference.maps import compute_maps
from napari_unet.inference.tiles import Tile
from napari_unet.learning import candidates
from napari_unet.learning.candidates import FeatureCache, Network
from napari_unet.learning.samples import collect_samples


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network(UNet(UNetConfig(base_channels=4, depth=2)).requires_grad_(False))


@pytest.fixture
def computed(monkeypatch):
    """Note each tile whose maps or filters are computed."""
    tiles = []

    def note(name, function):
        def noting(*args):
            tiles.append((name, next(a for a in args if isinstance(a, Tile))))
            return function(*args)

        monkeypatch.setattr(candidates, name, noting)

    note("compute_maps", compute_maps)
    note("compute_filters", compute_filters)
    return tiles


def _set(*annotations, previous=None):
    result = previous or AnnotationSet()
    for number, annotation in enumerate(annotations):
        rng = np.random.default_rng(number)
        source = ImageSource(f"{number}", PlaneStack(rng.random(annotation.shape)))
        result = result.with_image(source, annotation, 4)
    return result


def _strokes():
    annotation = np.zeros((70, 80), np.uint8)
    annotation[2, 2:6] = annotation[60, 3:60] = 1
    annotation[10, 4:20] = 3
    return annotation


def _collect(annotations, network, cache=None, max_px=10_000):
    cache = FeatureCache() if cache is None else cache
    return collect_samples(
        annotations, network, cache, n_levels=3, tile_px=32, max_px=max_px
    )


def test_each_painted_pixel_is_a_sample_with_its_features(network):
    annotations = _set(_strokes(), _strokes().T.copy())
    samples = _collect(annotations, network)
    n = annotations.n_px
    assert samples.values == (1, 3)
    assert samples.network.shape == (n, 4 + 8 + 16 + 1)
    assert samples.filters.shape == (n, count_filters(1))
    seen = np.zeros(n, int)
    for group in samples.groups:
        tile, source = group.tile, group.image.source
        maps = compute_maps(network.unet, source, group.plane, tile, 3)
        with torch.inference_mode():
            expected = maps.sample(torch.from_numpy(group.yx.astype(int))).numpy()
        np.testing.assert_allclose(samples.network[group.rows], expected, atol=1e-5)
        filters = compute_filters(source, group.plane, tile)
        y, x = (group.yx - [tile.y0, tile.x0]).T
        np.testing.assert_allclose(samples.filters[group.rows], filters[:, y, x].T)
        painted = group.image.annotation[tuple(group.yx.T)]
        values = np.array(samples.values)[samples.targets[group.rows]]
        np.testing.assert_array_equal(values, painted)
        seen[group.rows] += 1
    assert (seen == 1).all()


def test_strokes_weigh_as_the_root_of_their_length_and_classes_the_same(network):
    samples = _collect(_set(_strokes()), network)
    for index in (0, 1):
        assert samples.weights[samples.targets == index].sum() == pytest.approx(1)
    sums = [samples.weights[samples.strokes == s].sum() for s in (0, 1)]
    assert sums[1] / sums[0] == pytest.approx(np.sqrt(57 / 4), rel=1e-4)
    assert set(samples.folds[samples.strokes == 0]) == {1}


def test_much_painting_is_thinned_evenly(network):
    annotation = np.zeros((70, 80), np.uint8)
    annotation[2:40] = 1
    annotation[60, 3:7] = 2
    samples = _collect(_set(annotation), network, max_px=200)
    of_region = samples.targets == 0
    assert of_region.sum() <= 200
    assert (~of_region).sum() == 4
    rows = np.concatenate([g.yx[:, 0] for g in samples.groups])
    assert rows.min() == 2
    assert rows.max() == 60
    for index in (0, 1):
        assert samples.weights[samples.targets == index].sum() == pytest.approx(1)


def test_only_tiles_with_new_strokes_are_read_again(network, computed):
    cache = FeatureCache()
    annotations = _set(_strokes())
    first = _collect(annotations, network, cache)
    tiles = {tile for _, tile in computed}
    assert len(tiles) == 3
    assert len(computed) == 2 * len(tiles)
    computed.clear()
    again = _collect(annotations, network, cache)
    assert computed == []
    np.testing.assert_array_equal(again.network, first.network)
    grown = _strokes()
    grown[40, 70] = 3  # in a tile that had no stroke
    source = annotations.images[0].source
    _collect(annotations.with_image(source, grown, 4), network, cache)
    assert {tile for _, tile in computed} == {Tile(32, 64, 64, 80)}
    computed.clear()
    grown[2, 7] = 1  # a new pixel in a known tile: its maps are kept
    _collect(annotations.with_image(source, grown, 4), network, cache)
    assert computed == []


def test_other_weights_or_another_image_are_read_anew(network, computed):
    cache = FeatureCache()
    _collect(_set(_strokes()), network, cache)
    computed.clear()
    _collect(_set(_strokes()), Network(network.unet), cache)
    assert {name for name, _ in computed} == {"compute_maps", "compute_filters"}


# -- the cache -------------------------------------------------------------------------


def _get(cache, key, size, made):
    return cache.get(key, lambda: made.append(key) or key, lambda _: size)


def test_the_cache_forgets_what_was_used_longest_ago():
    cache, made = FeatureCache(max_bytes=100), []
    for key in "abc":
        assert _get(cache, key, 30, made) == key
    _get(cache, "a", 30, made)
    _get(cache, "d", 30, made)  # b is dropped
    assert cache.n_bytes == 90
    for key in "acd":
        _get(cache, key, 30, made)
    assert made == list("abcd")
    _get(cache, "b", 30, made)
    assert made == list("abcdb")


def test_what_is_larger_than_the_cache_is_not_kept():
    cache, made = FeatureCache(max_bytes=100), []
    _get(cache, "small", 60, made)
    assert _get(cache, "huge", 101, made) == "huge"
    _get(cache, "small", 60, made)
    _get(cache, "huge", 101, made)
    assert made == ["small", "huge", "huge"]
    cache.clear()
    assert cache.n_bytes == 0
    _get(cache, "small", 60, made)
    assert made[-1] == "small"


def test_a_failure_is_not_kept():
    cache = FeatureCache()

    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.get("key", fail, lambda _: 1)
    assert cache.get("key", lambda: 7, lambda _: 1) == 7
