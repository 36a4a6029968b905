"""Outlines along pixel edges: exact, with holes, and no ring touches itself."""

import numpy as np
import pytest

from napari_unet.export.trace import trace


def filled(outline, shape):
    """Fill polygons by counting the edges that lie to the left of each pixel."""
    mask = np.zeros(shape, int)
    for polygon in outline.polygons:
        crossings = np.zeros((shape[0], shape[1] + 1), int)
        for ring in polygon:
            for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
                assert (x0 == x1) != (y0 == y1)  # along an edge, and not of length 0
                if x0 == x1:
                    crossings[min(y0, y1) : max(y0, y1), x0] += 1
        mask += np.cumsum(crossings, axis=1)[:, :-1] % 2
    return mask


def check(labels, apart):
    """Compare outlines with the labels, pixel by pixel; return them."""
    back = np.zeros_like(labels)
    outlines = trace(labels, apart)
    for outline in outlines:
        mask = filled(outline, labels.shape)
        assert mask.max() == 1
        assert outline.area_px == mask.sum()
        y, x = np.nonzero(mask)
        assert outline.box == (x.min(), y.min(), x.max() + 1, y.max() + 1)
        for outer, *holes in outline.polygons:
            assert _area(outer) > 0
            assert all(_area(hole) < 0 for hole in holes)
            for ring in (outer, *holes):
                assert len(np.unique(ring, axis=0)) == len(ring)
        assert not back[mask == 1].any()
        back[mask == 1] = outline.value
    assert np.array_equal(back, labels)
    return outlines


def _area(ring):
    x, y = ring.T
    return np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2


def test_every_mask_of_3_by_4_pixels():
    for bits in range(1, 4096):
        mask = np.array([bits >> i & 1 for i in range(12)]).reshape(3, 4)
        assert len(check(mask, "values")) == 1


@pytest.mark.parametrize("apart", ["values", "pieces"])
def test_random_labels(apart):
    rng = np.random.default_rng(0)
    for n_values in (2, 3, 5):
        for _ in range(50):
            check(rng.integers(0, n_values, (9, 11)), apart)


def test_a_hole_is_a_ring_of_its_own():
    labels = np.ones((5, 6), np.uint16)
    labels[1:4, 2:4] = 0
    labels[2, 2] = 7  # an island in the hole
    ring, island = check(labels, "values")
    assert [len(polygon) for polygon in ring.polygons] == [2]
    assert ring.has_holes
    assert not island.has_holes
    assert island.polygons[0][0].tolist() == [[3, 2], [3, 3], [2, 3], [2, 2]]


def test_pixels_that_meet_at_a_corner_are_one_piece_of_two_polygons():
    labels = np.array([[3, 0, 3], [0, 3, 0], [0, 0, 0], [3, 0, 0]])
    whole = check(labels, "values")
    assert [len(outline.polygons) for outline in whole] == [4]
    pieces = check(labels, "pieces")
    assert [len(outline.polygons) for outline in pieces] == [3, 1]


def test_nothing_has_no_outline():
    assert trace(np.zeros((4, 5), np.uint8)) == []
    assert trace(np.zeros((0, 5), np.uint8)) == []
