"""Annotations at a fraction of their resolution."""

import numpy as np
import pytest

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.coarse import coarse_annotation
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource


def _coarse(annotation, factor, complete=None):
    region = None if complete is None else TiledLabels.of(complete)
    return coarse_annotation(TiledLabels.of(annotation), region, factor)


def _block(*rows):
    return np.array(rows, np.uint8)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (_block([0, 0], [0, 0]), 0),
        (_block([0, 0], [0, 2]), 2),  # thinner than the block
        (_block([1, 1], [1, 2]), 1),
        (_block([1, 0], [2, 2]), 2),
        (_block([1, 1], [2, 2]), 2),  # of equals, the one that is not background
        (_block([3, 0], [2, 0]), 3),
        (_block([7, 7], [2, 9]), 7),
    ],
)
def test_a_block_gets_what_most_of_its_painted_pixels_have(block, expected):
    assert np.asarray(_coarse(block, 2).painted).item() == expected


def test_tiles_and_odd_sizes_are_as_one_array():
    rng = np.random.default_rng(0)
    annotation = np.where(
        rng.random((2, 1101, 1307)) < 0.001, rng.integers(1, 300, (2, 1101, 1307)), 0
    ).astype(np.uint16)
    annotation[0, 500:530, 250:1300] = 7
    found = _coarse(annotation, 4)
    assert found.painted.shape == (2, 276, 327)
    assert found.painted.dtype == np.uint16
    labels = np.asarray(found.painted)
    for plane, y, x in rng.integers(0, (2, 276, 327), (500, 3)):
        block = annotation[plane, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        counts = np.bincount(block[block > 0])
        best = np.flatnonzero(counts == counts.max())[-1] if len(counts) else 0
        assert labels[plane, y, x] == best
    assert found.n_px == np.count_nonzero(annotation)


def test_objects_do_not_grow_where_all_is_annotated():
    ids = np.zeros((32, 32), np.uint16)
    ids[11:21, 11:21] = 2  # its rim fills a quarter of the blocks around
    everywhere = np.ones(ids.shape, bool)
    coarse = np.asarray(_coarse(ids, 4, everywhere).painted)
    assert (coarse > 0).sum() == 4
    assert (coarse[3:5, 3:5] == 2).all()
    sparse = np.asarray(_coarse(ids, 4).painted)  # what is around may be anything
    assert (sparse > 0).sum() == 16


def test_what_is_thin_stays_also_where_all_is_annotated():
    labels = np.zeros((32, 32), np.uint8)
    labels[:, 13] = 2
    labels[5, 2] = 3
    found = _coarse(labels, 4, np.ones(labels.shape, bool))
    coarse = np.asarray(found.painted)
    assert (coarse[:, 3] == 2).all()
    assert coarse[1, 0] == 3
    assert (coarse > 0).sum() == 9
    assert np.asarray(found.complete).all()
    assert found.n_px == 32 * 32


def test_only_what_is_complete_as_a_whole_stays_complete():
    complete = np.zeros((18, 18), bool)
    complete[3:, 4:] = True
    found = _coarse(np.zeros(complete.shape, np.uint8), 4, complete)
    expected = np.zeros((5, 5), bool)
    expected[1:, 1:] = True  # to the border, where blocks are smaller
    assert np.array_equal(np.asarray(found.complete), expected)
    assert not found.painted.any()  # nobody painted background


def test_a_set_learns_from_the_coarse_image_and_counts_in_the_full_one():
    image = np.random.default_rng(0).random((64, 64))
    source = ImageSource("a", PlaneStack(image))
    annotation = np.zeros(image.shape, np.uint8)
    annotation[10, 3:30], annotation[40:46, 20:50] = 1, 2
    made = AnnotationSet(downsampling=4).with_image(source, annotation, 4)
    (entry,) = made.images
    assert entry.source.stack.plane_shape == entry.annotation.shape == (16, 16)
    assert entry.full is source
    assert made.n_px == 27 + 6 * 30
    assert len(made.strokes) == 2
    assert sum(stroke.n_px for _, stroke in made.strokes) < 27


def test_sizes_of_objects_are_those_of_the_full_image():
    image = np.random.default_rng(0).random((64, 64))
    ids = np.zeros(image.shape, np.uint8)
    for number in range(3):
        ids[8:24, 2 + 20 * number : 18 + 20 * number] = 2 + number
    made = [
        AnnotationSet(mode="objects", downsampling=n).with_image(
            ImageSource("a", PlaneStack(image)),
            ids,
            4,
            complete=np.ones(ids.shape, bool),
        )
        for n in (1, 4)
    ]
    assert {one.smallest_object_px for one in made} == {64}
    assert {one.n_objects for one in made} == {3}
    assert {one.n_px for one in made} == {64 * 64}
    values = [np.unique(np.asarray(one.images[0].objects)).tolist() for one in made]
    assert values == [[0, 2, 3, 4]] * 2
