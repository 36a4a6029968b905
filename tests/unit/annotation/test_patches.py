from dataclasses import replace

import numpy as np
import pytest

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.border_weights import border_weights, label_objects
from napari_unet.annotation.patches import Border, PatchSampler
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.losses import IGNORE_INDEX
from napari_unet.core.source import ImageSource


def _coordinates(shape):
    """An image whose pixel value names its place."""
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape)


def _set(*annotations):
    result = AnnotationSet()
    for number, annotation in enumerate(annotations):
        source = ImageSource(f"{number}", PlaneStack(_coordinates(annotation.shape)))
        result = result.with_image(source, annotation, 4)
    return result


def _sampler(annotations, values=None, image_px=16, target_px=16, seed=0):
    values = annotations.values if values is None else values
    rng = np.random.default_rng(seed)
    return PatchSampler(annotations, values, image_px, target_px, rng)


def _classes(patch):
    return set(np.unique(patch.target).tolist()) - {IGNORE_INDEX}


def _four_strokes(shape=(80, 90)):
    annotation = np.zeros(shape, np.uint8)
    for row, value in [(10, 1), (30, 1), (50, 2), (70, 2)]:
        annotation[row : row + 2, 10:60] = value
    return annotation


def test_every_class_is_in_as_many_patches_as_there_are_classes():
    annotation = np.zeros((90, 90), np.uint8)
    annotation[2:60, 2:60] = 1  # a region, a stroke and a dot
    annotation[70, 5:80] = 5
    annotation[85, 85] = 9
    sampler = _sampler(_set(annotation))
    for _ in range(20):
        batch = [sampler.draw() for _ in range(3)]
        assert set.union(*map(_classes, batch)) == {0, 1, 2}


def test_targets_are_what_was_painted_where_the_patch_lies():
    annotations = _set(_four_strokes())
    (image,) = annotations.images
    sampler = _sampler(annotations)
    read = image.source.normaliser
    for _ in range(30):
        patch = sampler.draw()
        assert patch.image.shape == (1, 16, 16)
        assert patch.target.shape == (16, 16)
        assert patch.target.dtype == np.int64
        for (y, x), index in np.ndenumerate(patch.target):
            if index == IGNORE_INDEX:
                continue
            # the image's value says which pixel this is
            at = patch.image[0, y, x]
            places = np.argwhere(
                np.isclose(read.apply(image.source.stack.image[None])[0], at, atol=1e-5)
            )
            assert len(places) == 1
            value = np.asarray(image.annotation)[tuple(places[0])]
            assert annotations.values[index] == value


def test_held_out_strokes_never_show():
    annotations = _set(_four_strokes(), _four_strokes()[::-1].copy())
    held_out = [s for _, s in annotations.strokes if s.fold == HELD_OUT_FOLD]
    assert {s.value for s in held_out} == {1, 2}
    n_held_out = sum(s.n_px for s in held_out)
    n_painted = annotations.n_px
    # a patch as large as the image sees every stroke of it at once
    sampler = _sampler(annotations, image_px=256, target_px=256)
    for _ in range(10):
        patch = sampler.draw()
        n_labelled = (patch.target != IGNORE_INDEX).sum()
        assert 0 < n_labelled <= n_painted - n_held_out
    # and small ones are never drawn around one
    narrow = _sampler(annotations, image_px=4, target_px=4)
    hidden = {
        (id(image), *px)
        for image, s in annotations.strokes
        if s.fold == HELD_OUT_FOLD
        for px in s.yx.tolist()
    }
    assert hidden
    assert all(_classes(narrow.draw()) for _ in range(200))


def test_a_held_out_pixel_is_unlabelled_in_a_patch_around_its_neighbour():
    annotation = np.zeros((40, 40), np.uint8)
    annotation[10, 5:30] = 2
    annotation[13, 5:30] = 2  # the second stroke of the class: held out
    annotation[20, 5:30] = 1
    annotations = _set(annotation)
    sampler = _sampler(annotations, image_px=32, target_px=32)
    n_seen = 0
    for _ in range(20):
        patch = sampler.draw()
        rows = np.flatnonzero((patch.target == 1).any(axis=1))
        n_seen += len(rows)
        assert len(rows) <= 1
    assert n_seen > 0


def test_a_short_stroke_is_drawn_as_often_as_a_long_one():
    annotation = np.zeros((60, 200), np.uint8)
    annotation[5, :] = 1  # trains
    annotation[15, :40] = 1  # held out
    annotation[50, 100:104] = 1
    annotation[30, 3:9] = 2
    annotations = _set(annotation)
    sampler = _sampler(annotations, image_px=16, target_px=16)
    of_dot = of_line = 0
    for _ in range(200):
        patch = sampler.draw()
        n = (patch.target == 0).sum()
        of_dot += 0 < n <= 4
        of_line += n > 4
    assert of_dot > 35  # of the 100 patches of class 1
    assert of_line > 35


