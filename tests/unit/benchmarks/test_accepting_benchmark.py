"""What the annotator of the accepting benchmark accepts, and what is reported of it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal


@pytest.fixture
def predicted():
    """Return a truth with two objects, a prediction with two, and how sure it is."""
    truth = np.ones((40, 60), np.uint8)
    truth[5:15, 5:15] = truth[20:30, 40:50] = 2
    shown = np.ones_like(truth)
    shown[5:15, 5:16] = 2  # ten of eleven columns are right
    shown[18:28, 36:46] = 2  # half of it is
    confidence = np.full(truth.shape, 0.95)
    confidence[18:28, 36:46] = 0.7
    return truth, shown, confidence


def test_what_each_arm_accepts(predicted):
    from _accepting import accept

    truth, shown, confidence = predicted
    assert not accept("none", shown, confidence, truth).any()
    assert_array_equal(accept("plane", shown, confidence, truth), shown)
    sure = accept("above", shown, confidence, truth)
    assert_array_equal(sure == 0, confidence < 0.9)
    assert_array_equal(sure[sure > 0], shown[sure > 0])
    right = accept("objects", shown, confidence, truth)
    assert set(np.unique(right)) == {0, 2}
    assert right[5:15, 5:16].all()
    assert np.count_nonzero(right) == 110


def record(seed, none, plane):
    """Return a case whose scores are those of round 2 and later."""
    scores, keys = {}, ("2", "2+", "3")
    for arm, iou in (("none", none), ("objects", none), ("plane", plane)):
        for key in keys:
            scores[f"{arm}@{key}"] = {"same": {"1": iou, "2": iou}}
    scores |= {f"above@{key}": scores[f"none@{key}"] for key in keys}
    parts = {
        arm: {"held_out": {"3": held}, "n_accepted_px": 200, "n_wrong_px": 30}
        for arm, held in (("objects", None), ("plane", plane + 0.1), ("above", None))
    }
    return {
        "case": {"set": "cells", "seed": seed},
        "settings": {
            "n_rounds": 1,
            "n_strokes": 3,
            "steps": 0,
            "window_px": 320,
            "device": "cpu",
            "start": "bundled",
            "version": "1",
        },
        "origin": {"commit": "abc"},
        "held_out": {"3": none - 0.5},
        "scores": scores,
        **parts,
    }


def test_the_tables_compare_with_accepting_nothing_and_with_the_truth():
    from _accepting_report import report

    text = report([record(0, 0.8, 0.7), record(1, 0.9, 0.7)])
    plane = [line for line in text.splitlines() if "the plane, errors too" in line]
    assert "15.0% | -0.150 ±0.000" in plane[1]
    assert "cells -0.150" in plane[1]
    assert "0.800 | 0.700 | +0.100 | +0.100" in plane[2]
    nothing = [line for line in text.splitlines() if "| nothing |" in line]
    assert "0.350 | 0.850 | -0.500" in nothing[1]
    assert "| what is surer than 0.90 | - | - | - | - |" in text
