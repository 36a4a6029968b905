"""Laws of what lies between two painted planes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.annotation.interpolation import interpolate_planes


@st.composite
def planes(draw):
    """Two planes of up to three values, some planes apart, and marks between."""
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sigma = draw(st.sampled_from([0, 1, 3]))
    gap = draw(st.integers(2, 4))
    painted = np.zeros((gap + 1, *shape), np.uint8)
    for z in (0, gap):
        noise = [ndimage.gaussian_filter(rng.random(shape), sigma) for _ in range(3)]
        painted[z] = np.argmax(noise, axis=0)
    if draw(st.booleans()):
        painted[1] = (rng.random(shape) > 0.9) * 7
    return painted


@given(planes())
@settings(deadline=None, max_examples=80)
def test_it_lies_within_both_shapes_and_over_nothing_painted(painted):
    added = np.asarray(interpolate_planes(painted, "ZYX"))
    assert not added[painted > 0].any()
    for between in added[1:-1]:
        is_new = between > 0
        either = (between == painted[0]) | (between == painted[-1])
        assert either[is_new].all()
    assert not added[[0, -1]].any()


@given(planes())
@settings(deadline=None, max_examples=40)
def test_between_two_equal_planes_lies_the_same(painted):
    painted[-1] = painted[0]
    added = np.asarray(interpolate_planes(painted, "ZYX"))
    for between, given_there in zip(added[1:-1], painted[1:-1], strict=True):
        free = given_there == 0
        np.testing.assert_array_equal(between[free], painted[0][free])


@given(planes())
@settings(deadline=None, max_examples=40)
def test_upside_down_it_is_the_same(painted):
    up = np.asarray(interpolate_planes(painted, "ZYX"))
    down = np.asarray(interpolate_planes(painted[::-1], "ZYX"))
    # equally deep in two values, either may win
    assert ((up > 0) == (down[::-1] > 0)).all()
