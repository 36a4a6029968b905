"""The learning curves and their ticks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qtpy.QtGui import QColor

from napari_unet.jobs import AnnotationTaken, Score, Scored, StepDone
from napari_unet.widgets._plot import clock_ticks, nice_ticks, smooth
from napari_unet.widgets.curves import CurvesDock, charts_of


@pytest.fixture
def learned(painted):
    """A dock whose session has curves."""
    case = painted()
    case.state.live.stop()  # whose own scores would come in between
    session = case.state.session
    for step in range(1, 60):
        session.apply(StepDone(step, 2 / step, step * 0.5, 2.0, 1))
    session.apply(AnnotationTaken(2, 4, 80))
    score = Score(0.7, {1: 0.9, 2: 0.5}, {}, 120, 4)
    session.apply(Scored({"fine-tuned": score}, "fine-tuned", "", 60, 30.0, True))
    return case


def test_lines_have_the_classes_colours_and_n(learned, qtbot):
    dock = CurvesDock(learned.viewer)
    qtbot.addWidget(dock)
    loss, iou = charts_of(learned.state, dock.plot._palette)
    assert len(loss.series[0].faint) == 59
    assert [s.name for s in iou.series] == ["background", "object"]
    assert iou.series[1].colour == learned.state.classes.get(2).colour
    assert iou.series[1].points[-1][1] == 0.5
    assert iou.note.startswith("120 px of 4 strokes held out")
    assert list(iou.marks) == [29.5]


def test_both_charts_are_drawn(learned, qtbot):
    dock = CurvesDock(learned.viewer)
    qtbot.addWidget(dock)
    dock.resize(700, 200)
    dock.show()
    picture = dock.plot.grab().toImage()
    colours = {
        QColor(picture.pixel(x, y)).name()
        for x in range(0, picture.width(), 2)
        for y in range(0, picture.height(), 2)
    }
    assert learned.state.classes.get(2).colour.lower() in colours
    assert dock.plot._palette.advice.lower() in colours


@pytest.mark.parametrize("size", [(700, 200), (320, 400)])
def test_charts_stand_beside_or_above_each_other(learned, qtbot, size):
    dock = CurvesDock(learned.viewer)
    qtbot.addWidget(dock)
    dock.plot.resize(*size)
    first, second = dock.plot.boxes()
    is_wide = size[0] > size[1]
    assert (second.left() >= first.right()) == is_wide
    assert (second.top() >= first.bottom()) != is_wide


def test_colours_follow_the_theme(learned, qtbot):
    dock = CurvesDock(learned.viewer)
    qtbot.addWidget(dock)
    before = dock.plot._palette
    learned.viewer.theme = "light"
    assert dock.plot._palette != before
    assert not dock.plot._palette.is_dark
    assert dock.plot._palette.background.upper() in learned.dock.styleSheet().upper()


def test_curves_are_saved_whole_or_not_at_all(learned, qtbot, tmp_path, monkeypatch):
    dock = CurvesDock(learned.viewer)
    qtbot.addWidget(dock)
    path = tmp_path / "curves.csv"
    chosen = [path]
    monkeypatch.setattr(
        "napari_unet.widgets.curves.QFileDialog.getSaveFileName",
        lambda *_args: (str(chosen[0]), ""),
    )
    dock.save.click()
    assert path.read_text() == learned.state.session.curve.csv()
    chosen[0] = tmp_path / "missing" / "curves.csv"
    dock.save.click()
    assert "make the folder" in learned.state.session.message

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    chosen[0] = path
    learned.state.session.curve.losses.clear()
    monkeypatch.setattr("pathlib.Path.write_text", full)
    dock.save.click()
    assert "disk is full" in learned.state.session.message
    assert "loss" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["curves.csv"]


@given(st.floats(0, 1e4), st.floats(1e-3, 1e4), st.integers(1, 9))
def test_ticks_are_round_within_the_range_and_few(low, span, most):
    high = low + span
    ticks = nice_ticks(low, high, most)
    assert len(ticks) <= most + 1
    tolerance = span * 1e-6 + 1e-9
    assert all(low - tolerance <= tick <= high + tolerance for tick in ticks)
    if len(ticks) > 2:
        steps = np.diff(ticks)
        assert np.allclose(steps, steps[0])


@given(st.floats(1, 80_000), st.integers(2, 8))
def test_clock_ticks_start_at_zero_and_stay_within(end_s, most):
    ticks = clock_ticks(end_s, most)
    assert ticks[0] == 0
    assert ticks[-1] <= end_s
    assert len(ticks) <= most + 1


def test_smoothing_is_unbiased_from_the_first_point():
    assert [v for _, v in smooth([(0, 4.0), (1, 4.0), (2, 4.0)])] == pytest.approx(
        [4.0, 4.0, 4.0]
    )
    noisy = [(float(i), 1.0 + (-1) ** i) for i in range(200)]
    assert abs(smooth(noisy)[-1][1] - 1.0) < 0.05
