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
    unet = UNet(UNetConfig(base_channels=4, depth=2)).requires_grad_(False)
    return Network(unet, n_levels=3, n_scales=2)


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


def _collect(annotations, max_px=10_000):
    return collect_samples(annotations, tile_px=32, max_px=max_px)


def _read(annotations, network, cache):
    """Return the features of the samples of an annotation."""
    samples = _collect(annotations)
    return samples.of_network(network, cache), samples.of_filters(cache)


def test_each_painted_pixel_is_a_sample_with_its_features(network):
    annotations = _set(_strokes(), _strokes().T.copy())
    samples = _collect(annotations)
    n = annotations.n_px
    deep, shallow = _read(annotations, network, FeatureCache())
    assert samples.values == (1, 3)
    assert deep.shape == (n, 2 * (4 + 8 + 16) + 1) == (n, network.n_features)
    assert shallow.shape == (n, count_filters(1))
    seen = np.zeros(n, int)
    for group in samples.groups:
        tile, source = group.tile, group.image.source
        maps = compute_maps(network.unet, source, group.plane, tile, 3, 2)
        with torch.inference_mode():
            expected = maps.sample(torch.from_numpy(group.yx.astype(int))).numpy()
        np.testing.assert_allclose(deep[group.rows], expected, atol=1e-5)
        filters = compute_filters(source, group.plane, tile)
        y, x = (group.yx - [tile.y0, tile.x0]).T
        np.testing.assert_allclose(shallow[group.rows], filters[:, y, x].T)
        painted = np.asarray(group.image.annotation)[tuple(group.yx.T)]
        values = np.array(samples.values)[samples.targets[group.rows]]
        np.testing.assert_array_equal(values, painted)
        seen[group.rows] += 1
    assert (seen == 1).all()


def test_strokes_weigh_as_the_root_of_their_length_and_classes_the_same():
    samples = _collect(_set(_strokes()))
    for index in (0, 1):
        assert samples.weights[samples.targets == index].sum() == pytest.approx(1)
    sums = [samples.weights[samples.strokes == s].sum() for s in (0, 1)]
    assert sums[1] / sums[0] == pytest.approx(np.sqrt(57 / 4), rel=1e-4)
    assert set(samples.folds[samples.strokes == 0]) == {1}


def test_much_painting_is_thinned_evenly():
    annotation = np.zeros((70, 80), np.uint8)
    annotation[2:40] = 1
    annotation[60, 3:7] = 2
    samples = _collect(_set(annotation), max_px=200)
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
    first, _ = _read(annotations, network, cache)
    tiles = {tile for _, tile in computed}
    assert len(tiles) == 3
    assert len(computed) == 2 * len(tiles)
    computed.clear()
    again, _ = _read(annotations, network, cache)
    assert computed == []
    np.testing.assert_array_equal(again, first)
    grown = _strokes()
    grown[40, 70] = 3  # in a tile that had no stroke
    source = annotations.images[0].source
    _read(annotations.with_image(source, grown, 4), network, cache)
    assert {tile for _, tile in computed} == {Tile(32, 64, 64, 80)}
    computed.clear()
    grown[2, 7] = 1  # a new pixel in a known tile: its maps are kept
    _read(annotations.with_image(source, grown, 4), network, cache)
    assert computed == []


def test_other_weights_or_another_image_are_read_anew(network, computed):
    cache = FeatureCache()
    _read(_set(_strokes()), network, cache)
    computed.clear()
    _read(_set(_strokes()), network.with_weights(network.unet), cache)
    assert {name for name, _ in computed} == {"compute_maps", "compute_filters"}


# -- a part of them --------------------------------------------------------------------


def test_only_some_tiles_have_only_their_samples(network):
    cache = FeatureCache()
    samples = _collect(_set(_strokes(), _strokes().T.copy()))
    deep = samples.of_network(network, cache)
    chosen = samples.groups[1::2]
    rows = np.sort(np.concatenate([group.rows for group in chosen]))
    assert 0 < len(rows) < len(samples.targets)
    part = samples.only(chosen)
    assert part.values == samples.values
    for name in ("targets", "strokes", "bundles", "folds"):
        np.testing.assert_array_equal(getattr(part, name), getattr(samples, name)[rows])
    # and their features, in the same order
    np.testing.assert_array_equal(part.of_network(network, cache), deep[rows])
    np.testing.assert_array_equal(
        part.of_filters(cache), samples.of_filters(cache)[rows]
    )


def test_classes_weigh_the_same_in_a_part_too():
    samples = _collect(_set(_strokes()))
    with_both = next(  # a tile of a long stroke of 1, and one of 3
        (g, h)
        for g in samples.groups
        for h in samples.groups
        if set(samples.targets[g.rows]) == {0} and set(samples.targets[h.rows]) >= {1}
    )
    part = samples.only(with_both)
    for index in (0, 1):
        assert part.weights[part.targets == index].sum() == pytest.approx(1)


def test_strokes_are_counted():
    samples = _collect(_set(_strokes()))
    assert samples.count_strokes() == 3
    assert samples.count_strokes(samples.targets == 0) == 2
    assert samples.count_strokes(np.zeros(len(samples.targets), bool)) == 0
    assert samples.count_bundles() == 3
    assert samples.count_bundles(samples.targets == 0) == 2


def test_objects_that_touch_count_as_one_in_each_image():
    ids = np.zeros((40, 70), np.uint8)
    for number in range(8):  # in a row, each with an inside and a border
        ids[4:14, 8 * number : 8 * number + 8] = number + 2
    ids[20:25, 2:6] = 10
    ids[30], ids[35, :9] = 1, 1
    samples = _collect(_set(ids, ids, previous=AnnotationSet(mode="objects")))
    assert samples.count_strokes() == 2 * (8 * 2 + 1 + 2)
    assert samples.count_bundles() == 2 * (1 + 1 + 2)
    is_border = samples.targets == samples.values.index(3)
    assert samples.count_bundles(is_border) == 2


@pytest.mark.parametrize("tile_px", [16, 64])
def test_other_tiles_hold_the_same_samples(network, tile_px):
    samples = _collect(_set(_strokes(), _strokes().T.copy()))
    other = samples.in_tiles(tile_px)
    assert max(max(g.tile.shape) for g in other.groups) <= tile_px
    for name in ("targets", "strokes", "folds", "weights"):
        np.testing.assert_array_equal(getattr(other, name), getattr(samples, name))
    np.testing.assert_allclose(
        other.of_network(network, FeatureCache()),
        samples.of_network(network, FeatureCache()),
        atol=1e-4,
    )


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
