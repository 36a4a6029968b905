"""Values of labels from elsewhere, as classes."""

import numpy as np
import pytest

from napari_unet.annotation.class_map import ClassMap
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import ConfigError


def test_it_maps_names_and_the_rest():
    labels = np.array([[0, 1, 7, 300]], np.int32)
    assert ClassMap.parse("1:2, 7:3,*:0").apply(labels).tolist() == [[0, 2, 3, 0]]
    mapped = ClassMap.parse("1:2,7:3").apply(labels)
    assert mapped.tolist() == [[0, 2, 3, 300]]
    assert mapped.dtype == np.uint16
    swapped = ClassMap.parse("0:1,1:0,*:2").apply(labels)
    assert swapped.tolist() == [[1, 0, 2, 2]]
    assert swapped.dtype == np.uint8


def test_negative_values_and_masks():
    assert ClassMap.parse("-1:1,255:2").apply(np.array([[-1, 255]])).tolist() == [
        [1, 2]
    ]
    mask = np.array([[True, False]])
    assert ClassMap.parse("1:2,0:1").apply(mask).tolist() == [[2, 1]]


def test_tiles_stay_sparse():
    labels = np.zeros((600, 600), np.uint16)
    labels[10, 10], labels[500, 500] = 7, 9
    tiled = ClassMap.parse("7:2,*:0").apply(TiledLabels.of(labels))
    assert list(tiled.tiles) == [(0, 0, 0)]
    assert not tiled.tiles[0, 0, 0].flags.writeable
    np.testing.assert_array_equal(np.asarray(tiled), (labels == 7) * 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "maps no value"),
        ("1", "maps no value"),
        ("1:x", "maps no value"),
        ("1:-2", "maps no value"),
        ("x:2", "maps no value"),
        ("1:2,", "maps no value"),
        ("1:2,01:3", "twice"),
        ("*:0,*:1", "twice"),
        ("1:70000", "65535"),
    ],
)
def test_what_it_cannot_read(text, words):
    with pytest.raises(ConfigError, match=words):
        ClassMap.parse(text)


def test_a_value_that_can_be_no_class_must_be_named():
    with pytest.raises(ConfigError, match="-1"):
        ClassMap.parse("7:2").apply(np.array([-1, 7]))
    with pytest.raises(ConfigError, match="70000"):
        ClassMap.parse("7:2").apply(np.array([70_000, 7]))
