"""Going to uncertain places, and the overlay of uncertainty, in a real viewer."""

import numpy as np
import pytest
from conftest import wait_for_drawing
from fake_live import FakeLive
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._layers import transform_of

FIRST, SECOND = ((), 16, 80, 32, 32, 0.93), ((), 60, 10, 32, 32, 0.4)


def middle_of(viewer, layer):
    """Return the pixel (y, x) of a layer in the middle of the canvas."""
    point = np.array(viewer.dims.point, float)[viewer.dims.ndim - layer.ndim :]
    point[-2:] = viewer.scene.camera.center[-2:]
    return layer.world_to_data(point)[-2:]


def test_a_key_goes_to_the_least_certain_place_and_then_to_the_next(painted, qtbot):
    case = painted(FakeLive(regions=[FIRST, SECOND]), show=True)
    viewer, state = case.viewer, case.state
    wait_for_drawing(viewer, qtbot)
    raw = viewer.__wrapped__
    canvas = raw.window._qt_viewer.canvas.native
    canvas.setFocus()
    viewer.scene.camera.zoom = 1

    def press():
        assert KEYS["uncertain"] == "."
        QTest.keyClick(canvas, Qt.Key.Key_Period)

    press()
    qtbot.waitUntil(lambda: "0.93 of 1" in state.session.message)
    assert middle_of(viewer, case.layer) == pytest.approx((31.5, 95.5))
    zoom = viewer.scene.camera.zoom
    assert zoom > 2  # near enough to paint
    press()
    qtbot.waitUntil(lambda: "0.40 of 1" in state.session.message)
    assert middle_of(viewer, case.layer) == pytest.approx((75.5, 25.5))
    assert viewer.scene.camera.zoom == zoom


def test_the_place_is_framed_for_a_moment_and_the_brush_stays(painted, qtbot):
    case = painted(FakeLive(regions=[FIRST, SECOND]))
    layers = case.viewer.layers
    layers.selection.active = case.layer
    case.state.next_uncertain()
    frames = lambda: [i for i in layers if "least sure" in i.name]  # noqa: E731
    qtbot.waitUntil(lambda: len(frames()) == 1)
    (frame,) = frames()
    assert frame.visible
    assert layers.selection.active == case.layer
    assert np.array(frame.data[0])[:, -2:].min(axis=0) == pytest.approx((15.5, 79.5))
    case.state.guide._mark.hide()
    assert not frame.visible
    case.state.next_uncertain()
    qtbot.waitUntil(lambda: frame.visible)
    assert len(frames()) == 1  # the same layer, used again


def test_the_view_stays_where_it_is_while_a_stroke_is_painted(
    painted, qtbot, monkeypatch
):
    case = painted(FakeLive(regions=[FIRST]), show=True)
    wait_for_drawing(case.viewer, qtbot)
    guide, before = case.state.guide, case.viewer.scene.camera.center
    monkeypatch.setattr("napari_unet.widgets._guide.is_dragging", lambda: True)
    case.state.next_uncertain()
    qtbot.waitUntil(guide._timer.isActive)  # it was found, and the hand is down
    assert case.viewer.scene.camera.center == before
    monkeypatch.setattr("napari_unet.widgets._guide.is_dragging", lambda: False)
    qtbot.waitUntil(lambda: "0.93 of 1" in case.state.session.message)
    assert middle_of(case.viewer, case.layer) == pytest.approx((31.5, 95.5))


def test_in_a_stack_it_goes_to_the_plane(painted, qtbot, blobs):
    stack = np.stack([blobs] * 5)
    case = painted(FakeLive(regions=[((3,), 16, 80, 32, 32, 0.5)]), image=stack)
    assert case.viewer.dims.current_step[0] != 3
    case.viewer.dims.ndisplay = 3
    case.state.next_uncertain()
    qtbot.waitUntil(lambda: "0.50" in case.state.session.message)
    assert case.viewer.dims.ndisplay == 2
    assert case.viewer.dims.current_step[0] == 3
    assert middle_of(case.viewer, case.layer) == pytest.approx((31.5, 95.5))


