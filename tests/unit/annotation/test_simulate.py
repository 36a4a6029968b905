import numpy as np
import pytest
from scipy import ndimage

from napari_unet.annotation.simulate import simulate_corrections, simulate_strokes
from napari_unet.errors import AnnotationError


def _blobs(shape=(160, 200), cuts=(0.5, 0.8), seed=0, smooth=8):
    """Return a truth of classes 1, 2, ... in smooth blobs."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), smooth)
    return np.digitize(field, np.quantile(field, cuts)).astype(np.uint8) + 1


def _n_strokes(annotation, value):
    structure = np.ones((3,) * annotation.ndim)
    return ndimage.label(annotation == value, structure)[1]


def _longest_side(annotation, value):
    labels, _ = ndimage.label(annotation == value, np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    return [max(side.stop - side.start for side in box) for box in boxes]


@pytest.mark.parametrize("n_strokes", [1, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_strokes_lie_in_their_class_and_are_as_many_as_asked(n_strokes, seed):
    truth = _blobs(seed=seed)
    annotation = simulate_strokes(truth, n_strokes, seed)
    painted = annotation > 0
    np.testing.assert_array_equal(annotation[painted], truth[painted])
    assert [_n_strokes(annotation, v) for v in (1, 2, 3)] == [n_strokes] * 3


def test_the_annotation_is_sparse_and_new():
    truth = _blobs()
    before = truth.copy()
    annotation = simulate_strokes(truth, 3, 0)
    assert annotation.dtype == np.uint8
    assert annotation.shape == truth.shape
    assert 0 < (annotation > 0).mean() < 0.05
    np.testing.assert_array_equal(truth, before)


def test_the_seed_decides_everything():
    truth = _blobs()
    first = simulate_strokes(truth, 5, 7)
    np.random.default_rng().random()
    np.testing.assert_array_equal(first, simulate_strokes(truth, 5, 7))
    assert (first != simulate_strokes(truth, 5, 8)).any()


def test_the_type_of_the_truth_does_not_matter():
    truth = _blobs()
    for dtype in (np.int64, np.uint16, np.int32):
        np.testing.assert_array_equal(
            simulate_strokes(truth.astype(dtype), 3, 0), simulate_strokes(truth, 3, 0)
        )


def test_unknown_is_never_painted_and_values_may_have_gaps():
    truth = np.zeros((80, 80), np.int64)
    truth[:30], truth[50:] = 4, 300
    annotation = simulate_strokes(truth, 4, 0)
    assert annotation.dtype == np.uint16
    assert set(np.unique(annotation)) == {0, 4, 300}
    assert (annotation[30:50] == 0).all()


def test_length_and_width_are_within_their_ranges():
    truth = np.ones((300, 300), np.uint8)
    for seed in range(5):
        annotation = simulate_strokes(
            truth, 6, seed, length_px=(10, 20), width_px=(1, 1)
        )
        labels, n = ndimage.label(annotation, np.ones((3, 3)))
        n_px = np.bincount(labels.ravel())[1:]
        assert n == 6
        # a curve of 20 px covers at most 20 / 0.9 pixels, and a diagonal fewer
        assert n_px.min() >= 6
        assert n_px.max() <= 23
        assert max(_longest_side(annotation, 1)) <= 20


def test_wide_strokes_are_wide():
    truth = np.ones((200, 200), np.uint8)
    annotation = simulate_strokes(truth, 4, 0, length_px=(20, 20), width_px=(5, 5))
    depth = ndimage.distance_transform_cdt(annotation > 0, "chessboard")
    assert depth.max() >= 2  # there is a 3x3 square around a centre
    assert (annotation > 0).sum() > 4 * 20 * 3


def test_strokes_are_smooth_curves_not_blots():
    truth = np.ones((300, 300), np.uint8)
    sides = []
    for seed in range(10):
        annotation = simulate_strokes(
            truth, 3, seed, length_px=(30, 30), width_px=(1, 1)
        )
        sides += _longest_side(annotation, 1)
    # a random walk of 30 steps gets about 5 px far; a curve there and back, 20 px
    assert np.median(sides) > 23


def test_the_centre_is_favoured_but_not_exclusively():
    truth = np.ones((100, 100), np.uint8)
    truth[30:70, 30:70] = 2
    depth = ndimage.distance_transform_cdt(truth == 2, "chessboard")
    depths = []
    for seed in range(300):
        annotation = simulate_strokes(truth, 1, seed, length_px=(1, 1), width_px=(1, 1))
        depths.append(depth[annotation == 2].mean())
    depths = np.array(depths)
    uniform_mean = depth[truth == 2].mean()
    assert depths.mean() > uniform_mean + 1
    # a tenth of the area lies at its border: 30 of 300, were all places alike, and 4,
    # were only the depth to count
    assert 8 <= (depths == 1).sum() <= 20


def test_strokes_of_a_class_are_spread_where_there_is_room():
    truth = np.ones((300, 300), np.uint8)
    for seed in range(5):
        annotation = simulate_strokes(truth, 5, seed, length_px=(5, 5))
        labels, _ = ndimage.label(annotation, np.ones((3, 3)))
        for label in range(1, 6):
            distance = ndimage.distance_transform_cdt(labels != label, "chessboard")
            others = (labels > 0) & (labels != label)
            assert distance[others].min() > 3


def test_a_thin_structure_gets_strokes_along_it():
    truth = np.ones((120, 120), np.uint8)
    y, x = np.ogrid[:120, :120]
    radius = np.hypot(y - 60, x - 60)
    truth[(radius >= 40) & (radius < 41.5)] = 2
    annotation = simulate_strokes(truth, 4, 1, length_px=(15, 15))
    assert (truth[annotation == 2] == 2).all()
    assert _n_strokes(annotation, 2) == 4
    assert max(_longest_side(annotation, 2)) >= 8


def test_lines_of_one_pixel_can_be_painted():
    truth = np.ones((90, 90), np.uint8)
    truth[::10] = 2
    annotation = simulate_strokes(truth, 6, 0)
    assert (truth[annotation == 2] == 2).all()
    assert _n_strokes(annotation, 2) == 6


def test_a_class_of_one_pixel_gets_a_dot():
    truth = np.ones((30, 30), np.uint8)
    truth[12, 17] = 2
    annotation = simulate_strokes(truth, 3, 0)
    assert np.argwhere(annotation == 2).tolist() == [[12, 17]]
    assert _n_strokes(annotation, 1) == 3


def test_a_small_class_is_not_painted_over():
    truth = np.ones((60, 60), np.uint8)
    truth[20:25, 20:25] = 2
    for seed in range(10):
        annotation = simulate_strokes(truth, 2, seed, width_px=(1, 1))
        assert _n_strokes(annotation, 2) == 2
        assert (annotation == 2).sum() <= 14


def test_scattered_dots_get_at_most_one_stroke_each():
    truth = np.ones((40, 40), np.uint8)
    truth[5::10, 5::10] = 2
    annotation = simulate_strokes(truth, 50, 0)
    assert _n_strokes(annotation, 2) == 16


def test_one_class_alone_and_tiny_images():
    assert set(np.unique(simulate_strokes(np.full((3, 3), 2), 1, 0))) == {0, 2}
    assert simulate_strokes(np.ones((1, 1), int), 5, 0).tolist() == [[1]]
    line = simulate_strokes(np.ones((1, 50), int), 2, 0)
    assert _n_strokes(line, 1) == 2


def test_no_strokes_is_an_empty_annotation():
    assert not simulate_strokes(_blobs(), 0, 0).any()


def test_volumes_get_strokes_in_a_few_planes():
    truth = _blobs((20, 80, 90))
    annotation = simulate_strokes(truth, 6, 0)
    assert annotation.shape == truth.shape
    assert (annotation[annotation > 0] == truth[annotation > 0]).all()
    assert [_n_strokes(annotation, v) for v in (1, 2, 3)] == [6, 6, 6]
    with_paint = np.flatnonzero(annotation.any((1, 2)))
    assert len(with_paint) == 3
    assert np.diff(with_paint).min() > 1  # neighbouring planes say the same twice


def test_a_class_in_one_plane_is_found():
    truth = np.ones((15, 40, 40), np.uint8)
    truth[11, 10:30, 10:30] = 2
    annotation = simulate_strokes(truth, 2, 0)
    assert _n_strokes(annotation, 2) == 2
    assert np.flatnonzero((annotation == 2).any((1, 2))).tolist() == [11]


def test_strokes_in_neighbouring_planes_stay_apart():
    truth = np.ones((3, 12, 12), np.uint8)
    for seed in range(20):
        annotation = simulate_strokes(truth, 6, seed, length_px=(1, 4))
        in_planes = sum(_n_strokes(plane, 1) for plane in annotation)
        assert _n_strokes(annotation, 1) == in_planes


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (np.zeros((5, 5), int), "no class"),
        (np.ones((5, 5)), "float64"),
        (np.ones(5, int), r"\(5,\)"),
        (np.full((5, 5), -1), "-1"),
        (np.full((5, 5), 70_000), "70000"),
    ],
)
def test_a_truth_that_cannot_be_painted_is_refused(truth, words):
    with pytest.raises(AnnotationError, match=words):
        simulate_strokes(truth, 1, 0)


def test_ranges_are_checked():
    truth = _blobs()
    with pytest.raises(AnnotationError, match="n_strokes is -1"):
        simulate_strokes(truth, -1, 0)
    with pytest.raises(AnnotationError, match="length_px"):
        simulate_strokes(truth, 1, 0, length_px=(5, 4))
    with pytest.raises(AnnotationError, match="width_px"):
        simulate_strokes(truth, 1, 0, width_px=(0, 4))


def _errors_in_two_places():
    truth = np.ones((100, 100), np.uint8)
    truth[10:50, 10:50] = 2
    truth[70:91, 70:90] = 3
    prediction = np.ones_like(truth)
    prediction[12:22, 60:70] = 2  # a small error in class 1
    return truth, prediction


def test_corrections_go_to_the_largest_errors_in_their_true_class():
    truth, prediction = _errors_in_two_places()
    empty = np.zeros_like(truth)
    # their shares, by strokes painted: 1600, 800, 533 px of class 2; 420 px of class 3;
    # 100 px of class 1 once the others are down to that
    for n_strokes, by_class in ((1, [0, 1, 0]), (3, [0, 3, 0]), (4, [0, 3, 1])):
        painted = simulate_corrections(truth, prediction, empty, n_strokes, 0)
        assert [_n_strokes(painted, v) for v in (1, 2, 3)] == by_class
    many = simulate_corrections(truth, prediction, empty, 40, 0)
    assert set(np.unique(many)) == {0, 1, 2, 3}


def test_corrections_lie_in_the_errors_and_keep_the_old_strokes():
    truth = _blobs()
    prediction = np.roll(truth, 9, axis=1)
    annotation = simulate_strokes(truth, 3, 0)
    before = annotation.copy()
    corrected = simulate_corrections(truth, prediction, annotation, 6, 0)
    np.testing.assert_array_equal(annotation, before)
    np.testing.assert_array_equal(corrected[before > 0], before[before > 0])
    new = (corrected > 0) & (before == 0)
    assert new.any()
    assert (prediction[new] != truth[new]).all()
    np.testing.assert_array_equal(corrected[new], truth[new])
    n_before = sum(_n_strokes(before, v) for v in (1, 2, 3))
    n_after = sum(_n_strokes(corrected, v) for v in (1, 2, 3))
    assert n_after == n_before + 6


def test_corrections_do_not_touch_strokes_of_their_class():
    truth = np.full((12, 40), 2, np.uint8)
    prediction = np.ones_like(truth)
    annotation = np.zeros_like(truth)
    annotation[6, 3:37] = 2
    for seed in range(10):
        corrected = simulate_corrections(truth, prediction, annotation, 3, seed)
        assert _n_strokes(corrected, 2) == 4


def test_corrections_are_decided_by_the_seed():
    truth = _blobs()
    prediction, empty = np.ones_like(truth), np.zeros_like(truth)
    first = simulate_corrections(truth, prediction, empty, 5, 1)
    again = simulate_corrections(truth, prediction, empty, 5, 1)
    other = simulate_corrections(truth, prediction, empty, 5, 2)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_nothing_wrong_nothing_painted():
    truth = _blobs()
    annotation = simulate_strokes(truth, 2, 0)
    corrected = simulate_corrections(truth, truth, annotation, 5, 0)
    np.testing.assert_array_equal(corrected, annotation)
    assert corrected is not annotation


def test_unknown_truth_is_no_error():
    truth = np.zeros((40, 40), np.uint8)
    truth[:10] = 1
    corrected = simulate_corrections(
        truth, np.full_like(truth, 2), np.zeros_like(truth), 50, 0
    )
    assert (corrected[10:] == 0).all()
    assert (corrected[:10] == 1).any()


def test_corrections_end_when_there_is_no_room():
    truth = np.ones((20, 20), np.uint8)
    truth[10, 10] = 2
    prediction = np.ones_like(truth)
    corrected = simulate_corrections(truth, prediction, np.zeros_like(truth), 9, 0)
    assert np.argwhere(corrected).tolist() == [[10, 10]]


def test_corrections_in_a_volume_lie_in_planes():
    truth = _blobs((10, 60, 60))
    prediction = np.roll(truth, 7, axis=1)
    empty = np.zeros(truth.shape, np.int32)
    corrected = simulate_corrections(truth, prediction, empty, 4, 0)
    assert corrected.dtype == np.int32
    assert sum(_n_strokes(corrected, v) for v in (1, 2, 3)) == 4
    new = corrected > 0
    assert (prediction[new] != truth[new]).all()
    np.testing.assert_array_equal(corrected[new], truth[new])


def test_the_type_is_widened_where_a_class_needs_it():
    truth = np.full((20, 20), 300)
    corrected = simulate_corrections(
        truth, np.ones_like(truth), np.zeros(truth.shape, np.uint8), 1, 0
    )
    assert corrected.max() == 300


def test_shapes_of_corrections_must_agree():
    truth = _blobs()
    with pytest.raises(AnnotationError, match="differ in shape"):
        simulate_corrections(truth, truth[1:], np.zeros_like(truth), 1, 0)
