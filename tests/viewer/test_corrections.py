"""Corrections of what is predicted: noted, plotted, kept in the project."""

import json

import numpy as np
import pytest
from conftest import paint_both
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_unet.project.notes import CORRECTIONS, INTERACTIONS, read_corrections
from napari_unet.widgets import _interactions
from napari_unet.widgets._corrections_plot import csv_of
from napari_unet.widgets.curves import CurvesDock
from napari_unet.widgets.settings import SettingsDock


@pytest.fixture
def predicted(painted, qtbot):
    """A case with a whole prediction of the two blobs."""
    case = painted()
    case.state.predict_all()
    entry = case.state.book.current
    qtbot.waitUntil(lambda: entry.is_complete)
    return case


def _correct(case, qtbot, at=(30, 30), value=1):
    """Paint over a place and wait until it is noted."""
    n = len(case.state.session.corrections)
    with case.layer.block_history():
        for x in range(4):
            case.layer.paint((at[0], at[1] + x), value)
    qtbot.waitUntil(lambda: len(case.state.session.corrections) > n)
    return case.state.session.corrections[-1]


def test_a_stroke_on_a_prediction_is_compared_with_it(predicted, qtbot):
    assert predicted.state.session.corrections == []  # strokes that came before it
    before = predicted.state.book.current.prediction.data.copy()
    found = _correct(predicted, qtbot, (40, 40))
    painted = np.asarray(predicted.layer.data) == 1
    wrong = painted & (before == 2)
    assert found.n_painted == {(2, 1): int(wrong.sum())}
    assert found.n_predicted[2] == int((before == 2).sum())
    assert found.image == "blobs"


def test_they_are_kept_in_the_project_and_come_back_with_it(
    predicted, qtbot, tmp_path, open_dock, blobs
):
    _correct(predicted, qtbot)
    state = predicted.state
    folder = tmp_path / "a.unet-project"
    state.project.create(folder)
    qtbot.waitUntil(lambda: state.project.is_named)
    found = _correct(predicted, qtbot, (60, 90))
    qtbot.waitUntil(lambda: len(read_corrections(folder)) == 2)
    assert read_corrections(folder) == state.session.corrections
    assert found.number == 1 or found.number is None
    state.end()
    case = open_dock()
    case.state.project.open(folder)
    qtbot.waitUntil(lambda: len(case.state.session.corrections) == 2)


def test_the_page_shows_a_point_for_each_and_a_click_goes_there(predicted, qtbot):
    dock = CurvesDock(predicted.viewer)
    qtbot.addWidget(dock)
    dock.resize(600, 240)
    dock.show()
    dock.corrections_page.click()
    assert "n = 0" in dock.note.text()
    found = _correct(predicted, qtbot)
    dock.refresh()
    assert "n = 1" in dock.note.text()
    plot = dock.corrections
    chart = plot._chart()
    (place, visit) = plot._places(chart)[0]
    assert visit.first is found
    assert QRectF(plot.rect()).contains(place)
    assert plot.visit_at(place + QPointF(3, 3)) is visit
    assert plot.visit_at(place + QPointF(60, -40)) is None
    predicted.viewer.scene.camera.center = (0, 500, 500)
    QTest.mouseClick(plot, Qt.MouseButton.LeftButton, pos=place.toPoint())
    assert predicted.viewer.scene.camera.center[-2:] == pytest.approx((47.5, 63.5))
    lines = csv_of(predicted.state.session.corrections).splitlines()
    assert lines[0].startswith("time,work_s,image")
    assert len(lines) == 2
    plot.grab()  # draws without complaint


def test_interactions_are_noted_only_where_that_is_switched_on(
    open_dock, qtbot, blobs, guidance_file
):
    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    layer = case.state.book.new_annotation()
    paint_both(layer)
    qtbot.waitUntil(lambda: case.state.project.project is not None)
    folder = case.state.project.project.folder
    settings = SettingsDock(case.viewer)
    qtbot.addWidget(settings)
    assert not settings.guidance.log.isChecked()
    assert not (folder / INTERACTIONS).exists()
    settings.guidance.log.click()
    layer.paint((60, 100), 2)
    layer.paint((60, 60), 1)
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.state.learn(True)
    notes = folder / INTERACTIONS

    def events():
        if not notes.exists():
            return []
        return [json.loads(line) for line in notes.read_text().splitlines()]

    qtbot.waitUntil(lambda: "learn" in [e["event"] for e in events()])
    painted = [e for e in events() if e["event"] == "paint"]
    assert len(painted) == 2
    assert all(e["start"] <= e["end"] and e["image"] == "blobs" for e in painted)
    settings.guidance.log.click()
    n = len(events())
    layer.paint((90, 100), 1)
    case.state.project.flush()
    assert len(events()) == n
    assert (folder / CORRECTIONS).exists() or not case.state.session.corrections
    assert json.loads(guidance_file.read_text())["log_interactions"] is False


def test_the_measure_is_told_at_once_and_kept_for_the_next_time(
    painted, qtbot, open_dock
):
    case = painted()
    settings = SettingsDock(case.viewer)
    qtbot.addWidget(settings)
    settings.guidance.measure.setCurrentText("flips")
    assert case.live.inbox.calls("map_uncertainty")[-1] == (False, "flips")
    again = open_dock()
    assert again.state.guide.config.uncertainty == "flips"


def test_a_stroke_after_a_fill_begins_with_itself(predicted, qtbot, monkeypatch):
    state, clock = predicted.state, [100.0]
    monkeypatch.setattr(_interactions.time, "time", lambda: clock[0])
    noted = []
    monkeypatch.setattr(
        state.interactions, "_note", lambda what, **more: noted.append((what, more))
    )
    state.interactions.set_on(True)
    predicted.layer.fill((0, 0), 1)  # of which napari tells, then draws it
    QApplication.processEvents()
    clock[0] = 500.0
    predicted.layer.fill((60, 90), 2)
    QApplication.processEvents()
    clock[0] = 600.0
    with predicted.layer.block_history():
        predicted.layer.paint((5, 5), 1)
        clock[0] = 603.0
    assert noted == [
        ("paint", {"start": 100.0, "end": 100.0}),
        ("paint", {"start": 500.0, "end": 500.0}),
        ("paint", {"start": 600.0, "end": 603.0}),
    ]


def test_what_was_noted_of_other_images_stays_out_of_a_project(
    predicted, qtbot, tmp_path
):
    log = predicted.state.interactions
    log.set_on(True)
    log._unsaved = [{"event": "paint", "image": "of another work"}]
    log._on_opened(None, True)
    assert log._unsaved != []
    log._on_opened(None, False)
    assert log._unsaved == []


def test_accepting_what_is_predicted_proves_nothing(predicted, qtbot):
    state = predicted.state
    state.proofread.accept((60, 95))
    assert (predicted.layer.data[60, 95], state.proofread.tally.counts[0] > 0) == (
        2,
        True,
    )
    state.painting.take()
    assert state.session.corrections == []
    found = _correct(predicted, qtbot, (60, 95))
    assert found.is_correcting
