"""The dock *Measurements*: rows, plot and viewer show the same object."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_unet.export.table import Column, Table
from napari_unet.widgets._measure_bins import limits_of, make_bins, nearest
from napari_unet.widgets._measure_table import number_text
from napari_unet.widgets._measure_view import MeasureView
from napari_unet.widgets._style import palette_of
from napari_unet.widgets.measurements import MeasurementsDock

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def case(open_dock, qtbot):
    """Return a function that opens labels and an image beside both docks."""
    docks = []

    def make(labels, scale=None, show=False):
        case = open_dock(show=show)
        scale = scale or (0.5,) * labels.ndim
        place = {"scale": scale, "units": ("um",) * labels.ndim}
        image = (labels % 7 * 10).astype(np.uint8)
        case.viewer.add_image(image, name="cells", **place)
        case.layer = case.viewer.add_labels(labels, name="objects", **place)
        case.measure = MeasurementsDock(case.viewer)
        case.viewer.window.add_dock_widget(case.measure, name="Measurements")
        docks.append(case.measure)
        return case

    yield make
    for dock in docks:
        dock._bridge.stop()


@pytest.fixture
def labels():
    labels = np.zeros((100, 120), np.uint16)
    labels[10:14, 10:14], labels[20:40, 20:50], labels[70:80, 90:110] = 3, 5, 8
    labels[60:62, 5:7] = 9
    return labels


def measure(case, qtbot):
    QTest.mouseClick(case.measure.measure, LEFT)
    assert case.measure.progress.isVisibleTo(case.measure)
    qtbot.waitUntil(lambda: not case.measure._bridge.is_running)
    return case.measure.view


def click_row(table, place):
    box = table.visualRect(table.rows.index(place, 1))
    QTest.mouseClick(table.viewport(), LEFT, pos=box.center())


def test_measured_in_units_with_intensity(case, labels, qtbot):
    case = case(labels)
    assert case.measure.labels.value == case.layer
    assert case.measure.image.value.name == "cells"
    assert "press Measure" in case.measure.note.text()
    assert not case.measure.view.isVisibleTo(case.measure)
    table = measure(case, qtbot).table
    assert table["label"].tolist() == [3, 5, 8, 9]
    assert table["area_um2"].tolist() == [4, 150, 50, 1]
    assert table["intensity_mean"].tolist() == [30, 50, 10, 20]
    assert case.measure.result.text() == "4 objects"
    assert case.measure.note.isHidden()


def test_a_row_leads_to_its_object(case, labels, qtbot):
    case = case(labels, show=True)
    view = measure(case, qtbot)
    click_row(view.rows, 1)
    assert case.layer.selected_label == 5
    assert case.viewer.scene.camera.center[-2:] == pytest.approx((14.75, 17.25))
    assert view.plot._selected == [1]
    # sorted by area, the largest first: the chosen row goes with it
    view.rows.sortByColumn(view.table.names.index("area_um2"), Qt.DescendingOrder)
    assert view.rows.selected == [1]
    click_row(view.rows, 3)
    assert case.layer.selected_label == 9


def test_the_layers_label_marks_the_row_and_moves_nothing(case, labels, qtbot):
    case = case(labels)
    view = measure(case, qtbot)
    before = case.viewer.scene.camera.center
    case.layer.selected_label = 8
    assert view.rows.selected == [2]
    assert case.viewer.scene.camera.center == before
    case.layer.selected_label = 77  # no such object
    assert view.rows.selected == [2]


def test_a_point_of_the_plot_leads_to_its_object(case, labels, qtbot):
    case = case(labels, show=True)
    view = measure(case, qtbot)
    view.upward.setCurrentText("intensity mean")
    place = view.plot.place(2).toPoint()
    QTest.mouseClick(view.plot, LEFT, pos=place)
    assert case.layer.selected_label == 8
    assert view.rows.selected == [2]
    QTest.mouseClick(view.plot, LEFT, pos=QPoint(1, 1))  # nothing is there
    assert view.rows.selected == [2]


def test_a_bar_of_the_histogram_selects_what_is_in_it(case, labels, qtbot):
    case = case(labels, show=True)
    view = measure(case, qtbot)
    assert view.across.currentText() == "area (µm²)"
    place = view.plot.place(0).toPoint() - QPoint(0, 3)
    before = case.layer.selected_label
    QTest.mouseClick(view.plot, LEFT, pos=place)
    assert view.rows.selected == [0, 3]  # 4 and 1 µm²
    assert case.layer.selected_label == before


def test_a_row_of_a_stack_moves_the_sliders(case, qtbot):
    labels = np.zeros((3, 6, 40, 40), np.uint16)  # TZYX
    labels[0, 1:3, 5:9, 5:9] = labels[2, 3:6, 20:30, 20:30] = 4
    case = case(labels, scale=(1, 2, 0.5, 0.5))
    view = measure(case, qtbot)
    assert view.table["time_point"].tolist() == [0, 2]
    assert view.table["volume_um3"].tolist() == [2 * 16 / 2, 3 * 100 / 2]
    case.measure._go_to(1)
    assert case.viewer.dims.point[:2] == pytest.approx((2, 8))
    case.viewer.dims.set_point(0, 0)
    case.layer.selected_label = 1
    case.layer.selected_label = 4
    assert view.rows.selected == [0]  # the one of the time that is shown
    assert case.measure.by_plane.isVisibleTo(case.measure)
    case.measure.by_plane.click()
    view = measure(case, qtbot)
    assert view.table["plane"].tolist() == [1, 2, 3, 4, 5]
    assert "area_um2" in view.table


def test_objects_of_a_prediction_have_its_classes(painted, qtbot):
    case = painted()
    case.state.classes.add()
    case.state.classes.rename(3, "dead")
    case.state.objects.set_on(True)
    qtbot.waitUntil(lambda: case.state.book.current.objects is not None)
    entry = case.state.book.current
    dock = MeasurementsDock(case.viewer)
    qtbot.addWidget(dock)
    assert dock.labels.value is entry.objects
    assert "Only the objects in what you looked at were found." in dock.note.text()

    def measure_these():
        # in one go with what is measured: the loop goes on predicting
        entry.objects.data[:] = 0
        entry.objects.data[20:50, 20:50], entry.objects.data[40:80, 80:110] = 1, 2
        entry.prediction.data[:], entry.prediction.data[40:80, 80:110] = 2, 3
        dock.toggle()
        qtbot.waitUntil(lambda: not dock._bridge.is_running)

    measure_these()
    assert dock.view.table["class"].tolist() == ["object", "dead"]
    colours = dock.view.plot._data.colours
    assert colours == {v: case.state.classes.get(v).colour for v in (2, 3)}
    # its classes are no objects, and offered as classes
    dock.labels.show_layer(entry.prediction)
    dock._on_labels(entry.prediction)
    assert dock.classes.isChecked()
    assert not dock.objects.isEnabled()
    assert "show Objects" in dock.objects.toolTip()
    measure_these()
    assert dock.view.table["class"].tolist() == ["object", "dead"]
    assert dock.result.text() == "2 classes"
    dock._bridge.stop()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_is_saved_as_it_is(
    case, labels, qtbot, tmp_path, monkeypatch, suffix
):
    case = case(labels)
    table = measure(case, qtbot).table
    path = tmp_path / f"t{suffix}"
    kind = "Parquet table (*.parquet)" if suffix == ".parquet" else "Table (*.csv)"
    monkeypatch.setattr(
        "napari_unet.widgets.measurements.QFileDialog.getSaveFileName",
        lambda *_args: (str(path.with_suffix("")), kind),
    )
    QTest.mouseClick(case.measure.save, LEFT)
    qtbot.waitUntil(lambda: "Saved" in case.measure.result.text())
    read = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert list(read.columns) == list(table.names)
    assert read["area_um2"].tolist() == table["area_um2"].tolist()
    before = path.read_bytes()
    QTest.mouseClick(case.measure.save, LEFT)  # the suffix is ours: nobody was asked
    assert "is there already" in case.measure.result.text()
    assert path.read_bytes() == before
    monkeypatch.setattr(
        "napari_unet.widgets.measurements.QFileDialog.getSaveFileName",
        lambda *_args: (str(tmp_path / "no" / f"t{suffix}"), kind),
    )
    QTest.mouseClick(case.measure.save, LEFT)
    qtbot.waitUntil(lambda: "make the folder" in case.measure.result.text())
    assert case.measure.save.isEnabled()


def test_it_can_be_stopped(case, labels, qtbot, monkeypatch):
    def endless(token, *_args, **_options):
        while not token.cancelled:
            yield from ()
        return

    monkeypatch.setattr("napari_unet.widgets.measurements.measure_job", endless)
    case = case(labels)
    button = case.measure.measure
    QTest.mouseClick(button, LEFT)
    assert button.text() == "Stop"
    QTest.mouseClick(button, LEFT)
    qtbot.waitUntil(lambda: not case.measure._bridge.is_running)
    assert button.text() == "Measure"
    assert "Stopped" in case.measure.result.text()


def test_changed_and_removed_labels(case, labels, qtbot):
    case = case(labels)
    view = measure(case, qtbot)
    case.layer.paint((50, 50), 5)
    assert "changed since" in case.measure.note.text()
    measure(case, qtbot)
    assert case.measure.note.isHidden()
    case.viewer.layers.remove(case.layer)
    assert "no labels to measure" in case.measure.note.text()
    assert not case.measure.measure.isEnabled()
    case.measure._go_to(0)  # leads nowhere, and harms nothing
    assert view.table.n_rows == 4


def test_units_that_do_not_go_together_are_one_sentence(case, labels, qtbot):
    case = case(labels)
    case.layer.units = ("second", "um")
    with qtbot.captureExceptions() as raised:
        case.measure.toggle()
    assert raised == []
    assert "do not go together" in case.measure.result.text()
    case.layer.units = ("nm", "um")
    view = measure(case, qtbot)
    assert view.table["area_um2"][1] == pytest.approx(150 / 1000)


def test_without_labels_it_says_what_to_do(make_napari_viewer_proxy, qtbot):
    dock = MeasurementsDock(make_napari_viewer_proxy())
    qtbot.addWidget(dock)
    assert not dock.measure.isEnabled()
    assert "predict an image" in dock.note.text()


def test_it_fits_320_px_in_both_themes(case, labels, qtbot):
    case = case(labels, show=True)
    view = measure(case, qtbot)
    assert case.measure.minimumSizeHint().width() <= 320
    dark = view.plot.grab().toImage()
    case.viewer.theme = "light"
    assert view.plot.grab().toImage() != dark


def test_rows_that_are_selected_by_the_thousand(qtbot):
    table = Table([Column("label", np.arange(5000)), Column("area", np.arange(5000.0))])
    view = MeasureView(palette_of(SimpleNamespace(theme="dark")))
    qtbot.addWidget(view)
    view.show_table(table, {})
    view.rows.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    for rows in ([], [7], [0, 1, 2, 4999], list(range(0, 5000, 2))):
        view.select(rows)
        assert view.rows.selected == rows


def test_bins_hold_every_value_once():
    values = np.array([0.0, 1, 1, 2, np.nan, 10, np.inf])
    bins = make_bins(values, np.array([2, 2, 3, 2, 2, 3, 3]), [2, 3])
    assert bins.counts.sum() == 5
    assert bins.counts.sum(axis=1).tolist() == [3, 2]
    assert bins.rows_at(10.0) == [5]
    assert 0 in bins.rows_at(0.0)
    low, high = limits_of(np.array([4.0, 4.0]))
    assert low < 4 < high
    assert nearest(np.array([[np.nan, 0], [5, 5]]), (5, 6), 3) == [1]
    assert nearest(np.array([[5.0, 5.0]]), (50, 6), 3) == []
    assert nearest(np.empty((0, 2)), (50, 6), 3) == []


def test_numbers_are_short():
    assert [number_text(v) for v in (3, 1234, 0.123456, 2.5e7, float("nan"))] == [
        "3",
        "1,234",
        "0.12346",
        "25,000,000",
        "–",
    ]
