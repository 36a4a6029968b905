"""Labels from elsewhere become annotation, as one step."""

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QTimer

from napari_unet.widgets.import_labels import ImportDock


@pytest.fixture
def imports(open_dock, blobs, qtbot):
    """The dock for imports beside the main one, and a layer of labels."""
    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    case.imports = ImportDock(case.viewer)
    case.viewer.window.add_dock_widget(case.imports)
    case.labels = np.zeros(blobs.shape, np.int32)
    case.labels[20:50, 20:50], case.labels[40:80, 80:110] = 1, 7

    def choose(data, name="mine"):
        layer = case.viewer.add_labels(data, name=name)
        case.imports.labels.show_layer(layer)
        case.imports._on_layer(layer)
        qtbot.waitUntil(lambda: not case.imports._survey.is_running)
        qtbot.waitUntil(
            lambda: case.imports.table.has_rows or bool(case.imports.note.text())
        )
        return layer

    def run():
        case.imports.run.click()
        qtbot.waitUntil(lambda: bool(case.imports.result.text()))
        return case.imports.result.text()

    case.choose, case.run = choose, run
    yield case
    case.imports._survey.stop()
    case.imports._import.stop()
    case.imports._step.stop()


def texts(case):
    return [choice.currentText() for choice in case.imports.table.choices]


def test_each_value_becomes_what_the_table_says(imports):
    case = imports
    case.choose(case.labels)
    # what a class has already is that; else it would be a new one
    assert texts(case) == ["ignore", "background", "a new class"]
    zero, one, _seven = case.imports.table.choices
    zero.setCurrentText("background")
    one.setCurrentText("object")
    assert "Imported 12,288 px of 3 classes" in case.run()
    layer = case.state.book.current.annotation  # made, as there was none
    np.testing.assert_array_equal(
        layer.data, np.array([1, 2, 3])[np.searchsorted([0, 1, 7], case.labels)]
    )
    assert case.state.classes.values == [1, 2, 3]
    layer.undo()
    assert not layer.data.any()


def test_what_is_painted_stays(imports, qtbot):
    case = imports
    layer = case.state.book.new_annotation()
    layer.data_setitem((np.array([25]), np.array([25])), 1)
    case.choose(case.labels)
    case.imports.table.choices[1].setCurrentText("object")
    case.imports.table.choices[2].setCurrentText("ignore")
    assert "899 px of 1 class." in case.run()
    assert layer.data[25, 25] == 1
    qtbot.waitUntil(lambda: case.state.book.current.copy.n_px == 900)  # learned from
    case.imports.result.setText("")
    assert "Nothing was imported" in case.run()


def test_many_values_are_one_row_and_a_hint(imports):
    case = imports
    many = np.zeros((96, 128), np.int32)
    many[:40, :40] = np.arange(1600).reshape(40, 40)
    case.choose(many)
    assert texts(case) == ["ignore", "object"]
    assert "numbers of objects" in case.imports.note.text()


def test_objects_get_numbers_that_are_free(imports):
    case = imports
    case.state.set_mode("objects")
    layer = case.state.book.new_annotation()
    layer.data_setitem((np.array([90]), np.array([5])), 4)
    case.choose(case.labels)
    zero, _many = case.imports.table.choices
    assert texts(case) == ["ignore", "objects, each its own number"]
    zero.setCurrentText("background")
    assert "2 objects" in case.run()
    first, second = np.unique(layer.data[case.labels > 0]).tolist()
    assert min(first, second) > 4
    assert (layer.data[(case.labels == 0) & (layer.data != 4)] == 1).all()


def test_another_shape_is_a_sentence(imports):
    case = imports
    case.choose(np.ones((10, 12), int), "small")
    assert case.imports.note.text() == (
        "'small' has 10 × 12 px, but 'blobs' needs 96 × 128 px: labels must be of the "
        "same image."
    )
    assert not case.imports.run.isEnabled()


def test_the_table_follows_the_mode_and_new_classes(imports, qtbot):
    case = imports
    case.choose(case.labels)
    case.state.classes.add()
    case.imports.refresh()
    items = case.imports.table.choices[0]
    offered = [items.itemText(i) for i in range(items.count())]
    assert offered == ["ignore", "background", "object", "class 3", "a new class"]
    case.state.set_mode("objects")
    qtbot.waitUntil(lambda: texts(case)[-1:] == ["objects, each its own number"])


