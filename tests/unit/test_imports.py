"""What an import loads, seen in a fresh interpreter: the linter cannot see this."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

QT = {"PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy", "superqt", "magicgui"}
SLOW = {"torch", "sklearn", "skimage", "scipy", "numpy", "dask", "zarr"}


def modules_after(code: str) -> set[str]:
    """Return the top-level modules that are loaded once the code has run."""
    report = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    names = json.loads(result.stdout.splitlines()[-1])
    return {name.partition(".")[0] for name in names}


def test_the_package_loads_neither_torch_nor_qt_nor_napari():
    loaded = modules_after("import napari_unet")
    assert "napari_unet" in loaded
    assert not loaded & (QT | SLOW | {"napari", "psygnal", "pydantic"})


def test_settings_load_nothing_that_is_slow():
    loaded = modules_after("import napari_unet; napari_unet.LearnerConfig()")
    assert "pydantic" in loaded
    assert not loaded & (QT | SLOW | {"napari", "psygnal"})


def test_the_names_of_the_package_are_there_when_used():
    loaded = modules_after(
        "import napari_unet as nu\n"
        "assert set(nu.__all__) <= set(dir(nu))\n"
        "for name in nu.__all__: getattr(nu, name)"
    )
    assert "torch" in loaded
    assert not loaded & (QT | {"napari"})


def test_the_core_draws_nothing():
    loaded = modules_after("from napari_unet.core import UNet, load_model")
    assert "torch" in loaded
    assert not loaded & (QT | {"napari", "vispy", "psygnal", "sklearn"})


def test_the_command_line_answers_without_torch():
    loaded = modules_after("from napari_unet.cli import main")
    assert not loaded & (QT | SLOW | {"napari"})


@pytest.mark.skipif(find_spec("napari") is None, reason="the dock needs napari and Qt")
def test_opening_a_dock_does_not_load_torch():
    loaded = modules_after(
        "import importlib, pkgutil, napari_unet.widgets as room\n"
        "names = [m.name for m in pkgutil.iter_modules(room.__path__)]\n"
        "assert names\n"
        "for name in names: importlib.import_module(f'napari_unet.widgets.{name}')"
    )
    assert "qtpy" in loaded
    assert not loaded & {"torch", "sklearn"}
