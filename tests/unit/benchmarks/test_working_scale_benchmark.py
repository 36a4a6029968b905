"""Images that are enlarged, and the table of what a coarser resolution costs."""

from argparse import Namespace

import numpy as np
import pytest
import tifffile


@pytest.fixture
def data(tmp_path):
    """A set of one image: a bright square on a dark ground."""
    truth = np.zeros((40, 48), np.uint8)
    truth[8:24, 12:36] = 1
    noise = np.random.default_rng(0).integers(0, 30, truth.shape)
    for part, array in (("images", truth * 150 + noise), ("labels", truth)):
        (tmp_path / "cells" / part).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "cells" / part / "a.tif", array.astype(np.uint8))
    (tmp_path / "manifest.csv").write_text("set,name,axes,kind\ncells,a,YX,instance\n")
    return Namespace(
        data=tmp_path,
        window=256,
        strokes=2,
        sets=["cells*4"],
        seeds=[0],
        shard="0/1",
        device="cpu",
        threads=1,
        start="bundled",
    )


def test_an_enlarged_case_has_enlarged_strokes(data):
    from _data import read_manifest
    from working_scale import read_case

    (row,) = read_manifest(data.data)["cells"]
    image, truth, strokes = read_case(data, row, 1, 0)
    large, large_truth, large_strokes = read_case(data, row, 4, 0)
    assert large.shape == large_truth.shape == large_strokes.shape == (160, 192)
    assert np.array_equal(large_truth[2::4, 2::4], truth)
    assert np.array_equal(large_strokes[2::4, 2::4], strokes)
    middle = large.reshape(40, 4, 48, 4).mean(axis=(1, 3))
    assert abs(middle - image).mean() < 8  # nothing has moved


def test_a_case_is_scored_at_each_resolution(data):
    from working_scale import plan

    tasks = plan(data)
    assert [(t.case["set"], t.part) for t in tasks] == [
        ("cells*4", part) for part in ("1", "2", "4", "8")
    ]
    found = tasks[2].work()
    assert found["shape"] == (160, 192)
    assert min(found["iou"].values()) > 0.5
    assert found["seconds"] > 0


def test_the_table_has_means_over_seeds():
    from working_scale import report

    def line(seed, part, iou, seconds):
        case = {"set": "a", "seed": seed}
        return {"case": case, "part": part, "iou": iou, "seconds": seconds}

    lines = [
        line(0, "1", {"1": 0.9, "2": 0.7}, 8.0),
        line(1, "1", {"1": 0.8, "2": 0.6}, 10.0),
        line(0, "2", {"1": 0.9, "2": 0.9}, 2.0),
        line(9, "2", {"1": 0.0}, 99.0),
    ]
    rows = report(lines, None, [0, 1]).splitlines()
    assert "| a | 0.750 | 0.900 | - | - | 9.0 | 2.0 | - | - |" in rows
    assert not any(row.startswith("| a ") for row in rows[:2])
    assert "| a |" not in report(lines, ["b"], [0, 1])