def test_a_file_is_opened_as_labels(imports, qtbot, tmp_path):
    case = imports
    path = tmp_path / "masks.tif"
    tifffile.imwrite(path, case.labels.astype(np.uint16))
    case.imports.open(str(path))
    assert case.imports.labels.value.name == "masks"
    qtbot.waitUntil(lambda: case.imports.table.has_rows)
    case.imports.open(str(tmp_path / "gone.tif"))
    assert "could not be read as labels" in case.imports.result.text()


def test_without_an_image_it_says_so(open_dock):
    case = open_dock()
    dock = ImportDock(case.viewer)
    case.viewer.window.add_dock_widget(dock)
    assert "Open an image first" in dock.note.text()
    assert not dock.run.isEnabled()


def test_nothing_goes_into_an_image_that_was_chosen_meanwhile(imports, blobs, qtbot):
    case = imports
    first = case.state.book.new_annotation()
    case.choose(case.labels)
    other = case.viewer.add_image(blobs, name="other")
    second = case.state.book.new_annotation()
    case.state.book.choose(case.viewer.layers["blobs"])
    case.imports.start()
    case.state.book.choose(other)
    qtbot.waitUntil(lambda: "another image" in case.imports.result.text())
    assert not second.data.any()
    assert not first.data.any()


def test_objects_painted_meanwhile_share_no_number_with_imported_ones(imports, qtbot):
    case = imports
    case.state.set_mode("objects")
    layer = case.state.book.new_annotation()
    case.choose(case.labels)
    case.imports.start()
    layer.data_setitem((np.array([90, 90]), np.array([5, 6])), 4)
    qtbot.waitUntil(lambda: bool(case.imports.result.text()))
    assert "you painted meanwhile" in case.imports.result.text()
    assert np.unique(layer.data).tolist() == [0, 4]
    case.imports.result.setText("")
    assert "2 objects" in case.run()
    assert np.count_nonzero(layer.data == 4) == 2


@pytest.fixture
def large(imports, qtbot, monkeypatch):
    """An import under way, of 12 pieces of which the first is painted."""
    monkeypatch.setattr("napari_unet.widgets._large_step.PIECE_PX", 1024)
    case = imports
    case.choose(np.full(case.labels.shape, 5))
    step = case.imports._step
    monkeypatch.setattr(step._timer, "start", lambda: None)  # until `go_on`
    case.imports.run.click()
    qtbot.waitUntil(lambda: step.is_running)
    case.goal = case.state.book.current.annotation
    case.go_on = lambda: QTimer.start(step._timer)
    return case


def test_a_large_import_leaves_turns_to_the_window_and_is_one_step(large, qtbot):
    case, layer = large, large.goal
    assert np.count_nonzero(layer.data) == 1024
    assert layer.mode == "pan_zoom"
    assert not case.imports.run.isEnabled()
    assert "Painting" in case.imports.note.text()
    assert not case.state.book.current.copy.any()  # nobody learns from a part of it
    case.go_on()
    qtbot.waitUntil(lambda: "Imported 12,288 px" in case.imports.result.text())
    assert layer.mode == "paint"
    assert layer.data.all()
    layer.undo()
    assert not layer.data.any()


def test_another_array_ends_a_large_import(large, qtbot):
    case, layer = large, large.goal
    layer.data = np.zeros_like(layer.data)
    case.go_on()
    qtbot.waitUntil(lambda: "another array" in case.imports.result.text())
    assert layer.mode == "paint"
    assert not layer.data.any()


def test_a_dock_that_goes_leaves_its_large_import_as_one_step(large):
    layer = large.goal
    large.imports._step.stop()
    layer.undo()
    assert not layer.data.any()


def test_an_import_that_fails_ends_and_undo_works_on(large, qtbot, monkeypatch):
    case, layer = large, large.goal

    def full(*_args, **_keywords):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(type(layer), "data_setitem", full)
        with pytest.raises(MemoryError):
            case.imports._step._go_on()
    assert not case.imports._step.is_running
    layer.data_setitem((np.array([95]), np.array([127])), 1)
    layer.undo()  # the stroke alone
    assert np.count_nonzero(layer.data) == 1024
    layer.undo()
    assert not layer.data.any()