def test_it_goes_to_the_place_wherever_the_image_lies(open_dock, qtbot, blobs):
    case = open_dock(FakeLive(regions=[FIRST]))
    image = case.viewer.add_image(
        blobs, scale=(0.5, 0.25), translate=(100, -40), rotate=20
    )
    layer = case.state.book.new_annotation()
    layer.data[30, 30], layer.data[10, 70] = 2, 1
    layer.refresh()
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.state.next_uncertain()
    qtbot.waitUntil(lambda: "0.93" in case.state.session.message)
    assert middle_of(case.viewer, layer) == pytest.approx((31.5, 95.5))
    frame = next(i for i in case.viewer.layers if "least sure" in i.name)
    assert np.allclose(frame.data_to_world((16, 80)), image.data_to_world((16, 80)))


def test_with_nothing_to_learn_from_it_says_what_to_paint(open_dock, blobs):
    case = open_dock()
    case.viewer.add_image(blobs)
    case.state.book.new_annotation()
    case.state.next_uncertain()
    assert "two classes" in case.state.session.message
    case.dock.refresh()
    assert not case.dock.overlay.guide.next.isEnabled()


def test_the_button_asks_for_the_next_place(painted, qtbot):
    case = painted(FakeLive(regions=[FIRST]))
    case.dock.overlay.guide.next.click()
    qtbot.waitUntil(lambda: "0.93" in case.state.session.message)
    assert case.live.inbox.calls("find_uncertain") == [([case.state.book.current.key],)]


def test_the_overlay_of_uncertainty_lies_on_the_image_to_the_pixel(
    open_dock, qtbot, blobs
):
    case = open_dock()
    image = case.viewer.add_image(
        blobs, scale=(0.5, 0.25), translate=(100, -40), rotate=20
    )
    layer = case.state.book.new_annotation()
    layer.data[30, 30], layer.data[10, 70] = 2, 1
    layer.refresh()
    qtbot.waitUntil(lambda: case.state.can_learn)
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    overlay, entry = case.state.guide.uncertainty, case.state.book.current
    n_layers, active = len(case.viewer.layers), case.viewer.layers.selection.active
    overlay.set_on(True)
    shown = overlay.layer_of(entry)
    assert case.viewer.layers.selection.active == active
    assert len(case.viewer.layers) == n_layers + 1
    qtbot.waitUntil(lambda: np.array_equal(shown.data, np.minimum(blobs, 100)))
    for name, value in transform_of(image, "YX").items():
        assert np.all(np.asarray(getattr(shown, name)) == np.asarray(value)), name
    image.translate = (7, 8)
    assert tuple(shown.translate) == (7, 8)
    assert case.state.book.current is entry  # it is no image to paint on
    assert shown not in case.state.book.image_choices()


def test_off_by_default_and_nothing_is_asked_for_when_off(painted, qtbot):
    case = painted()
    entry, overlay = case.state.book.current, case.state.guide.uncertainty
    assert overlay.layer_of(entry) is None
    case.dock.overlay.guide.show_map.click()
    layer = overlay.layer_of(entry)
    assert layer.visible
    case.dock.overlay.guide.show_map.click()
    assert not layer.visible
    assert case.live.inbox.calls("map_uncertainty") == [
        (False, "entropy"),
        (True, "entropy"),
        (False, "entropy"),
    ]
    case.state.guide.toggle_uncertainty()
    assert overlay.layer_of(entry) is layer  # used again


def test_deleting_its_layer_turns_it_off(painted, qtbot):
    case = painted()
    overlay = case.state.guide.uncertainty
    overlay.set_on(True)
    case.viewer.layers.remove(overlay.layer_of(case.state.book.current))
    QApplication.processEvents()
    assert not overlay.is_on
    case.dock.refresh()
    assert not case.dock.overlay.guide.show_map.isChecked()
    overlay.set_on(True)
    assert overlay.layer_of(case.state.book.current).visible
