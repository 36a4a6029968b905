"""Outlines give back whatever labels they were made of, and are valid polygons."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from napari_unet.export.trace import trace

shapely = pytest.importorskip("shapely")

LABELS = arrays.arrays(
    np.uint16,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([0, 0, 1, 2, 65535]),
    fill=st.just(0),
)


@settings(max_examples=200, deadline=None)
@given(labels=LABELS, apart=st.sampled_from(["values", "pieces"]))
def test_outlines_cover_their_pixels_and_no_others(labels, apart):
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    back = np.zeros_like(labels)
    for outline in trace(labels, apart):
        parts = [(outer, holes) for outer, *holes in outline.polygons]
        shape = shapely.MultiPolygon(parts)
        assert shape.is_valid, shapely.is_valid_reason(shape)
        inside = shapely.contains_xy(shape, x, y)
        assert shape.area == outline.area_px == inside.sum()
        assert not back[inside].any()
        back[inside] = outline.value
    np.testing.assert_array_equal(back, labels)
