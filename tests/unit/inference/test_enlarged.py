"""Predictions at a coarser resolution, for tiles of the full image."""

import numpy as np
import pytest
import torch

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.inference.enlarged import Enlarged
from napari_unet.inference.predict import predict_planes
from napari_unet.inference.tiles import Tile
from napari_unet.jobs import finish


class Brightness:
    """Takes bright pixels for the second class, and remembers where it looked."""

    name = "brightness"
    values = (1, 2)
    generation = 3
    device = torch.device("cpu")
    planes_around = 0

    def __init__(self):
        self.asked = []

    def without_cache(self):
        return self

    def planes_at_once(self, source, tile_px):
        self.asked.append((source, tile_px))
        return 1

    def window(self, source, tile):
        return source, tile.grown(5)

    def probabilities(self, source, plane, tile, n_planes=1):
        self.asked.append((source, tile))
        bright = source.stack.read(plane, tile.y0, tile.y1, tile.x0, tile.x1)[0]
        return np.stack([1 - bright, bright])


@pytest.fixture
def source():
    image = np.zeros((61, 75), np.float32)
    image[:, 32:] = 1
    image[40:] = 1
    return ImageSource("a", PlaneStack(image))


def _predict(predictor, source, tile_px, region=None):
    shape = source.stack.plane_shape
    maps = np.full((2, *shape), np.nan, np.float32)

    def store(_plane, tile, found):
        maps[:, tile.y0 : tile.y1, tile.x0 : tile.x1] = found.probabilities

    finish(predict_planes(predictor, source, [0], tile_px, region=region, store=store))
    return maps


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_an_edge_between_blocks_stays_where_it_is(source, factor):
    maps = _predict(Enlarged(Brightness(), factor), source, 64)
    labels, half = maps.argmax(axis=0), factor // 2
    is_corner = np.zeros(labels.shape, bool)  # corners become round
    is_corner[40 - half : 40, 32 - half : 32] = True
    assert np.array_equal(labels[~is_corner], source.stack.image[~is_corner])
    # half a block from the edge on, nothing is left of the other side
    assert (maps[1, : 40 - half, : 32 - half] == 0).all()
    assert (maps[1, : 40 - half, 32 + half :] == 1).all()
    across = maps[1, 0, 32 - half : 32 + half]
    assert np.allclose(across, (np.arange(factor) + 0.5) / factor)


def test_linear_interpolation_is_symmetric_about_an_edge(source):
    maps = _predict(Enlarged(Brightness(), 8), source, 64)
    assert np.allclose(maps[1, 0, 28:32], 1 - maps[1, 0, 32:36][::-1])
    assert np.allclose(maps.sum(axis=0), 1)


def test_it_reads_no_more_than_a_neighbour_on_each_side(source):
    inner = Brightness()
    Enlarged(inner, 4).probabilities(source, 0, Tile(16, 32, 32, 64))
    coarse, tile = inner.asked[-1]
    assert coarse is source.coarsened(4)
    assert tile == Tile(3, 9, 7, 17)
    Enlarged(inner, 4).probabilities(source, 0, Tile(48, 61, 64, 75))
    assert inner.asked[-1][1] == Tile(11, 16, 15, 19)  # and nothing beyond the border


def test_what_is_read_ahead_is_a_part_of_the_coarse_image(source):
    coarse, window = Enlarged(Brightness(), 4).window(source, Tile(16, 32, 32, 64))
    assert coarse is source.coarsened(4)
    assert window == Tile(-2, 14, 2, 22)
    # and is taken as it is, instead of being made coarser once more
    found = Enlarged(Brightness(), 4).probabilities(coarse, 0, Tile(0, 16, 0, 16))
    expected = Enlarged(Brightness(), 4).probabilities(source, 0, Tile(0, 16, 0, 16))
    assert np.array_equal(found, expected)


def test_the_rest_is_the_inner_predictor_s(source):
    inner = Brightness()
    outer = Enlarged(inner, 4).without_cache()
    assert (outer.name, outer.values, outer.generation) == ("brightness", (1, 2), 3)
    assert (outer.device, outer.planes_around) == (inner.device, 0)
    assert outer.planes_at_once(source, 64) == 1
    assert inner.asked == [(source.coarsened(4), 16)]
