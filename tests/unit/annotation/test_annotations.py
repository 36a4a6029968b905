import numpy as np
import pytest

from napari_unet.annotation.annotations import AnnotationSet, check_annotation
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.errors import AnnotationError


def _source(key="a", shape=(30, 40)):
    return ImageSource(key, PlaneStack(np.zeros(shape)))


def _paint(*marks, shape=(30, 40)):
    """Paint marks ``(value, row)`` as 6 px strokes."""
    annotation = np.zeros(shape, np.uint8)
    for value, row in marks:
        annotation[row, 3:9] = value
    return annotation


def _folds(annotations, value):
    return [s.fold for _, s in annotations.strokes if s.value == value]


# -- what may be painted ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (np.array([[0, 255]], np.int64), np.uint8),
        (np.array([[0, 256]], np.int32), np.uint16),
        (np.array([[0, 65535]], np.uint32), np.uint16),
        (np.array([[False, True]]), np.uint8),
    ],
)
def test_annotations_become_small_private_copies(given, dtype):
    checked = check_annotation(given, (1, 2))
    assert checked.dtype == dtype
    np.testing.assert_array_equal(checked, given.astype(int))
    given[0, 1] = 0
    assert checked.any()
    assert np.asarray(checked)[0, 1] != 0


def test_a_copy_is_made_also_where_the_dtype_fits():
    given = np.zeros((2, 2), np.uint8)
    checked = check_annotation(given, (2, 2))
    given[:] = 1
    assert not checked.any()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.array([[0, -3]]), "-3"),
        (np.array([[0, 65536]]), "65536"),
        (np.array([[0, 2**63]], np.uint64), str(2**63)),
        (np.array([[0.0, 1.0]]), "float64"),
        (np.array([["a", "b"]]), "<U1"),
        (np.array([[0, 1j]]), "complex"),
        (np.zeros((2, 1), int), r"\(2, 1\)"),
        (np.zeros(2, int), r"\(2,\)"),
    ],
)
def test_what_cannot_be_an_annotation_is_refused(wrong, said):
    with pytest.raises(AnnotationError, match=said):
        check_annotation(wrong, (1, 2))


def test_lists_are_annotations():
    checked = check_annotation([[0, 1], [2, 0]], (2, 2))
    assert np.asarray(checked).tolist() == [[0, 1], [2, 0]]


# -- versions -------------------------------------------------------------------------


def test_the_same_image_replaces_and_another_adds():
    empty = AnnotationSet()
    one = empty.with_image(_source("a"), _paint((1, 2), (2, 8)), 4)
    two = one.with_image(_source("b"), _paint((3, 2)), 4)
    again = two.with_image(_source("a"), _paint((2, 8)), 4)
    assert [s.version for s in (empty, one, two, again)] == [0, 1, 2, 3]
    assert one.values == (1, 2)
    assert two.values == (1, 2, 3)
    assert again.values == (2, 3)
    assert {image.key for image in again.images} == {"a", "b"}
    assert two.n_px == 18
    assert len(one.strokes) == 2  # older versions stay as they were


def test_an_annotation_without_strokes_removes_the_image():
    one = AnnotationSet().with_image(_source(), _paint((1, 2)), 4)
    none = one.with_image(_source(), _paint(), 4)
    assert none.images == ()
    assert none.version == 2
    assert one.without("a").images == ()
    assert [image.key for image in one.without("b").images] == ["a"]


def test_volumes_have_strokes_by_plane():
    annotation = np.zeros((5, 30, 40), np.uint8)
    annotation[1, 2, 3:9], annotation[4, 2, 3:9] = 2, 2
    source = ImageSource("a", PlaneStack(np.zeros((5, 30, 40))))
    one = AnnotationSet().with_image(source, annotation, 4)
    (image,) = one.images
    assert [s.plane for s in image.strokes] == [1, 4]
    np.testing.assert_array_equal(image.annotation, annotation)


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ([], "Nothing is painted"),
        ([(1, 2)], "Only background"),
        ([(3, 2)], "Only class 3"),
    ],
)
def test_what_to_paint_is_said_until_two_classes_are(marks, said):
    annotations = AnnotationSet().with_image(_source(), _paint(*marks), 4)
    with pytest.raises(AnnotationError, match=said):
        annotations.require_two_classes()


