"""What events say of themselves."""

import pytest

from napari_unet.jobs import Score


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (
            Score(0.871, n_px=412, n_strokes=9),
            "IoU 0.87 (412 px of 9 strokes held out)",
        ),
        (
            Score(0.5, n_px=1234, n_strokes=1),
            "IoU 0.50 (1,234 px of 1 stroke held out)",
        ),
        (
            Score(0.5, n_px=1234, n_strokes=9, is_of_objects=True),
            "IoU 0.50 (1,234 px in 9 places held out)",
        ),
        (
            Score(0.5, n_px=5, n_strokes=1, is_of_objects=True),
            "IoU 0.50 (5 px in 1 place held out)",
        ),
        (Score(None, n_px=5, n_strokes=1), ""),
    ],
)
def test_a_score_is_read_with_what_it_rests_on(score, text):
    assert score.text == text