def test_patches_reach_beyond_the_border_mirrored_and_unlabelled():
    annotation = np.zeros((6, 9), np.uint8)
    annotation[0, 0], annotation[5, 8] = 1, 2
    annotations = _set(annotation)
    sampler = _sampler(annotations, image_px=64, target_px=64)
    for _ in range(10):
        patch = sampler.draw()
        assert patch.image.shape == (1, 64, 64)
        assert np.isfinite(patch.image).all()
        # each painted pixel once: its mirror images are not painted
        assert (patch.target == 0).sum() == 1
        assert (patch.target == 1).sum() == 1


def test_an_unpadded_network_has_targets_in_the_middle():
    annotation = np.zeros((64, 64), np.uint8)
    annotation[20:40, 20:40], annotation[50:60, 50:60] = 1, 2
    annotations = _set(annotation)
    whole = _sampler(annotations, image_px=40, target_px=12)
    for _ in range(20):
        patch = whole.draw()
        assert patch.image.shape == (1, 40, 40)
        assert patch.target.shape == (12, 12)
        middle = patch.image[0, 14:26, 14:26]
        image = annotations.images[0]
        values = image.source.normaliser.apply(image.source.stack.image[None])[0]
        for (y, x), index in np.ndenumerate(patch.target):
            if index != IGNORE_INDEX:
                place = np.unravel_index(
                    np.abs(values - middle[y, x]).argmin(), values.shape
                )
                assert annotation[place] == annotations.values[index]


def test_outputs_that_are_no_longer_painted_are_never_drawn():
    annotations = _set(_four_strokes())
    sampler = _sampler(annotations, values=(7, 1, 2))
    seen = set.union(*(_classes(sampler.draw()) for _ in range(10)))
    assert seen == {1, 2}


@pytest.mark.parametrize("value", [1, 300, 65535])
def test_any_class_value_becomes_its_output_s_index(value):
    annotation = np.zeros((20, 20), np.uint16)
    annotation[3, 3:9], annotation[12, 3:9] = value, 40
    annotations = _set(annotation)
    sampler = _sampler(annotations, values=(value, 40))
    assert 0 in _classes(sampler.draw()) | _classes(sampler.draw())


def test_planes_of_a_volume_have_their_own_targets():
    annotation = np.zeros((3, 40, 40), np.uint8)
    annotation[0, 5, 5:20], annotation[2, 30, 5:20] = 1, 2
    sampler = _sampler(_set(annotation), image_px=64, target_px=64)
    assert [_classes(sampler.draw()) for _ in range(4)] == [{0}, {1}, {0}, {1}]


def test_the_only_stroke_of_a_class_is_seen_after_its_other_image_left():
    marks = _four_strokes()
    marks[30:32] = marks[70:72] = 0  # one stroke a class
    annotations = _set(marks, marks.copy()).without("0")
    sampler = _sampler(annotations)
    assert _classes(sampler.draw()) | _classes(sampler.draw()) == {0, 1}


# -- border weights, and tiles that lie inside ----------------------------------------


def _two_cells():
    """Background everywhere around two squares 3 px apart; nothing is held out."""
    annotation = np.zeros((60, 70), np.uint8)
    annotation[10:50, 12:60] = 1
    annotation[20:30, 20:30] = annotation[20:30, 33:43] = 2
    return annotation


def _sees_all(annotations):
    """Return the same annotations, of which no stroke is held out."""
    (image,) = annotations.images
    strokes = tuple(replace(s, fold=1) for s in image.strokes)
    return replace(annotations, images=(replace(image, strokes=strokes),))


@pytest.mark.parametrize("target_px", [16, 90])
def test_patches_bring_the_border_weights_of_their_pixels(target_px):
    annotation = _two_cells()
    annotations = _sees_all(_set(annotation))
    expected = border_weights(label_objects(annotation), 10, 5)
    sampler = PatchSampler(
        annotations,
        annotations.values,
        target_px,
        target_px,
        np.random.default_rng(0),
        border=Border(10, 5),
    )
    read = annotations.images[0].source.normaliser.apply
    values = read(_coordinates(annotation.shape)[None])[0].ravel()
    for _ in range(10):
        patch = sampler.draw()
        assert patch.border.dtype == np.float32
        painted = patch.target != IGNORE_INDEX
        places = np.abs(patch.image[0][painted][:, None] - values).argmin(axis=1)
        np.testing.assert_array_equal(patch.border[painted], expected.ravel()[places])
    assert patch.border.max() > 7 or target_px < 90