def test_two_classes_on_two_images_are_enough():
    one = AnnotationSet().with_image(_source("a"), _paint((1, 2)), 4)
    two = one.with_image(_source("b"), _paint((2, 2)), 4)
    with pytest.raises(AnnotationError, match="Only background"):
        one.require_two_classes()
    two.require_two_classes()


def test_numbered_objects_are_not_classes():
    annotation = np.arange(30 * 40, dtype=np.uint16).reshape(30, 40)
    with pytest.raises(AnnotationError, match="1199 classes"):
        AnnotationSet().with_image(_source(), annotation, 4)


def test_classes_are_counted_over_all_images():
    annotation = np.zeros((30, 40), np.uint16)
    annotation.flat[::4] = np.arange(1, 301)
    annotation[annotation > 200] = 0
    one = AnnotationSet().with_image(_source("a"), annotation, 4)
    assert len(one.values) == 200
    annotation[annotation > 0] += 100
    with pytest.raises(AnnotationError, match="300 classes"):
        one.with_image(_source("b"), annotation, 4)


# -- folds over images ---------------------------------------------------------------


def test_folds_are_dealt_over_all_images():
    one = AnnotationSet().with_image(_source("a"), _paint((1, 2), (2, 8)), 4)
    two = one.with_image(_source("b"), _paint((1, 2), (2, 8)), 4)
    assert _folds(one, 1) == _folds(one, 2) == [1]
    assert sorted(_folds(two, 1)) == sorted(_folds(two, 2)) == [0, 1]


def test_the_held_out_stroke_trains_when_the_other_one_is_erased():
    one = AnnotationSet().with_image(_source(), _paint((1, 2), (2, 8), (2, 14)), 4)
    assert _folds(one, 2) == [1, HELD_OUT_FOLD]
    left = one.with_image(_source(), _paint((1, 2), (2, 14)), 4)
    assert _folds(left, 2) == [1]


@pytest.mark.parametrize("way", ["without", "emptied", "class erased"])
def test_a_class_that_loses_its_other_images_is_trained_on(way):
    one = AnnotationSet().with_image(_source("a"), _paint((1, 2), (2, 8)), 4)
    two = one.with_image(_source("b"), _paint((1, 2), (2, 8)), 4)
    if way == "without":
        left = two.without("a")
    elif way == "emptied":
        left = two.with_image(_source("a"), _paint(), 4)
    else:
        left = two.with_image(_source("a"), _paint((1, 2)), 4)
    assert HELD_OUT_FOLD not in _folds(left, 2)
    assert sorted(_folds(two, 2)) == [0, 1]  # the older version stays as it was


# -- large images ----------------------------------------------------------------------


def _slide():
    """Two strokes far apart on a slide of 40,000 px a side, of which one is long."""
    annotation = np.zeros((40_000, 40_000), np.uint8)  # memory only where written
    annotation[39_000, 250:270] = 2
    annotation[500, 30_000:30_900] = 1
    return annotation


def test_a_slide_costs_what_is_painted_on_it():
    image = np.broadcast_to(np.uint8(0), (40_000, 40_000))
    source = ImageSource("slide", PlaneStack(image))
    checked = check_annotation(_slide(), (40_000, 40_000))
    assert sum(tile.nbytes for tile in checked.tiles.values()) < 2**20
    (image,) = AnnotationSet().with_image(source, checked, 4).images
    assert [(s.value, s.n_px, s.yx[0].tolist()) for s in image.strokes] == [
        (1, 900, [500, 30_000]),
        (2, 20, [39_000, 250]),
    ]
