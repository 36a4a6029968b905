"""Laws of axes: an image of any layout is read back as it was made."""

import dask.array as da
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_unet.core.arrays import PlaneStack, guess_axes

# a busy machine is no failure
unhurried = settings(deadline=None)


@st.composite
def layouts(draw):
    """Axes with Y before X last among those beside channels, and a shape."""
    axes = draw(st.sampled_from(["YX", "ZYX", "TYX", "TZYX", "ZTYX"]))
    if draw(st.booleans()):
        position = draw(st.integers(0, len(axes)))
        axes = axes[:position] + "C" + axes[position:]
    shape = tuple(draw(st.integers(1, 6)) for _ in axes)
    return axes, shape


def _label_shape(axes, shape):
    return tuple(n for n, a in zip(shape, axes, strict=True) if a != "C")


@given(layouts(), st.booleans())
@unhurried
def test_planes_put_together_are_the_image(layout, is_lazy):
    axes, shape = layout
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    stack = PlaneStack(da.from_array(image, chunks=2) if is_lazy else image, axes)
    again = np.full((stack.n_channels, *stack.spatial_shape), -1, np.float32)
    height, width = stack.plane_shape
    for plane in range(stack.n_planes):
        index = stack.index(plane)
        assert stack.plane_of(index) == plane
        again[(slice(None), *index)] = stack.read(plane, 0, height, 0, width)
    expected = np.moveaxis(image, axes.index("C"), 0) if "C" in axes else image[None]
    np.testing.assert_array_equal(again, expected)


@given(layouts())
@unhurried
def test_the_annotation_tells_where_the_channels_are(layout):
    axes, shape = layout
    spatial = _label_shape(axes, shape)
    guessed = guess_axes(shape, spatial)
    assert _label_shape(guessed, shape) == spatial
    stack = PlaneStack(np.zeros(shape), None, spatial)
    assert stack.spatial_shape == spatial


@given(
    hnp.array_shapes(min_dims=2, max_dims=5, min_side=1, max_side=9),
)
@unhurried
def test_a_guess_without_annotation_fits_the_image(shape):
    assume(len(shape) < 5 or (shape[-1] in (3, 4) and min(shape[-3:-1]) > 4))
    stack = PlaneStack(np.zeros(shape))
    assert len(stack.axes) == len(shape)
    assert guess_axes(shape, stack.spatial_shape) == stack.axes


@given(
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.tuples(st.integers(-30, 30), st.integers(-30, 30)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
@unhurried
def test_mirrored_reading_is_mirrored_indexing(shape, start, size):
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

    def fold(i, n):
        period = max(2 * (n - 1), 1)
        i %= period
        return min(i, period - i) if n > 1 else 0

    (y, x), (h, w) = start, size
    read = PlaneStack(image).read(0, y, y + h, x, x + w)
    expected = [
        [image[fold(i, shape[0]), fold(j, shape[1])] for j in range(x, x + w)]
        for i in range(y, y + h)
    ]
    np.testing.assert_array_equal(read[0], expected)
