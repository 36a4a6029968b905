"""Warping: borders move, cells and holes stay what they are."""

import numpy as np
import pytest

from napari_unet.core.metrics import warp
from napari_unet.errors import ImageError


def cells(*rows):
    """Return a bool image from text: o is a cell, a blank the membrane."""
    return np.array([list(row) for row in rows]) == "o"


def test_a_border_moves_and_a_cell_grows_and_shrinks():
    small = cells("       ", "  ooo  ", "  ooo  ", "       ")
    large = cells(" ooooo ", " ooooo ", "   ooo ", "       ")
    np.testing.assert_array_equal(warp(small, large), large)
    np.testing.assert_array_equal(warp(large, small), small)


def test_a_membrane_moves_by_its_width():
    truth = cells(*["ooo   ooooo"] * 4)
    moved = cells(*["ooooo   ooo"] * 4)
    np.testing.assert_array_equal(warp(truth, moved), moved)


def test_a_split_costs_the_pixel_that_holds_the_cell_together():
    truth = cells("ooooo", "ooooo", "ooooo")
    split = cells("oo oo", "oo oo", "oo oo")
    assert np.count_nonzero(warp(truth, split) != split) == 1


def test_a_merger_costs_the_membrane_that_keeps_the_cells_apart():
    truth = cells("oo oo", "oo oo", "oo oo")
    merged = cells("oo oo", "ooooo", "oo oo")
    np.testing.assert_array_equal(warp(truth, merged), truth)


@pytest.mark.parametrize("is_cell", [True, False])
def test_nothing_is_made_or_lost(is_cell):
    plain = np.full((5, 5), is_cell)
    if not is_cell:
        plain[0] = True
    spot = plain.copy()
    spot[2:4, 2:4] = not is_cell
    # a hole or a cell cannot begin; it cannot vanish, but shrink to one pixel
    np.testing.assert_array_equal(warp(plain, spot), plain)
    assert np.count_nonzero(warp(spot, plain) != plain) == 1


def test_cells_join_at_edges_and_membranes_at_corners():
    # the corner joins no cells: filling one of the two blanks would
    truth = cells("oo ", "oo ", "  o")
    joined = cells("oo ", "ooo", "  o")
    np.testing.assert_array_equal(warp(truth, joined), truth)
    # the slanted membrane holds together: a cell may come beside it
    thicker = cells("o  ", "  o", " oo")
    thinner = cells("o  ", " oo", "ooo")
    np.testing.assert_array_equal(warp(thicker, thinner), thinner)


def test_beyond_the_image_is_membrane():
    # the two cells would join along the border of the image
    truth = cells("o o", "o o")
    joined = cells("ooo", "o o")
    np.testing.assert_array_equal(warp(truth, joined), truth)


def test_far_moves_are_done():
    truth = np.zeros((40, 50), bool)
    truth[0, :3] = True
    target = np.ones((40, 50), bool)
    np.testing.assert_array_equal(warp(truth, target), target)


def test_the_arrays_stay_as_they_were():
    truth, target = np.ones((3, 4), bool), np.eye(3, 4, dtype=bool)
    warp(truth, target)
    assert truth.all()
    np.testing.assert_array_equal(target, np.eye(3, 4, dtype=bool))


def test_only_planes_of_one_shape():
    with pytest.raises(ImageError, match="3 axes"):
        warp(np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool))
    with pytest.raises(ImageError, match=r"\(2, 2\) and \(2, 3\)"):
        warp(np.ones((2, 2), bool), np.ones((2, 3), bool))
