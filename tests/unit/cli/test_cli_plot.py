"""The picture of the curves: lines where they belong, odd input survives."""

import numpy as np
import pytest

from napari_unet.cli._plot import _COLOURS, _ticks, curves_picture
from napari_unet.jobs import Score
from napari_unet.session import Curve, ScorePoint


def has_colour(picture, colour):
    return (np.abs(picture.astype(int) - colour).max(axis=2) < 8).any()


def test_every_candidate_is_drawn():
    curve = Curve(
        losses=[(t / 10, 2 / (1 + t)) for t in range(400)],
        scores=[ScorePoint(5.0, "forest", Score(0.7)), ScorePoint(9, "x", Score(None))],
        rounds=[10.0, 20.0],
    )
    scores = {name: [(10, 0.5), (40, 0.9)] for name in ("forest", "fine-tuned")}
    picture = curves_picture(curve, scores)
    assert picture.shape == (640, 960, 3)
    assert picture.dtype == np.uint8
    for name, colour in _COLOURS.items():
        assert has_colour(picture, colour) == (name in scores)


@pytest.mark.parametrize(
    "curve", [Curve(), Curve(losses=[(1.0, float("nan")), (2.0, float("inf"))])]
)
def test_nothing_and_no_numbers(curve):
    picture = curves_picture(curve, {})
    assert (picture == 255).mean() > 0.9


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.4, 1), (0, 45), (0, 1e-3), (0, 3600), (0.9, 1)]
)
def test_ticks(low, high):
    ticks = _ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert low <= ticks[0] < ticks[-1] <= high + 1e-9
