"""Laws of uncertainty: bounds, and what must not matter."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.inference.regions import highest_region
from napari_unet.inference.uncertainty import disagreement, entropy


@st.composite
def probabilities(draw, n_views=1):
    """Return views of probabilities (K, h, w) that add up to 1."""
    shape = (draw(st.integers(2, 6)), *draw(array_shapes(min_dims=2, max_dims=2)))
    weights = st.floats(0, 1, width=32, allow_subnormal=False)
    views = []
    for _ in range(n_views):
        found = draw(arrays(np.float32, shape, elements=weights)) + np.float32(1e-6)
        views.append((found / found.sum(axis=0)).astype(np.float32))
    return views


@given(probabilities())
def test_entropy_is_between_0_and_1_whatever_the_order_of_classes(views):
    (view,) = views
    found = entropy(view)
    assert found.shape == view.shape[1:]
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert np.allclose(found, entropy(view[::-1]), atol=1e-5)


@given(probabilities(n_views=3))
def test_disagreement_is_between_0_and_1_and_0_of_equal_views(views):
    found = disagreement(views)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert np.allclose(found, disagreement(views[::-1]), atol=1e-5)
    assert np.allclose(disagreement([views[0]] * 3), 0, atol=1e-5)


@given(
    arrays(np.float32, (9, 11), elements=st.floats(0, 1, width=32)),
    arrays(np.bool_, (9, 11)),
)
def test_regions_never_have_annotation_in_their_middle_and_come_in_order(means, blocks):
    taken, scores = [], []
    while (found := highest_region(means, blocks, taken)) is not None:
        tile, score = found
        row, column = (tile.y0 + tile.y1) // 32, (tile.x0 + tile.x1) // 32
        assert not blocks[row - 1 : row + 1, column - 1 : column + 1].any()
        assert all(tile != other for other in taken)
        taken.append(tile)
        scores.append(score)
    assert scores == sorted(scores, reverse=True)
