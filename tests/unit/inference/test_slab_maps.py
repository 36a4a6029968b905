import numpy as np
import pytest
import torch

from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.maps import compute_maps, compute_slab_maps, planes_at_once
from napari_unet.inference.predict import predict_planes
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import finish
from napari_unet.learning.candidates import FeatureCache, Network, RidgeCandidate

SLAB = {"ndim": 3, "z_levels": 2, "pad_z": False}


def _source(shape=(2, 6, 40, 50), axes="TZYX"):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    return ImageSource("image", PlaneStack(image, axes))


@pytest.mark.parametrize("settings", [SLAB, {"context_planes": 1}])
def test_planes_computed_together_are_those_computed_alone(make_unet, settings):
    unet, source, tile = make_unet(**settings), _source(), Tile(16, 40, 0, 32)
    together = compute_slab_maps(unet, source, 7, 3, tile, 3, 2)
    for number, ours in enumerate(together):
        alone = compute_maps(unet, source, 7 + number, tile, 3, 2)
        assert (ours.cells, ours.corners) == (alone.cells, alone.corners)
        assert torch.equal(ours.image, alone.image)
        for a, b in zip(ours.maps, alone.maps, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_other_time_points_are_not_seen(make_unet):
    unet, tile = make_unet(**SLAB), Tile(0, 40, 0, 50)
    image = np.random.default_rng(0).random((2, 3, 40, 50)).astype(np.float32)
    changed = image.copy()
    changed[1] = changed[1, :, ::-1]  # the same values, and so the same normalisation
    for plane in range(3):
        maps, same = (
            compute_maps(unet, ImageSource("i", PlaneStack(i, "TZYX")), plane, tile, 2)
            for i in (image, changed)
        )
        for a, b in zip(maps.maps, same.maps, strict=True):
            assert torch.equal(a, b)


def test_a_slab_is_as_thick_as_memory_allows(make_unet):
    unet = make_unet(**SLAB)
    few, many = (planes_at_once(unet, 64, 3, 2, 2**26, n) for n in (2**20, 2**24))
    assert few == 1  # never none
    assert many > 4
    n_px = (64 + 2 * unet.halo_px) ** 2
    assert (many + 2 * unet.planes_around) * n_px * 4 * 4 <= 2**24
    assert planes_at_once(unet, 64, 3, 2, 2**10, 2**24) == 1  # nor kept in vain


def test_slabs_pay_at_the_usual_size():
    config = UNetConfig(ndim=3, z_levels=2, pad_z=False)
    n_planes = planes_at_once(UNet(config), 512, 4, 2, 250 * 2**20)
    around = UNet(config).planes_around
    assert n_planes > 3
    assert (n_planes + 2 * around) / n_planes < 4


def test_other_networks_need_no_slab(make_unet):
    assert planes_at_once(make_unet(), 64, 3, 2, 2**24) == 1


def _candidate(unet, cache):
    n_features = 2 * sum(unet.config.channels) + 1
    rng = np.random.default_rng(0)
    head = RidgeHead(
        rng.normal(size=(n_features, 2)).astype(np.float32),
        np.zeros(2, np.float32),
        1.0,
    )
    return RidgeCandidate(Network(unet, 3, 2), head, (1, 2), cache)


def test_a_stack_is_predicted_slab_by_slab_with_the_same_result(make_unet, monkeypatch):
    source, unet = _source(), make_unet(**SLAB)
    slabs = []

    def note(unet, source, plane, n_planes, *rest):
        slabs.append((plane, n_planes))
        return compute_slab_maps(unet, source, plane, n_planes, *rest)

    monkeypatch.setattr("napari_unet.learning.candidates.compute_slab_maps", note)
    monkeypatch.setattr(RidgeCandidate, "planes_at_once", lambda *_: 4)
    found = np.full((12, 2, 40, 50), np.nan, np.float32)

    def store(plane, tile, prediction):
        where = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        assert np.isnan(found[(plane, slice(None), *where)]).all()
        found[(plane, slice(None), *where)] = prediction.probabilities

    predictor = _candidate(unet, FeatureCache())
    assert finish(predict_planes(predictor, source, range(12), 32, store=store))
    # four tiles of each: runs of at most 4 planes, none across time points
    assert sorted(set(slabs)) == [(0, 4), (4, 2), (6, 4), (10, 2)]
    assert len(slabs) == 16
    for plane in range(12):
        alone = _candidate(unet, FeatureCache()).probabilities(
            source, plane, Tile(0, 40, 0, 50)
        )
        np.testing.assert_allclose(found[plane], alone, rtol=0, atol=1e-4)


def test_a_slab_larger_than_the_cache_still_gives_every_plane(make_unet):
    source, unet = _source((4, 40, 50), "ZYX"), make_unet(**SLAB)
    tile = Tile(0, 40, 0, 50)
    one_plane = compute_maps(unet, source, 0, tile, 3, 2).n_bytes
    small = _candidate(unet, FeatureCache(max_bytes=one_plane + 1))
    large = _candidate(unet, FeatureCache())
    for plane in range(4):
        np.testing.assert_allclose(
            small.probabilities(source, plane, tile, 4 - plane),
            large.probabilities(source, plane, tile),
            rtol=0,
            atol=1e-5,
        )
