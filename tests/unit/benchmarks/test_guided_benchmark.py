"""Where the guided annotator paints."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_unet.annotation.tiled import TiledLabels


class Places:
    """Names the same places as a watch would, whatever is painted."""

    def __init__(self, *places):
        self.places = list(places)

    def next_region(self, key, painted):
        from napari_unet.inference.tiles import Tile
        from napari_unet.learning.uncertain import Region

        assert key == "painted"
        assert isinstance(painted, TiledLabels)
        return Region(0, Tile(*self.places.pop(0)), 0.9) if self.places else None


@pytest.fixture
def truth():
    labels = np.ones((128, 192), np.uint8)
    labels[40:90, 60:120] = 2
    labels[:, 150:] = 0  # unknown
    return labels


def test_strokes_lie_in_the_regions_and_are_true(truth):
    from _guided import add_guided_strokes
    from _strokes import count_strokes

    watch = Places((0, 64, 0, 64), (0, 64, 160, 192), (64, 128, 64, 128))
    empty = np.zeros_like(truth)
    painted = add_guided_strokes(watch, truth, empty, 2, seed=1)
    assert count_strokes(painted) == 2
    assert_array_equal(painted[painted > 0], truth[painted > 0])
    assert painted[:64, :64].any()
    assert painted[64:, 64:128].any()  # in the place of what is unknown
    assert not watch.places


def test_where_no_region_is_left_the_number_of_strokes_is_the_same(truth):
    from _guided import add_guided_strokes
    from _strokes import count_strokes

    painted = add_guided_strokes(Places(), truth, np.zeros_like(truth), 3, seed=1)
    assert count_strokes(painted) == 3
