"""Images and annotations find each other by their names."""

from pathlib import Path

import pytest

from napari_unet.cli._pairs import paired
from napari_unet.errors import ConfigError


def _pairs(images, annotations):
    found = paired(
        [Path(i) for i in images.split()], [Path(a) for a in annotations.split()]
    )
    return " ".join(f"{i.stem}:{a.stem if a else '-'}" for i, a in found)


@pytest.mark.parametrize(
    ("images", "annotations", "expected"),
    [
        ("a.tif b.tif", "", "a:- b:-"),
        ("a.tif b.tif", "b.png a.png", "a:a b:b"),
        ("a.tif b.tif c.tif", "c-strokes.tif a-strokes.tif", "a:a-strokes b:- c:c-st"),
        ("x.tif x-2.tif", "x-2_mask.tif x_mask.tif", "x:x_mask x-2:x-2_mask"),
        ("A.ome.tif B.tif", "mask_b.tif mask_a.tif", "A.ome:mask_a B:mask_b"),
        # names say nothing: the order counts
        ("cell1.tif cell2.tif", "one.tif two.tif", "cell1:one cell2:two"),
        ("cell1.tif cell10.tif", "cell10.tif cell1.tif", "cell1:cell1 cell10:cell10"),
        ("1/i.tif 2/i.tif", "a/i.tif b/i.tif", "i:i i:i"),
        # some names tell, and the order agrees
        ("a.tif b.tif", "a.tif other.tif", "a:a b:other"),
    ],
)
def test_pairs(images, annotations, expected):
    assert _pairs(images, annotations).startswith(expected)


@pytest.mark.parametrize(
    ("images", "annotations", "words"),
    [
        ("a.tif b.tif", "b.tif other.tif", "b.tif is called like b.tif, but stands"),
        ("a.tif b.tif", "a-1.tif a-2.tif", "both called like a.tif"),
        ("a.tif b.tif c.tif", "a.tif z.tif", "z.tif is called like none"),
        ("a.tif", "a.tif z.tif", "--image names 1 files and --annotation 2"),
    ],
)
def test_what_contradicts_is_refused(images, annotations, words):
    with pytest.raises(ConfigError, match=words):
        _pairs(images, annotations)
