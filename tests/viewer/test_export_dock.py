"""Export from the dock."""

import json
import threading

import numpy as np
import pytest
import tifffile

from napari_unet.export import FORMATS
from napari_unet.jobs import ObjectsFound, Progress
from napari_unet.widgets.export import ExportDock, _source


@pytest.fixture
def export(painted, qtbot, tmp_path, monkeypatch):
    """The export dock beside the main one, with a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    case = painted()
    case.export = ExportDock(case.viewer)
    case.viewer.window.add_dock_widget(case.export)
    yield case
    case.export._bridge.stop()


def choose(dock, name):
    """Choose a format as a click in the list does."""
    index = list(FORMATS).index(name)
    dock.form.format.setCurrentIndex(index)
    dock.form.format.activated.emit(index)


def _predict_all(case, qtbot):
    case.state.predict_all()
    qtbot.waitUntil(lambda: case.state.book.current.is_complete)


def test_prediction_is_chosen_and_a_partial_one_is_said(export, qtbot):
    dock = export.export
    assert dock.form.labels.value.name == "blobs prediction"
    export.state.book.current.outdate()
    dock.refresh()
    assert "Predict whole image" in dock.note.text()
    _predict_all(export, qtbot)
    qtbot.waitUntil(lambda: dock.note.isHidden())


def test_tiff_holds_the_pixels_scale_and_names(export, qtbot, tmp_path):
    image = export.state.book.current.image
    image.scale = (0.5, 0.5)
    image.units = ("um", "um")
    _predict_all(export, qtbot)
    dock = export.export
    assert dock.form.path.text() == str(tmp_path / "blobs prediction.tif")
    dock.export.click()
    assert "Writing" in dock.result.text()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    assert not dock.show_folder.isHidden()
    path = tmp_path / "blobs prediction.tif"
    with tifffile.TiffFile(path) as file:
        assert np.array_equal(file.asarray(), export.state.book.current.prediction.data)
        x, y = file.pages[0].tags["XResolution"].value
        assert x / y == pytest.approx(2)
        assert "2: object" in file.imagej_metadata["Info"]


def test_a_foreign_file_is_replaced_only_with_a_word(export, qtbot, tmp_path):
    _predict_all(export, qtbot)
    dock = export.export
    (tmp_path / "blobs prediction.tif").write_bytes(b"mine")
    dock.refresh()
    assert "Replaces" in dock.note.text()
    dock.export.click()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    assert dock.note.text() == ""


def test_png(export, qtbot, tmp_path):
    import imageio.v3 as iio

    _predict_all(export, qtbot)
    dock = export.export
    choose(dock, "png")
    assert dock.form.path.text().endswith("blobs prediction.png")
    dock.export.click()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    written = iio.imread(tmp_path / "blobs prediction.png")
    assert np.array_equal(written, export.state.book.current.prediction.data)


def test_a_failure_is_one_sentence_and_the_dock_works_on(export, qtbot, tmp_path):
    dock = export.export
    dock.form.path.setText(str(tmp_path / "missing" / "x.tif"))
    dock.start()
    qtbot.waitUntil(lambda: dock.result.property("level") == "error")
    assert "missing" in dock.result.text()
    assert dock.show_folder.isHidden()
    dock.form.path.setText(str(tmp_path / "x.tif"))
    dock.start()
    qtbot.waitUntil(lambda: (tmp_path / "x.tif").exists())
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())


def test_typed_suffix_chooses_the_format_and_stays(export, qtbot):
    dock = export.export
    dock.form.path.clear()
    qtbot.keyClicks(dock.form.path, "/tmp/mine.png")
    assert dock.form.chosen.name == "png"
    dock.reset_choices()
    assert dock.form.path.text() == "/tmp/mine.png"


@pytest.mark.parametrize("text", ["~d", "/", "/tmp", "x.jpg", "", " ", "..", "a" * 999])
def test_paths_that_cannot_be_written_are_said_while_typing(export, text):
    dock = export.export
    dock.form.path.setText(text)
    dock.form.path.textEdited.emit(text)
    for name in ("png", "tiff"):
        choose(dock, name)
    if len(text) < 999:  # a name that is too long is known when it is written
        assert not dock.export.isEnabled()
        assert dock.note.text().endswith(dock.export.toolTip())
        assert dock.form.path.text() == text
    dock.start()
    assert dock._bridge.is_running == (len(text) == 999)


def test_text_is_not_rewritten_while_it_is_typed(export, qtbot):
    dock = export.export
    dock.form.path.clear()
    for place, letter in enumerate("/tmp/x.png.tiff", start=1):
        qtbot.keyClicks(dock.form.path, letter)
        assert dock.form.path.text() == "/tmp/x.png.tiff"[:place]
    assert dock.form.chosen.name == "tiff"
    choose(dock, "png")
    assert dock.form.path.text() == "/tmp/x.png.png"


def test_a_name_without_suffix_gets_that_of_the_format(export, qtbot, tmp_path):
    dock = export.export
    dock.form.path.setText("~/plain")
    dock.start()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    assert (tmp_path / "plain.tif").is_file()


def test_large_labels_are_copied_beside_the_window_and_mapped_ones_never(
    export, tmp_path, monkeypatch
):
    labels = np.full((8, 9), 2, np.uint8)
    layer = export.viewer.add_labels(labels)
    small = _source(layer)
    monkeypatch.setattr("napari_unet.widgets.export._COPIED_BYTES", 8)
    large = _source(layer)
    labels[:] = 3
    assert (small() == 2).all()
    assert (large() == 3).all()
    assert not np.shares_memory(large(), labels)
    np.save(tmp_path / "a.npy", labels)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    found = _source(export.viewer.add_labels(mapped))()
    assert isinstance(found, np.memmap)
    assert np.shares_memory(found, mapped)


def test_a_fault_keeps_its_traceback(export, qtbot, monkeypatch):
    dock = export.export
    seen = []
    monkeypatch.setattr(
        "napari_unet.widgets._notify.notification_manager.receive_error",
        lambda _type, value, traceback: seen.append((value, traceback)),
    )

    def broken(*_args, **_options):
        yield Progress(1, 2)
        raise KeyError("fault")

    monkeypatch.setattr("napari_unet.widgets.export.export_job", broken)
    dock.export.click()
    qtbot.waitUntil(lambda: dock.result.property("level") == "error")
    assert "KeyError" in dock.result.text()
    [(error, traceback)] = seen
    assert isinstance(error, KeyError)
    assert traceback is not None


def test_annotation_of_a_series_keeps_its_axes(open_dock, qtbot, tmp_path):
    case = open_dock()
    series = np.zeros((3, 40, 50), np.uint8)
    case.viewer.add_image(series, name="series", rgb=False)
    case.state.book.choose_axes("TYX")
    layer = case.state.book.new_annotation()
    layer.scale = (1, 0.5, -0.5)  # mirrored
    dock = ExportDock(case.viewer)
    qtbot.addWidget(dock)
    dock.form.labels.show_layer(layer)
    dock.form.path.setText(str(tmp_path / "series.tif"))
    dock.start()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    with tifffile.TiffFile(tmp_path / "series.tif") as file:
        assert file.series[0].axes == "TYX"
        x, y = file.pages[0].tags["XResolution"].value
        assert x / y == pytest.approx(2)


def test_without_labels_nothing_can_be_exported(make_napari_viewer_proxy, qtbot):
    dock = ExportDock(make_napari_viewer_proxy())
    qtbot.addWidget(dock)
    assert not dock.export.isEnabled()
    assert "no label layer" in dock.export.toolTip()


@pytest.mark.parametrize("name", list(FORMATS))
def test_each_format_says_what_it_keeps_and_is_written(export, qtbot, tmp_path, name):
    _predict_all(export, qtbot)
    dock = export.export
    choose(dock, name)
    chosen = FORMATS[name]
    assert dock.form.about.text() == f"Keeps {chosen.keeps}.\nLoses {chosen.loses}."
    path = tmp_path / f"blobs prediction{chosen.suffixes[0]}"
    assert dock.form.path.text() == str(path)
    dock.export.click()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    assert path.exists()
    assert dock.minimumSizeHint().width() <= 320


def test_classes_leave_with_their_names_and_colours(export, qtbot, tmp_path):
    _predict_all(export, qtbot)
    export.state.classes.rename(2, "nucleus")
    export.state.classes.recolour(2, "#010203")
    choose(export.export, "geojson")
    export.export.export.click()
    qtbot.waitUntil(lambda: "Saved" in export.export.result.text())
    found = json.loads((tmp_path / "blobs prediction.geojson").read_text())
    kinds = {str(f["properties"]["classification"]) for f in found["features"]}
    assert kinds == {str({"name": "nucleus", "color": [1, 2, 3]})}


def test_objects_have_the_class_that_another_layer_says(export, qtbot, tmp_path):
    ids = np.zeros((96, 128), np.uint16)
    ids[20:50, 20:50], ids[40:80, 80:110] = 1, 2
    layer = export.viewer.add_labels(ids, name="cells")
    _predict_all(export, qtbot)
    dock = export.export
    dock.form.labels.show_layer(layer)
    dock.form.layer_chosen.emit(layer)
    assert dock.form.are_objects  # napari gives its values colours in turns
    assert not dock.form.classes.isHidden()
    choose(dock, "coco")
    dock.form.classes.show_layer(export.state.book.current.prediction)
    dock.export.click()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    found = json.loads((tmp_path / "cells.json").read_text())
    assert [a["iscrowd"] for a in found["annotations"]] == [0, 0]
    dock.form.of_classes.click()
    assert dock.form.classes.isHidden()
    dock.export.click()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    found = json.loads((tmp_path / "cells.json").read_text())
    assert [a["iscrowd"] for a in found["annotations"]] == [1, 1]


@pytest.mark.parametrize("name", ["geojson", "coco"])
def test_the_first_object_is_no_background(export, qtbot, tmp_path, name):
    _predict_all(export, qtbot)
    entry = export.state.book.current
    export.state.objects.set_on(True)
    ids = np.zeros((96, 128), np.uint16)
    ids[20:50, 20:50], ids[40:80, 80:110] = 1, 2
    found = ObjectsFound(entry.key, (), 0, 0, ids, 2, 99, None, is_whole=True)
    assert export.state.objects.write(found)
    dock = export.export
    (layer,) = (e for e in export.viewer.layers if e.name.endswith(" objects"))
    dock.form.labels.show_layer(layer)
    dock.form.layer_chosen.emit(layer)
    assert dock.form.are_objects
    choose(dock, name)
    dock.export.click()
    qtbot.waitUntil(lambda: "Saved" in dock.result.text())
    (path,) = tmp_path.glob("*objects.*json")
    written = json.loads(path.read_text())
    assert len(written["features" if name == "geojson" else "annotations"]) == 2


def test_cancel_leaves_no_file(export, qtbot, tmp_path, monkeypatch):
    gate = threading.Event()
    dock = export.export

    class Slow:
        shape, dtype, ndim = (4096, 4096), np.dtype(np.uint8), 2

        def __getitem__(self, place):
            gate.wait(30)
            return np.ones((2048, 2048), np.uint8)

    monkeypatch.setattr("napari_unet.widgets.export._source", lambda _: Slow)
    before = sorted(tmp_path.iterdir())
    dock.export.click()
    assert dock.export.text().startswith("Cancel")
    dock.export.click()
    gate.set()
    qtbot.waitUntil(lambda: "Cancelled" in dock.result.text())
    assert dock.export.text().startswith("Export")
    assert sorted(tmp_path.iterdir()) == before
