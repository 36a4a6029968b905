import numpy as np
import pytest

from napari_unet.annotation.strokes import (
    HELD_OUT_FOLD,
    Stroke,
    deal_folds,
    find_strokes,
)


def _paint(shape=(60, 60), **boxes):
    """Paint boxes ``name=(value, y0, y1, x0, x1)``."""
    annotation = np.zeros(shape, np.uint8)
    for value, y0, y1, x0, x1 in boxes.values():
        annotation[y0:y1, x0:x1] = value
    return annotation


def _folds(strokes):
    """Fold of each stroke by its value and first pixel."""
    return {(s.value, *s.yx[0].tolist()): s.fold for s in strokes}


def _grow(annotation, previous=(), n_folds=4):
    return deal_folds(find_strokes(annotation), n_folds, previous)


# -- strokes ------------------------------------------------------------------------


def test_nothing_painted_has_no_strokes():
    assert find_strokes(np.zeros((5, 5), int)) == []


def test_connected_marks_are_strokes_of_their_class():
    annotation = _paint(a=(2, 1, 3, 1, 9), b=(2, 10, 12, 1, 9), c=(1, 3, 5, 1, 9))
    strokes = find_strokes(annotation, plane=7)
    assert [(s.value, s.plane, s.n_px) for s in strokes] == [
        (1, 7, 16),
        (2, 7, 16),
        (2, 7, 16),
    ]
    for stroke in strokes:
        assert (annotation[stroke.yx[:, 0], stroke.yx[:, 1]] == stroke.value).all()
    assert sum(s.n_px for s in strokes) == (annotation > 0).sum()


def test_a_diagonal_line_is_one_stroke():
    assert len(find_strokes(np.eye(20, dtype=np.uint8))) == 1


def test_one_pixel_is_a_stroke():
    (stroke,) = find_strokes(np.ones((1, 1), np.uint16))
    assert stroke.yx.tolist() == [[0, 0]]


def test_a_declared_region_is_cut_and_a_long_stroke_is_not():
    annotation = np.zeros((100, 100), np.uint8)
    annotation[5:95, 10:90] = 2
    annotation[0, :] = 3
    strokes = find_strokes(annotation, region_px=32)
    blocks = [s for s in strokes if s.value == 2]
    assert len(blocks) == 3 * 3
    assert [s.n_px for s in strokes if s.value == 3] == [100]
    together = np.concatenate([s.yx for s in blocks])
    assert len(np.unique(together, axis=0)) == len(together) == 90 * 80
    for block in blocks:
        assert (np.ptp(block.yx, axis=0) < 32).all()


# -- folds --------------------------------------------------------------------------


def test_the_only_stroke_of_a_class_is_never_held_out():
    strokes = _grow(_paint(a=(1, 1, 3, 1, 9), b=(2, 10, 12, 1, 9)))
    assert all(s.fold != HELD_OUT_FOLD for s in strokes)


def test_the_second_stroke_is_held_out_and_further_ones_are_spread():
    annotation = np.zeros((80, 20), np.uint8)
    previous = ()
    seen = []
    for number in range(9):
        annotation[number * 8, 2:9] = 2
        previous = _grow(annotation, previous)
        seen.append(_folds(previous)[2, number * 8, 2])
    assert seen[:4] == [1, HELD_OUT_FOLD, 2, 3]
    assert all(seen.count(fold) >= 2 for fold in range(4))


def test_folds_stay_while_painting_grows():
    rng = np.random.default_rng(0)
    annotation = np.zeros((120, 120), np.uint8)
    previous: tuple[Stroke, ...] = ()
    fold_of_px = {}  # first fold of each pixel that was ever seen by the network
    for _ in range(60):
        y, x = rng.integers(0, 110, 2)
        value = int(rng.integers(1, 4))
        part = annotation[y : y + 2, x : x + int(rng.integers(2, 9))]
        part[part == 0] = value  # never over another class
        previous = _grow(annotation, previous)
        for stroke in previous:
            for px in map(tuple, stroke.yx.tolist()):
                before = fold_of_px.setdefault(px, stroke.fold)
                # what was trained on is never held out later
                if before != HELD_OUT_FOLD:
                    assert stroke.fold != HELD_OUT_FOLD
                fold_of_px[px] = stroke.fold
    for value in (1, 2, 3):
        folds = [s.fold for s in previous if s.value == value]
        assert set(folds) == {0, 1, 2, 3}


def test_a_stroke_keeps_its_fold_when_it_grows():
    first = _grow(_paint(a=(2, 1, 3, 1, 9), b=(2, 20, 22, 1, 9)))
    grown = _grow(_paint(a=(2, 1, 6, 1, 30), b=(2, 20, 22, 1, 9)), first)
    assert [s.fold for s in grown] == [s.fold for s in first]


def test_joined_strokes_are_not_held_out():
    first = _grow(_paint(a=(2, 1, 3, 1, 9), b=(2, 20, 22, 1, 9), c=(2, 40, 42, 1, 9)))
    assert sorted(s.fold for s in first) == [0, 1, 2]
    joined = _grow(_paint(a=(2, 1, 22, 1, 9), c=(2, 40, 42, 1, 9)), first)
    assert len(joined) == 2
    # the held-out stroke was among the two: nothing of it may be held out any more
    assert all(s.fold != HELD_OUT_FOLD for s in joined)


def test_a_split_stroke_keeps_its_fold_in_both_parts():
    boxes = {"a": (2, 1, 3, 1, 30), "b": (2, 20, 22, 1, 30)}
    first = _grow(_paint(**boxes))
    annotation = _paint(**boxes)
    annotation[:, 15] = 0
    assert _folds(_grow(annotation, first)) == {
        (2, 1, 1): 1,
        (2, 1, 16): 1,
        (2, 20, 1): 0,
        (2, 20, 16): 0,
    }


def test_strokes_of_another_plane_or_class_are_not_earlier_ones():
    first = _grow(_paint(a=(2, 1, 3, 1, 9), b=(2, 20, 22, 1, 9)))
    other = [Stroke(2, 5, s.yx) for s in find_strokes(_paint(b=(2, 20, 22, 1, 9)))]
    (moved,) = deal_folds(other, 4, first)
    assert moved.fold == 1  # dealt anew
    (repainted,) = _grow(_paint(b=(3, 20, 22, 1, 9)), first)
    assert repainted.fold == 1


def test_strokes_of_other_images_count():
    (mine,) = find_strokes(_paint(a=(2, 1, 3, 1, 9)))
    elsewhere = [Stroke(2, 0, mine.yx, fold=1), Stroke(1, 0, mine.yx, fold=0)]
    (dealt,) = deal_folds([mine], 4, (), elsewhere)
    assert dealt.fold == HELD_OUT_FOLD  # the second of its class over all images


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_all_folds_are_used(n_folds):
    annotation = np.zeros((60, 20), np.uint8)
    annotation[::4, 2:9] = 2
    strokes = _grow(annotation, n_folds=n_folds)
    assert {s.fold for s in strokes} == set(range(n_folds))
