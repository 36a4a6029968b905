"""Laws of proofreading: parts are what they are by definition, cuts lose no pixel."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_unet.annotation import proofreading
from napari_unet.annotation.object_edits import cut_line, holes_of, split_object
from napari_unet.annotation.proofreading import part_at, polygon_mask

masks = hnp.arrays(bool, st.tuples(*[st.integers(3, 24)] * 2))
ends = st.tuples(st.integers(-4, 28), st.integers(-4, 28))


@given(
    labels=hnp.arrays(np.uint8, (3, 20, 30), elements=st.integers(0, 2)),
    point=st.tuples(st.integers(0, 2), st.integers(0, 19), st.integers(0, 29)),
    through=st.booleans(),
    half_px=st.integers(1, 40),
)
def test_a_part_found_by_boxes_is_that_of_the_whole_array(
    labels, point, through, half_px
):
    before = proofreading._HALF_PX
    proofreading._HALF_PX = half_px  # the boxes grow from any size
    try:
        part = part_at(
            labels.__getitem__,
            labels.shape,
            point,
            is_connected=True,
            through=(0,) if through else (),
        )
    finally:
        proofreading._HALF_PX = before
    if not labels[point]:
        assert part is None
        return
    area = labels if through else np.where(_only(labels, point[0]), labels, 0)
    marks, _ = ndimage.label(area == labels[point])
    expected = marks == marks[point]
    found = np.zeros(labels.shape, bool)
    found[part.box] = part.mask
    np.testing.assert_array_equal(found, expected)


def _only(labels, z):
    return (np.arange(len(labels)) == z)[:, None, None]


@given(mask=masks, first=ends, last=ends)
@settings(max_examples=200)
def test_a_cut_keeps_every_pixel_and_makes_two_or_more(mask, first, last):
    pieces = split_object(mask, first, last)
    if pieces is None:
        return
    np.testing.assert_array_equal(pieces > 0, mask)
    n_px = np.bincount(pieces.ravel())[1:]
    assert len(n_px) >= 2
    assert (n_px > 0).all()
    assert (np.diff(n_px) <= 0).all()
    seam = cut_line(pieces)
    assert not (seam & ~mask).any()


@given(mask=masks)
def test_filled_objects_have_no_holes(mask):
    holes = holes_of(mask)
    assert not (holes & mask).any()
    assert not holes_of(mask | holes).any()


@given(
    corners=hnp.arrays(
        float, st.tuples(st.integers(3, 7), st.just(2)), elements=st.floats(-30, 60)
    )
)
def test_a_polygon_is_the_same_drawn_in_its_box_and_in_the_plane(corners):
    from skimage.draw import polygon

    box, mask = polygon_mask(corners, (32, 40))
    found = np.zeros((32, 40), bool)
    found[box] = mask
    expected = np.zeros((32, 40), bool)
    expected[polygon(*corners.T, expected.shape)] = True
    # corners are moved before they are drawn: a rim can round the other way
    assert np.count_nonzero(found != expected) <= len(corners) * 4
