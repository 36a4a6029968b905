"""Volumes, their truths and proportions, and the table of their scores."""

import numpy as np
import pytest
import tifffile


@pytest.fixture
def make_line(tmp_path):
    """Write a volume with labels, and return its line of the manifest."""

    def make(labels, kind="instance", pixel_size=""):
        for part, array in (("images", labels * 3), ("labels", labels)):
            (tmp_path / "set" / part).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "set" / part / "v.tif"
            tifffile.imwrite(path, array, photometric="minisblack")
        return {"set": "set", "name": "v", "kind": kind, "pixel_size": pixel_size}

    return make


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("z0.05 (45-50nm) y0.0046 x0.0046", 0.05 / 0.0046),
        ("0.005x0.005x0.005", 1.0),
        ("ratio z:y:x = 2.18:1:1", 2.18),
        ("z0.235 y0.15 x0.15", 0.235 / 0.15),
        ("unknown (light-sheet)", None),
    ],
)
def test_proportions_are_read_as_the_manifest_writes_them(
    make_line, tmp_path, text, expected
):
    from _volumes import read_volume

    labels = np.zeros((5, 8, 8), np.uint8)
    volume = read_volume(tmp_path, make_line(labels, pixel_size=text), 8)
    assert volume.anisotropy == (None if expected is None else pytest.approx(expected))
    assert volume.planes == [1, 2, 3]


def test_truths_are_ground_and_objects_or_inside_and_wall(make_line, tmp_path):
    from _volumes import read_volume

    labels = np.zeros((4, 10, 12), np.uint8)
    labels[:, 2:8, 3:9] = 7
    volume = read_volume(tmp_path, make_line(labels), 8)
    assert volume.image.shape == volume.truth.shape == (4, 8, 8)
    np.testing.assert_array_equal(volume.truth, (labels[:, 1:9, 2:10] > 0) + 1)
    labels[:, :, :6], labels[:, :, 6:] = 1, 2
    walls = read_volume(tmp_path, make_line(labels), 12).truth
    assert (np.flatnonzero((walls == 2).all((0, 1))) == [5, 6]).all()
    assert (walls == 2).sum() == 4 * 10 * 2
    classes = read_volume(tmp_path, make_line(labels, "semantic"), 12).truth
    np.testing.assert_array_equal(classes, labels + 1)


def test_strokes_lie_in_three_planes_and_the_forest_learns_them():
    from _volumes import Volume, paint, predict_forest
    from volumes import _score

    truth = np.ones((8, 40, 40), np.uint8)
    truth[:, :, 20:] = 2
    noise = np.random.default_rng(0).normal(size=truth.shape)
    volume = Volume(truth * 2.0 + noise, truth, 2.0)
    annotation = paint(volume, 2, seed=0)
    assert np.flatnonzero(annotation.any((1, 2))).tolist() == [2, 4, 6]
    labels = predict_forest(volume, annotation, 0)
    scores = _score(volume, annotation, labels)
    assert set(scores) == {"1", "2"}
    assert min(scores.values()) > 0.8
    # painted planes are not judged
    labels[[2, 4, 6]] = 1
    assert _score(volume, annotation, labels) == scores


def test_the_table_has_means_over_seeds_and_differences():
    from volumes import report

    def line(seed, part, scores, seconds=None):
        more = {} if seconds is None else {"seconds": seconds}
        return {
            "case": {"set": "a", "seed": seed},
            "part": part,
            "scores": scores,
            **more,
        }

    lines = [
        line(0, "forest", {"forest 3D": {"1": 0.5, "2": 0.3}}),
        line(0, "2d", {"instant": {"1": 0.6}, "2d": {"1": 0.6}}, 10),
        line(0, "3d", {"3d": {"1": 0.7}}, 20),
        line(1, "3d", {"3d": {"1": 0.8}}, 30),
        line(9, "3d", {"3d": {"1": 0.0}}, 99),
    ]
    text = report(lines, None, [0, 1])
    row = "| a | 0.400 | 0.600 | - | 0.600 | - | 0.750 | +0.350 | +0.150 |"
    assert row in text.splitlines()
    assert "2d 10 s, 3d 25 s" in text
    assert "| a |" not in report(lines, ["b"], [0, 1])
