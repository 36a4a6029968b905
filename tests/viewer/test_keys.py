"""Keys: shown on the buttons, free of napari's own, and given back."""

import pytest
from qtpy.QtCore import Qt

from napari_unet.widgets._keys import KEYS
from napari_unet.widgets.proofread import ProofreadDock
from napari_unet.widgets.segmentation import SegmentationDock


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


def test_buttons_show_their_keys(open_dock, blobs):
    case = open_dock()
    case.viewer.add_image(blobs)
    case.dock.refresh()
    learning, overlay = case.dock.learning, case.dock.overlay
    buttons = {
        "complete": case.dock.objects.complete,
        "between": case.dock.paint.between,
        "learn": learning.learn,
        "update_now": learning.update_now,
        "stop": learning.stop,
        "predict": overlay.predict,
        "uncertain": overlay.guide.next,
        "export": overlay.export,
        "outline": overlay.outline,
        "hide": overlay.hide_button,
        "new": case.dock.layers.new,
    }
    for name, button in buttons.items():
        assert button.text().endswith(f"  {KEYS[name]}")
    of_project = {"next_image", "done"}  # on the buttons of another dock
    proofread = ProofreadDock(case.viewer)
    for name, button in proofread.buttons.items():
        assert button.text().endswith(f"  {KEYS[name]}")
    in_tips = {"next_class", "annotation", "uncertainty"}
    elsewhere = {*of_project, *proofread.buttons}
    assert set(KEYS) - set(buttons) == {*in_tips, *elsewhere}
    case.state.book.new_annotation()
    case.dock.refresh()
    assert case.dock.layers.new.text() == ""  # the name of the layer needs the room
    assert f"({KEYS['new']})" in case.dock.layers.new.toolTip()


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
