"""Every way out leaves the controls usable and no thread behind."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import paint_both, worker_threads
from fake_live import FakeLive
from qtpy.QtCore import Qt

from napari_unet.widgets._keys import KEYS
from napari_unet.widgets._state import state_of
from napari_unet.widgets.segmentation import SegmentationDock


def test_no_thread_before_the_first_stroke(open_dock, blobs):
    case = open_dock()
    case.viewer.add_image(blobs)
    case.state.book.new_annotation()
    case.state.painting.take()
    assert not worker_threads()
    assert not case.live.inboxes


def test_image_deleted_in_mid_run(painted, qtbot):
    case = painted(FakeLive(tile_delay_s=0.05))
    case.state.learn(True)
    case.state.predict_all()
    case.viewer.layers.remove("blobs")
    key = case.live.inbox.calls("annotate")[-1][0]
    assert case.live.inbox.calls("forget") == [(key,)]
    assert case.state.book.current is None
    qtbot.waitUntil(lambda: case.dock.empty.isVisibleTo(case.dock))
    assert case.state.session.phase != "learning"
    assert case.live.inbox.thread.is_alive()
    assert case.live.inbox.calls("show")[-1] == (None,)


def test_annotation_deleted_in_mid_run(painted, qtbot):
    case = painted(FakeLive(tile_delay_s=0.05))
    case.state.learn(True)
    key, *_ = case.live.inbox.calls("annotate")[-1]
    case.viewer.layers.remove("blobs annotation")
    assert case.live.inbox.calls("forget") == [(key,)]
    assert not case.state.live.has_annotations
    assert case.state.session.phase == "paused"
    assert case.live.inbox.calls("learn")[-1] == (False,)
    qtbot.waitUntil(lambda: "New" in case.dock.tip.text)
    assert not case.dock.learning.learn.isEnabled()
    assert case.dock.learning.learn.text() == "Learn  K"
    layer = case.state.book.new_annotation()
    paint_both(layer)
    qtbot.waitUntil(lambda: case.state.can_learn)
    assert case.live.inbox.calls("annotate")[-1][0] == key


def test_a_worker_that_does_not_end_is_said(painted, monkeypatch):
    case = painted()
    seen = []
    monkeypatch.setattr("napari_unet.widgets._notify.show_warning", seen.append)
    bridge_stop = case.state.live.bridge.stop
    monkeypatch.setattr(
        case.state.live.bridge, "stop", lambda timeout_s: not bridge_stop(timeout_s)
    )
    case.viewer.window.remove_dock_widget(case.dock)
    assert len(seen) == 1
    assert "still busy" in seen[0]
    assert case.state.session.message == seen[0]


def test_prediction_deleted_in_mid_run_comes_back_when_asked(painted, qtbot):
    case = painted(FakeLive(tile_delay_s=0.02))
    case.viewer.layers.remove("blobs prediction")
    qtbot.wait(100)
    assert case.state.book.current.prediction is None
    case.state.predict_all()
    prediction = case.state.book.current.prediction
    assert prediction in case.state.viewer().layers
    qtbot.waitUntil(lambda: case.state.book.current.is_complete)


def test_tiles_for_a_layer_of_another_shape_are_ignored(painted, qtbot):
    case = painted()
    prediction = case.state.book.current.prediction
    prediction.data = np.zeros((5, 5), np.uint8)
    case.layer.paint((60, 60), 1)
    n_sent = len(case.live.inbox.calls("annotate"))
    qtbot.waitUntil(lambda: len(case.live.inbox.calls("annotate")) > n_sent)
    assert prediction.data.shape == (5, 5)


def test_renamed_image_stays_current(painted, qtbot):
    case = painted()
    case.viewer.layers["blobs"].name = "cells"
    qtbot.waitUntil(lambda: case.dock.layers.image.native.currentText() == "cells")
    assert case.state.book.current.image.name == "cells"


def test_viewer_closed_in_mid_run_leaves_no_thread(make_napari_viewer, blobs, qtbot):
    live = FakeLive(tile_delay_s=0.05)
    viewer = make_napari_viewer()
    dock = SegmentationDock(viewer, make_job=live)
    viewer.window.add_dock_widget(dock)
    viewer.add_image(blobs)
    paint_both(dock.state.book.new_annotation())
    qtbot.waitUntil(lambda: dock.state.can_learn)
    dock.state.learn(True)
    qtbot.waitUntil(lambda: dock.state.session.step > 0)
    viewer.close()
    qtbot.waitUntil(lambda: not live.inbox.thread.is_alive())


def test_dock_closed_and_opened_again(painted, qtbot):
    case = painted()
    case.state.learn(True)
    thread = case.live.inbox.thread
    case.viewer.window.remove_dock_widget(case.dock)
    assert not thread.is_alive()
    assert case.state.session.phase == "paused"
    case.layer.paint((60, 60), 1)  # nobody listens, nothing breaks
    again = SegmentationDock(case.viewer)
    assert again.state is case.state
    assert again.state.book.current.annotation is case.layer
    case.viewer.window.add_dock_widget(again)
    qtbot.waitUntil(lambda: len(case.live.inboxes) == 2)
    assert case.live.inbox.calls("annotate")[0][2][60, 60] == 1
    qtbot.waitUntil(again.learning.learn.isEnabled)
    again.state.suspend()


def test_the_same_dock_docked_again_works(painted, qtbot):
    case = painted()
    case.viewer.window.remove_dock_widget(case.dock)
    assert not worker_threads()
    case.viewer.window.add_dock_widget(case.dock)
    case.layer.paint((60, 60), 1)
    qtbot.waitUntil(lambda: len(case.live.inboxes) == 2)


def test_hidden_dock_goes_on(painted, qtbot):
    case = painted()
    case.state.learn(True)
    case.dock.parent().hide()
    step = case.state.session.step
    qtbot.waitUntil(lambda: case.state.session.step > step)


def test_two_viewers_do_not_meet(painted, qtbot):
    first, second = painted(), painted()
    assert first.state is not second.state
    first.state.learn(True)
    qtbot.waitUntil(lambda: first.state.session.step > 0)
    assert second.state.session.phase == "ready"
    assert second.state.session.step == 0
    first.state.classes.add()
    assert len(second.state.classes) == 2
    first.viewer.window.remove_dock_widget(first.dock)
    assert second.live.inbox.thread.is_alive()


def test_one_state_for_all_proxies_of_a_viewer(open_dock):
    case = open_dock()
    assert state_of(case.viewer) is case.state
    assert state_of(case.viewer.__wrapped__) is case.state


def test_second_image_gets_an_overlay_from_the_first(painted, blobs, qtbot):
    case = painted()
    case.viewer.add_image(np.flipud(blobs).copy(), name="second")
    second = next(i for i in case.state.book.image_choices() if i.name == "second")
    case.state.book.choose(second)
    assert case.state.book.current.annotation is None
    case.state.book.new_annotation()
    key = case.state.book.current.key
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1][0] == key)

    def looks_at_it():
        request = case.live.inbox.calls("show")[-1][0]
        return request is not None and request.key == key

    qtbot.waitUntil(looks_at_it)
    assert case.state.can_learn


@pytest.mark.parametrize("action", ["next_class", "outline", "learn"])
def test_keys_work_and_are_freed(painted, qtbot, action):
    case = painted()
    raw = case.viewer.__wrapped__
    chain = [str(key) for key in raw.keymap]
    assert KEYS[action] in chain
    handler = next(f for key, f in raw.keymap.items() if str(key) == KEYS[action])
    case.state.brush.select(1)
    handler(raw)
    assert {
        "next_class": case.layer.selected_label == 2,
        "outline": case.state.overlay.style.is_outline,
        "learn": case.state.session.phase == "learning",
    }[action]
    case.viewer.window.remove_dock_widget(case.dock)
    assert KEYS[action] not in [str(key) for key in raw.keymap]


def test_hold_to_hide_spares_what_was_hidden(painted):
    case = painted()
    prediction = case.state.book.current.prediction
    case.state.overlay.hide()
    assert not prediction.visible
    case.state.overlay.unhide()
    assert prediction.visible
    prediction.visible = False
    case.state.overlay.hide()
    case.state.overlay.unhide()
    case.state.overlay.set_opacity(0.3)
    assert not prediction.visible


def test_holding_button_and_key_at_once_brings_the_overlay_back(painted):
    case = painted()
    prediction = case.state.book.current.prediction
    case.state.overlay.hide()
    case.state.overlay.hide()
    assert not prediction.visible
    case.state.overlay.unhide()
    assert prediction.visible
    case.state.overlay.unhide()
    assert prediction.visible


def test_our_keys_are_not_napari_s(painted):
    from napari.layers import Image, Labels
    from napari.settings import get_settings
    from napari.utils.action_manager import action_manager

    case = painted()
    raw = case.viewer.__wrapped__
    # a key of points or shapes may be ours: those layers have no use for our docks
    providers = {type(raw), Image, Labels, Image.__mro__[1], Labels.__mro__[1]}
    shortcuts = get_settings().shortcuts.shortcuts
    taken = {
        str(key)
        for name, action in action_manager._actions.items()
        if action.keymapprovider is None
        or any(issubclass(p, action.keymapprovider) for p in providers)
        for key in shortcuts.get(name, [])
    }
    assert {"2", "Ctrl+R", "V", "Space", "C", "M"} <= taken
    for provider in (*providers, *Labels.__mro__, *Image.__mro__):
        taken |= {str(key) for key in getattr(provider, "class_keymap", {})}
    menus = raw.window._qt_window.menuBar().actions()
    taken |= {
        action.shortcut().toString()
        for menu in menus
        for action in menu.menu().actions()
    }
    ours = {*KEYS.values(), *(f"Ctrl+{n}" for n in range(1, 10))}
    assert len(ours) == len(KEYS) + 9
    assert not ours & taken


def test_buttons_show_their_keys(painted):
    case = painted()
    case.dock.refresh()
    learning, overlay = case.dock.learning, case.dock.overlay
    buttons = {
        "learn": learning.learn,
        "update": learning.update_now,
        "stop": learning.stop,
        "predict": overlay.predict,
        "export": overlay.export,
        "outline": overlay.outline,
        "hide": overlay.hide_button,
        "new": case.dock.layers.new,
    }
    for name, button in buttons.items():
        assert button.text().endswith(f"  {KEYS[name]}")
    assert set(KEYS) - set(buttons) == {"next_class", "annotation"}


def test_keys_of_a_script_come_back(painted):
    case = painted()
    raw = case.viewer.__wrapped__
    case.viewer.window.remove_dock_widget(case.dock)

    def mine(_viewer):
        pass

    def newer(_viewer):
        pass

    raw.bind_key(KEYS["learn"], mine)
    raw.bind_key(KEYS["stop"], mine)
    again = SegmentationDock(case.viewer)
    case.viewer.window.add_dock_widget(again)
    bound = {str(key): f for key, f in raw.keymap.items()}
    assert bound[KEYS["learn"]] is not mine
    raw.bind_key(KEYS["stop"], newer, overwrite=True)
    case.viewer.window.remove_dock_widget(again)
    bound = {str(key): f for key, f in raw.keymap.items()}
    assert bound == {KEYS["learn"]: mine, KEYS["stop"]: newer}


def test_opening_the_docks_does_not_import_torch():
    code = (
        "import sys, napari_unet.widgets.segmentation, napari_unet.widgets.curves, "
        "napari_unet.widgets.export, napari_unet.widgets._samples\n"
        "from napari_unet.widgets._live import live_job\n"
        "live_job()\n"
        "loaded = {'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_keys_pressed_on_the_canvas(painted, qtbot, monkeypatch):
    case = painted(show=True)
    canvas = case.viewer.__wrapped__.window._qt_viewer.canvas.native
    case.state.brush.select(2)
    qtbot.keyClick(canvas, Qt.Key.Key_Q)
    assert case.layer.selected_label == 1
    qtbot.keyClick(canvas, Qt.Key.Key_2, Qt.KeyboardModifier.ControlModifier)
    assert case.layer.selected_label == 2
    prediction = case.state.book.current.prediction
    qtbot.keyPress(canvas, Qt.Key.Key_H)
    assert not prediction.visible
    qtbot.keyRelease(canvas, Qt.Key.Key_H)
    assert prediction.visible
    qtbot.keyClick(canvas, Qt.Key.Key_K)
    assert case.state.session.phase == "learning"
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert len(case.live.inbox.calls("predict_all")) == 1
    qtbot.keyClick(canvas, Qt.Key.Key_0)
    assert case.state.session.phase == "paused"
    qtbot.keyClick(canvas, Qt.Key.Key_N)
    assert case.state.book.current.annotation != case.layer
    opened = []
    monkeypatch.setattr(
        "napari_unet.widgets._keys.open_dock", lambda _v, t: opened.append(t)
    )
    qtbot.keyClick(canvas, Qt.Key.Key_E, Qt.KeyboardModifier.ShiftModifier)
    assert opened == ["Export labels"]
