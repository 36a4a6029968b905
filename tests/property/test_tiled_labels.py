"""Laws of tiled labels: what is kept in tiles is what the array holds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.annotation import tiled
from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.object_strokes import find_object_strokes
from napari_unet.annotation.objects import object_targets
from napari_unet.annotation.strokes import bundles_of, find_strokes
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource

# a busy machine is no failure
unhurried = settings(deadline=None, max_examples=60)


@pytest.fixture(autouse=True, scope="module")
def _small_tiles():
    """Many tiles in a small array."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiled, "TILE_PX", 16)
        yield


@st.composite
def annotations(draw):
    """Some rectangles of some values on one plane or two."""
    shape = (
        *draw(st.sampled_from([(), (2,)])),
        *draw(st.tuples(*[st.integers(1, 90)] * 2)),
    )
    array = np.zeros(shape, np.uint16)
    for _ in range(draw(st.integers(0, 8))):
        y, x = (draw(st.integers(0, n - 1)) for n in shape[-2:])
        height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
        plane = tuple(draw(st.integers(0, n - 1)) for n in shape[:-2])
        array[(*plane, slice(y, y + height), slice(x, x + width))] = draw(
            st.integers(1, 5)
        )
    return array


def _marks(strokes):
    return [stroke.signature for stroke in strokes]


def _together(strokes):
    return {
        frozenset(strokes[i].signature for i in members)
        for members in bundles_of(strokes)
    }


@unhurried
@given(annotations(), st.data())
def test_any_rectangle_is_read_as_it_is(array, data):
    kept = tiled.TiledLabels.of(array)
    np.testing.assert_array_equal(np.asarray(kept), array)
    spans = []
    for n in array.shape[-2:]:
        start = data.draw(st.integers(0, n))
        spans.append(slice(start, data.draw(st.integers(start, n))))
    for plane, values in enumerate(array.reshape(-1, *array.shape[-2:])):
        np.testing.assert_array_equal(
            kept.read(plane, tuple(spans)), values[tuple(spans)]
        )


@unhurried
@given(annotations(), st.booleans(), st.booleans())
def test_strokes_and_targets_are_those_of_the_whole_plane(
    array, of_objects, has_region
):
    complete = None
    if has_region:
        complete = np.zeros(array.shape, bool)
        complete[..., : array.shape[-2] // 2, :] = True
    source = ImageSource("a", PlaneStack(np.zeros(array.shape)))
    mode = "objects" if of_objects else "strokes"
    found = AnnotationSet(mode=mode).with_image(source, array, 4, complete=complete)
    targets = array
    if of_objects:
        targets = object_targets(array, complete)
    elif has_region:
        targets = np.where(complete & (array == 0), 1, array)
    expected = []
    for plane in range(source.stack.n_planes):
        part = targets.reshape(-1, *targets.shape[-2:])[plane]
        if of_objects:
            ids = array.reshape(-1, *array.shape[-2:])[plane]
            n_bundles = max((stroke.bundle for stroke in expected), default=0)
            expected += find_object_strokes([((0, 0), ids, part)], plane, n_bundles)
        else:
            expected += find_strokes(part, plane)
    if not expected:
        assert found.images == ()
        return
    (image,) = found.images
    np.testing.assert_array_equal(np.asarray(image.annotation), targets)
    assert _marks(image.strokes) == _marks(expected)
    assert _together(image.strokes) == _together(expected)
