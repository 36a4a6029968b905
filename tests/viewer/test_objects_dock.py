"""Objects in the overlay: shown, cut with these settings, written, exported."""

import numpy as np
import pytest

from napari_unet.config import InstanceConfig
from napari_unet.jobs import ObjectsFound
from napari_unet.widgets._layers import object_colormap
from napari_unet.widgets._objects_row import objects_text


def _found(case, labels, **changes):
    entry = case.state.book.current
    labels = np.asarray(labels)
    values = {
        "key": entry.key,
        "index": (),
        "y": 0,
        "x": 0,
        "labels": labels,
        "n_objects": len(np.unique(labels[labels > 0])),
        "generation": 1,
    }
    return ObjectsFound(**(values | changes))


@pytest.fixture
def shown(painted, qtbot):
    """The dock on two blobs, with objects switched on by a click."""
    case = painted()
    qtbot.waitUntil(case.dock.overlay.objects.objects.isEnabled)
    case.dock.overlay.objects.objects.click()
    return case


def test_objects_take_the_place_of_classes_and_give_it_back(shown, qtbot):
    entry, row = shown.state.book.current, shown.dock.overlay.objects
    assert entry.objects.visible
    assert not entry.prediction.visible
    assert shown.live.inbox.calls("find_objects")[-1] == (InstanceConfig(),)
    row.classes.click()
    assert not entry.objects.visible
    assert entry.prediction.visible
    assert shown.live.inbox.calls("find_objects")[-1] == (None,)
    layer = entry.objects
    row.objects.click()
    assert entry.objects is layer  # made once


def test_the_layer_lies_below_the_strokes_and_takes_no_selection(shown):
    entry, layers = shown.state.book.current, shown.viewer.layers
    assert layers.index(entry.objects) < layers.index(entry.annotation)
    assert layers.selection.active == entry.annotation
    assert not entry.objects.editable


def test_objects_are_written_and_counted(shown, qtbot):
    ids = np.zeros((20, 30), np.uint32)
    ids[:5, :5], ids[10:, 10:] = 3, 8
    shown.state.apply(_found(shown, ids, y=40, x=50))
    data = shown.state.book.current.objects.data
    assert np.array_equal(data[40:60, 50:80], ids)
    assert not data[:40].any()
    shown.dock.refresh()
    assert shown.dock.overlay.objects.count.text() == "2 in view"


def test_a_whole_image_replaces_all_and_is_complete(shown):
    entry = shown.state.book.current
    whole = np.full(entry.shape, 1)
    shown.state.apply(_found(shown, whole, is_whole=True))
    assert entry.objects.data is whole  # not copied: it may be a large stack
    assert not entry.objects.editable
    assert entry.has_all_objects
    shown.dock.refresh()
    assert shown.dock.overlay.objects.count.text() == "1 in all"
    # looking around finds the same objects once more, and only those in sight
    shown.state.apply(_found(shown, np.full((4, 4), 9)))
    assert np.array_equal(entry.objects.data, whole)
    assert shown.state.session.has_all_objects


def test_a_newer_model_numbers_objects_anew(shown):
    entry = shown.state.book.current
    shown.state.apply(_found(shown, np.full(entry.shape, 1), is_whole=True))
    entry.outdate()
    # what was there would be another object's
    shown.state.apply(_found(shown, np.full((4, 4), 1), generation=2))
    assert np.count_nonzero(entry.objects.data) == 16
    assert not entry.has_all_objects


def test_other_settings_show_in_what_is_looked_at(shown):
    entry = shown.state.book.current
    shown.state.apply(_found(shown, np.full(entry.shape, 1), is_whole=True))
    shown.state.objects.set_strength(0.3)
    shown.state.apply(_found(shown, np.full((4, 4), 5)))
    assert set(np.unique(entry.objects.data)) == {0, 5}


def test_many_objects_widen_the_layer(shown):
    entry = shown.state.book.current
    shown.state.apply(_found(shown, np.full((2, 2), 70_000)))
    assert entry.objects.data[0, 0] == 70_000
    assert not entry.objects.editable


@pytest.mark.parametrize(
    "changes", [{"y": 95}, {"x": 127}, {"index": (0,)}, {"key": "another"}]
)
def test_what_fits_no_more_is_dropped(shown, changes):
    before = shown.state.book.current.objects.data.copy()
    shown.state.apply(_found(shown, np.full((4, 4), 5), **changes))
    assert np.array_equal(shown.state.book.current.objects.data, before)
    assert shown.state.session.n_objects is None