def test_without_a_border_patches_have_no_weights():
    assert _sampler(_set(_two_cells())).draw().border is None


def test_held_out_objects_make_no_gap():
    annotations = _set(_two_cells())
    (image,) = annotations.images
    held = tuple(
        replace(s, fold=HELD_OUT_FOLD if s.value == 2 and s.yx[0, 1] > 30 else 1)
        for s in image.strokes
    )
    annotations = AnnotationSet(1, (replace(image, strokes=held),))
    sampler = PatchSampler(
        annotations, (1, 2), 90, 90, np.random.default_rng(0), border=Border(10, 5)
    )
    assert all((sampler.draw().border == 0).all() for _ in range(4))


def test_annotated_objects_tell_where_gaps_are():
    """One object in two pieces has no gap in it; two objects have one between them."""
    for number, is_gap in ((2, False), (3, True)):
        ids = _two_cells()
        ids[20:30, 33:43] = number
        source = ImageSource("0", PlaneStack(_coordinates(ids.shape)))
        annotations = AnnotationSet(mode="objects").with_image(source, ids, 4)
        annotations = _sees_all(annotations)
        rng = np.random.default_rng(0)
        sampler = PatchSampler(
            annotations, annotations.values, 90, 90, rng, border=Border(10, 5)
        )
        expected = border_weights(np.where(ids > 1, ids, 0), 10, 5)
        assert (expected.max() > 0) == is_gap
        assert sampler.draw().border.max() == expected.max()


def test_border_pixels_of_held_out_objects_are_no_targets():
    ids = np.zeros((60, 70), np.uint8)
    ids[20:30, 20:30], ids[20:30, 30:40] = 2, 3
    ids[45:55, 20:30], ids[45:55, 30:40], ids[0] = 4, 5, 1
    source = ImageSource("0", PlaneStack(_coordinates(ids.shape)))
    annotations = AnnotationSet(mode="objects").with_image(source, ids, 2)
    held_out = {s.yx[0, 0] for _, s in annotations.strokes if s.fold == HELD_OUT_FOLD}
    assert len({y > 40 for y in held_out if y}) == 1  # one of the pairs, whole
    sampler = _sampler(annotations, (1, 2, 3), 90, 90)
    # a patch need not hold all of the image
    n_seen = [int((sampler.draw().target > 0).sum()) for _ in range(12)]
    assert max(n_seen) == 2 * 10 * 10


@pytest.mark.parametrize("shape", [(50, 80), (50, 20), (12, 20)])
def test_tiles_that_are_kept_inside_lie_inside(shape):
    annotation = np.zeros(shape, np.uint8)
    annotation[:, : shape[1] // 2], annotation[:, shape[1] // 2 :] = 1, 2
    annotations = _sees_all(_set(annotation))
    sampler = PatchSampler(
        annotations, (1, 2), 40, 20, np.random.default_rng(0), keeps_inside=True
    )
    n_inside = min(20, shape[0]) * min(20, shape[1])
    corners = set()
    for _ in range(20):
        patch = sampler.draw()
        assert (patch.target != IGNORE_INDEX).sum() == n_inside
        corners.add(float(patch.image[0, 10, 10]))
    # it moves where there is room
    assert (len(corners) > 1) == (shape[0] > 20 or shape[1] > 20)


def test_patches_show_the_planes_around_theirs():
    annotation = np.zeros((2, 5, 40, 40), np.uint8)
    for t, z in ((0, 0), (0, 4), (1, 0), (1, 4)):
        annotation[t, z, 5:7, 5:30] = 1
        annotation[t, z, 25:27, 5:30] = 2
    source = ImageSource("i", PlaneStack(_coordinates(annotation.shape), "TZYX"))
    annotations = AnnotationSet().with_image(source, annotation, 4)
    flat, deep = (
        PatchSampler(
            annotations, (1, 2), 16, 16, np.random.default_rng(0), planes_around=k
        )
        for k in (0, 2)
    )
    thick = set()
    for _ in range(20):
        plane, slab = flat.draw(), deep.draw()
        assert slab.image.shape == (1, 5, 16, 16)
        np.testing.assert_array_equal(slab.image[:, 2], plane.image)
        np.testing.assert_array_equal(slab.target, plane.target)
        # a coordinate tells the plane: mirrored at the ends of the volume
        steps = np.sign(np.diff(slab.image[0, :, 0, 0])).astype(int).tolist()
        thick.add(tuple(steps))
    assert thick == {(-1, -1, 1, 1), (1, 1, -1, -1)}
