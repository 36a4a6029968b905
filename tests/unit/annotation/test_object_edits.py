"""Cutting, joining and filling one object."""

import numpy as np

from napari_unet.annotation.object_edits import (
    bridge,
    cut_line,
    holes_of,
    split_object,
)


def two_discs(gap=26, shape=(50, 80)):
    y, x = np.ogrid[: shape[0], : shape[1]]
    discs = [(y - 25) ** 2 + (x - c) ** 2 <= 15**2 for c in (25, 25 + gap)]
    return discs[0] | discs[1]


def test_a_line_across_cuts_where_it_runs():
    mask = np.zeros((40, 60), bool)
    mask[10:30, 5:55] = True
    pieces = split_object(mask, (0, 20), (39, 20))
    assert np.unique(pieces).tolist() == [0, 1, 2]
    assert (pieces[mask] > 0).all()
    assert (pieces[~mask] == 0).all()
    assert (pieces[10:30, 22:55] == 1).all()  # the larger one keeps its number
    assert (pieces[10:30, 5:20] == 2).all()


def test_two_ends_inside_part_at_the_neck():
    mask = two_discs()
    pieces = split_object(mask, (25, 20), (27, 56))
    left, right = pieces[:, :36][mask[:, :36]], pieces[:, 41:][mask[:, 41:]]
    assert len(np.unique(left)) == len(np.unique(right)) == 1
    assert left[0] != right[0]


def test_a_line_that_does_not_cross_cuts_nothing():
    mask = two_discs()
    assert split_object(mask, (0, 0), (0, 79)) is None  # beside it
    assert split_object(mask, (0, 25), (25, 25)) is None  # ends in its middle
    assert split_object(mask, (25, 25), (25, 25)) is None  # a point


def test_crumbs_and_loose_pieces_go_to_the_next_piece():
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    mask[55:58, 12:15] = True  # lay apart before
    mask[9, 30] = True  # a tip, cut off by a line that grazes the rim
    assert split_object(mask, (10, 0), (10, 59)) is None
    pieces = split_object(mask, (30, 0), (30, 59))
    assert pieces.max() == 2
    assert len(np.unique(pieces[55:58, 12:15])) == 1
    assert pieces[56, 13] == pieces[45, 13]


def test_a_line_through_a_u_makes_three():
    mask = np.zeros((40, 60), bool)
    mask[5:35, 5:20] = mask[5:35, 40:55] = mask[25:35, 5:55] = True
    assert split_object(mask, (15, 0), (15, 59)).max() == 3


def test_a_volume_is_cut_through_all_planes():
    mask = np.stack([two_discs()] * 4)
    pieces = split_object(mask, (1, 0, 38), (1, 49, 38))
    for plane in pieces:
        np.testing.assert_array_equal(plane, pieces[0])
    assert pieces.max() == 2
    pieces = split_object(mask, (1, 25, 20), (1, 25, 56), scale=(3, 1, 1))
    assert pieces.max() == 2
    assert (pieces[mask] > 0).all()
    assert (pieces[3, 25, :30] == pieces[1, 25, 20])[mask[3, 25, :30]].all()


def test_the_seam_is_both_sides_of_the_cut():
    pieces = np.zeros((6, 8), np.uint16)
    pieces[1:5, 1:4], pieces[1:5, 4:7] = 1, 2
    seam = cut_line(pieces)
    expected = np.zeros_like(seam)
    expected[1:5, 3:5] = True
    np.testing.assert_array_equal(seam, expected)
    assert not cut_line(np.minimum(pieces, 1)).any()


def test_a_bridge_joins_two_points_of_a_plane():
    line = bridge((3, 20, 30), (1, 5, 5), (1, 5, 20))
    assert not line[[0, 2]].any()
    assert line[1, 4:7, 4:22].all()
    assert line.sum() == 3 * 18


def test_holes_of_a_plane_and_of_a_volume():
    ring = np.zeros((1, 20, 20), bool)
    ring[0, 5:15, 5:15] = True
    ring[0, 8:12, 8:12] = False
    assert holes_of(ring).sum() == 16
    tube = np.repeat(ring, 5, axis=0)
    assert not holes_of(tube).any()  # open at both ends
    tube[[0, -1], 8:12, 8:12] = True
    assert holes_of(tube).sum() == 3 * 16