def test_objects_that_come_late_are_not_counted(shown):
    shown.state.objects.set_on(False)
    shown.state.apply(_found(shown, np.full((4, 4), 5)))
    assert shown.state.session.n_objects is None


def test_settings_go_to_the_job_once_the_slider_rests(shown, qtbot):
    row = shown.dock.overlay.objects
    n_asked = len(shown.live.inbox.calls("find_objects"))
    for value in (70, 60, 50):
        row.strength.setValue(value)
    row.min_size.setValue(25)
    qtbot.waitUntil(lambda: len(shown.live.inbox.calls("find_objects")) > n_asked)
    (settings,) = shown.live.inbox.calls("find_objects")[n_asked]
    assert settings == InstanceConfig(split_strength=0.5, min_size_px=25)


def test_the_smallest_size_follows_the_painted_objects_until_one_is_set(shown, qtbot):
    row, view = shown.dock.overlay.objects, shown.state.objects
    shown.dock.refresh()
    assert row.automatic.isChecked()
    assert row.min_size.value() == 10  # nothing is known of objects
    shown.state.apply(_found(shown, np.full((4, 4), 5), smallest_px=23))
    shown.dock.refresh()
    assert (row.min_size.value(), row.automatic.isChecked()) == (23, True)
    row.min_size.setValue(40)
    shown.dock.refresh()
    assert (view.settings.min_size_px, row.automatic.isChecked()) == (40, False)
    shown.state.apply(_found(shown, np.full((4, 4), 5), smallest_px=31))
    shown.dock.refresh()
    assert row.min_size.value() == 40
    row.automatic.click()
    shown.dock.refresh()
    assert (view.settings.min_size_px, row.min_size.value()) == (None, 31)
    row.automatic.click()
    assert view.settings.min_size_px == 31  # stays with what is there


def test_a_large_automatic_size_is_shown_and_kept(shown):
    row = shown.dock.overlay.objects
    shown.state.apply(_found(shown, np.full((4, 4), 5), smallest_px=250_000))
    shown.dock.refresh()
    assert row.min_size.value() == 250_000
    row.automatic.click()
    assert shown.state.objects.settings.min_size_px == 250_000


def test_another_mode_knows_of_no_objects(shown):
    shown.state.apply(_found(shown, np.full((4, 4), 5), smallest_px=23))
    shown.state.set_mode("objects")
    shown.dock.refresh()
    assert shown.dock.overlay.objects.min_size.value() == 10


def test_a_new_job_is_told_about_objects(shown, qtbot):
    shown.state.live.stop()
    shown.layer.paint((60, 60), 1)
    shown.state.update_now()
    assert shown.live.inbox.calls("find_objects") == [(InstanceConfig(),)]


def test_removing_the_layer_of_objects_brings_the_classes_back(shown):
    entry = shown.state.book.current
    shown.viewer.layers.remove(entry.objects)
    assert entry.objects is None
    assert entry.prediction.visible
    assert not shown.state.objects.is_on
    shown.state.objects.set_on(True)
    assert entry.objects in shown.viewer.layers


def test_a_prediction_that_comes_back_leaves_the_place_to_objects(shown):
    entry = shown.state.book.current
    shown.viewer.layers.remove(entry.prediction)
    shown.state.book.make_prediction()
    assert not entry.prediction.visible
    assert entry.objects.visible


def test_holding_the_key_hides_objects_too(shown):
    entry = shown.state.book.current
    shown.state.overlay.hide()
    assert not entry.objects.visible
    shown.state.overlay.unhide()
    assert entry.objects.visible
    assert not entry.prediction.visible


def test_the_settings_show_only_with_objects(shown):
    row = shown.dock.overlay.objects
    shown.dock.refresh()
    assert not row.strength.isHidden()
    row.classes.click()
    shown.dock.refresh()
    assert row.strength.isHidden()
    assert row.min_size.isHidden()
    assert row.automatic.isHidden()


def test_every_object_is_bright_and_unlike_its_neighbours_in_number():
    colours = object_colormap().map(np.arange(1, 49))[:, :3]
    assert colours.max(axis=1).min() > 0.95
    assert np.abs(np.diff(colours, axis=0)).max(axis=1).min() > 0.3
    assert object_colormap().map(0)[3] == 0


def test_words_for_the_count():
    assert objects_text(None, False) == ""
    assert objects_text(1234, False) == "1,234 in view"
    assert objects_text(3, True) == "3 in all"
