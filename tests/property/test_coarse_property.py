"""Laws of predictions and annotations at a coarser resolution."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.annotation.coarse import coarse_annotation
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import UNetConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.head import RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.core.start import make_network
from napari_unet.inference.enlarged import Enlarged
from napari_unet.inference.predict import predict_planes
from napari_unet.jobs import finish
from napari_unet.learning.candidates import FeatureCache, Network, RidgeCandidate

factors = st.sampled_from([2, 4, 8])
shapes = st.tuples(st.integers(1, 150), st.integers(1, 150))


def _candidate(n_scales, seed):
    config = UNetConfig(base_channels=4, depth=2, in_channels=1, n_classes=2)
    unet, _ = make_network(config, start="scratch", seed=0)
    network = Network(unet.eval(), 2, n_scales)
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(network.n_features, 3)).astype(np.float32)
    head = RidgeHead(weights, np.zeros(3, np.float32), 0.1)
    return RidgeCandidate(network, head, (1, 2, 3), FeatureCache())


def _predict(predictor, source, tile_px):
    maps = np.full((3, *source.stack.plane_shape), np.nan, np.float32)

    def store(_plane, tile, found):
        maps[:, tile.y0 : tile.y1, tile.x0 : tile.x1] = found.probabilities

    finish(predict_planes(predictor, source, [0], tile_px, store=store))
    return maps


@given(shapes, factors, st.integers(1, 3), st.integers(1, 2), st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_tiled_equals_untiled(shape, factor, n_cells, n_scales, seed):
    torch.set_num_threads(1)
    image = np.random.default_rng(seed).random(shape).astype(np.float32)
    source = ImageSource("a", PlaneStack(image))
    predictor = Enlarged(_candidate(n_scales, seed), factor)
    whole = _predict(predictor, source, 16 * 64)
    tiled = _predict(predictor, source, 4 * factor * n_cells)  # on the pooling grid
    assert whole.shape == (3, *shape)
    assert np.isfinite(whole).all()
    assert np.allclose(tiled, whole, atol=2e-4)


@st.composite
def annotations(draw):
    shape = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    share = draw(st.sampled_from([0.001, 0.02, 0.5, 1.0]))
    values = rng.integers(1, draw(st.sampled_from([2, 4, 300])), shape)
    return np.where(rng.random(shape) < share, values, 0).astype(np.uint16)


@given(annotations(), factors)
@settings(deadline=None)
def test_no_stroke_is_lost_and_none_is_made_up(annotation, factor):
    found = coarse_annotation(TiledLabels.of(annotation), None, factor)
    labels = np.asarray(found.painted)
    for y, x in np.ndindex(labels.shape):
        block = annotation[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        painted = block[block > 0]
        assert (labels[y, x] > 0) == bool(painted.size)
        if painted.size:
            n_each = np.bincount(painted)
            assert n_each[labels[y, x]] == n_each.max()
    assert found.n_px == np.count_nonzero(annotation)


@given(annotations(), factors, st.integers(0, 99))
@settings(deadline=None)
def test_where_all_is_annotated_each_class_stays_near_where_it_was(
    annotation, factor, seed
):
    box = np.sort(np.random.default_rng(seed).integers(0, 61, (2, 2)), axis=1)
    complete = np.zeros(annotation.shape, bool)
    complete[slice(*box[0]), slice(*box[1])] = True
    found = coarse_annotation(
        TiledLabels.of(annotation), TiledLabels.of(complete), factor
    )
    labels, region = np.asarray(found.painted), np.asarray(found.complete)
    alone = coarse_annotation(TiledLabels.of(annotation), None, factor)
    painted = np.asarray(alone.painted)
    assert ((labels > 0) | region)[painted > 0].all()
    assert not labels[painted == 0].any()
    for y, x in np.argwhere(painted > 1):
        near = labels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert painted[y, x] in near
    assert found.n_px == np.count_nonzero((annotation > 0) | complete)
