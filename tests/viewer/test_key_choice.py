"""Keys from napari's preferences: used where they can be, refused with a sentence."""

import os
import subprocess
import sys

import pytest

from napari_unet.widgets._key_choice import choose_keys, keys_of_napari
from napari_unet.widgets._keys import DEFAULT_KEYS

TABLE = {"learn": "K", "stop": "0", "hide": "H", "accept_plane": "Shift+A"}
TITLES = {name: name.replace("_", " ") for name in TABLE}


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        ({}, {}),
        ({"learn": "T"}, {"learn": "T"}),
        ({"learn": " shift+t "}, {"learn": "Shift+T"}),
        ({"learn": "F5"}, {"learn": "F5"}),
        ({"learn": ","}, {"learn": ","}),
        ({"learn": "H", "hide": "K"}, {"learn": "H", "hide": "K"}),  # exchanged
        ({"of an older version": "T"}, {}),
    ],
)
def test_a_key_that_is_free_is_used(wanted, used):
    assert choose_keys(TABLE, wanted, {"Z"}, TITLES) == ({**TABLE, **used}, [])


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "is no key"),
        ("foo", "is no key"),
        ("a b", "is no key"),
        ("Shift", "is no key"),
        ("é", "is no key"),
        ("Ctrl+K", "has Ctrl"),
        ("Alt+K", "has Ctrl, Alt or Meta"),
        ("z", "is napari's own"),
        ("H", "is the key of something else too"),
    ],
)
def test_another_is_refused_and_the_default_stays(key, why):
    keys, complaints = choose_keys(TABLE, {"accept_plane": key}, {"Z"}, TITLES)
    assert keys == TABLE
    (sentence,) = complaints
    assert sentence.startswith(f"The key '{key}' for 'accept plane' {why}")
    assert "Shift+A is used" in sentence
    assert "Preferences" in sentence


def test_a_default_that_comes_back_does_not_meet_another():
    # K is learn's again because 0 is taken, and so hide cannot have it
    wanted = {"learn": "0", "hide": "K"}
    keys, complaints = choose_keys(TABLE, wanted, (), TITLES)
    assert keys == TABLE
    assert len(complaints) == 2


def test_napari_s_keys_are_known(make_napari_viewer):
    make_napari_viewer()
    taken = keys_of_napari()
    assert {"2", "Ctrl+R", "V", "Space", "C", "M"} <= taken
    assert not taken & set(DEFAULT_KEYS.values())


PROGRAM = """
import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

viewer = napari.Viewer()
_, dock = viewer.window.add_plugin_dock_widget("napari-unet")
viewer.add_image(np.zeros((64, 64), np.uint8))
dock.refresh()
canvas = viewer.window._qt_viewer.canvas.native
QTest.keyClick(canvas, Qt.Key.Key_N)
before = len(viewer.layers)
QTest.keyClick(canvas, Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
print(before, "Image annotation" in viewer.layers, dock.layers.new.toolTip())
viewer.close()
"""


def test_a_chosen_key_works_on_the_canvas(tmp_path):
    settings = "keys:\n  new: shift+t\n  stop: M\n"
    (tmp_path / "napari-unet.yaml").write_text(settings)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    warning, result = done.stdout.splitlines()
    assert (
        "The key 'M' for 'stop learning and predicting' is napari's own: 0 is used"
        in warning
    )
    assert result.startswith("1 True ")  # N makes no layer any more, Shift+T does
    assert "(Shift+T)" in result
