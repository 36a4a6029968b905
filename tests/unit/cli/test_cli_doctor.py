"""`doctor`: says what is there, and what to do where something is not."""

import json
import sys

import pytest
import torch

from napari_unet.cli import _doctor, _self_test
from napari_unet.cli._screen import ask, has_screen
from napari_unet.cli._self_test import SelfTest, learn_and_predict
from napari_unet.errors import DeviceError


@pytest.fixture
def quick(monkeypatch):
    """Leave out what takes seconds."""
    monkeypatch.setattr(_doctor, "ask", lambda code: "PyQt6 6.9")
    monkeypatch.setattr(_doctor, "has_screen", lambda: False)
    monkeypatch.setattr(_doctor, "_nvidia_driver", lambda: None)
    good = SelfTest("CPU: fine", True)
    monkeypatch.setattr(_self_test, "learn_and_predict", lambda *_: good)


def by_name(result):
    report = json.loads(result.out)
    return report["is_ok"], {f["name"]: f for f in report["findings"]}


def test_all_is_well(cli, quick):
    result = cli("doctor", "--json")
    assert result.code == 0
    is_ok, findings = by_name(result)
    assert is_ok
    assert list(findings) == [
        *("Python", "napari", "Qt", "imagecodecs", "torch", "GPU", "self-test")
    ]
    assert torch.__version__ in findings["torch"]["text"]
    text = cli("doctor").out
    assert text.splitlines()[-1] == "All is well."
    assert text.count("ok  ") == 7


def test_without_napari_and_qt(cli, quick, monkeypatch):
    version = _doctor._version
    monkeypatch.setattr(
        _doctor, "_version", lambda name: None if name == "napari" else version(name)
    )
    result = cli("doctor", "--json")
    assert result.code == 0
    _, findings = by_name(result)
    assert findings["napari"]["text"] == "not installed"
    assert "pip install 'napari-unet[all]'" in findings["napari"]["advice"]
    assert findings["Qt"]["text"] == "not needed without napari"


@pytest.mark.parametrize(
    ("binding", "system", "text"),
    [
        (None, None, "no Qt binding works"),
        ("PyQt6 6.9", None, "PyQt6 6.9, cannot start"),
        ("PyQt6 6.9", "xcb", "PyQt6 6.9 on xcb"),
    ],
)
def test_qt_and_its_screen(cli, quick, monkeypatch, binding, system, text):
    monkeypatch.setattr(_doctor, "_version", lambda _: "1.0")
    monkeypatch.setattr(_doctor, "find_spec", lambda _: True)
    monkeypatch.setattr(_doctor, "has_screen", lambda: True)
    monkeypatch.setattr(_doctor, "ask", lambda _: binding)
    monkeypatch.setattr(_doctor, "window_system", lambda: system)
    _, findings = by_name(cli("doctor", "--json"))
    assert findings["Qt"]["text"] == text
    assert bool(findings["Qt"]["advice"]) == (system is None)


def test_without_torch(cli, quick, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = cli("doctor", "--json")
    assert result.code == 3
    is_ok, findings = by_name(result)
    assert not is_ok
    assert not findings["torch"]["is_ok"]
    assert findings["torch"]["advice"] == "pip install torch"


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_a_driver_but_a_torch_without_cuda(cli, quick, monkeypatch):
    monkeypatch.setattr(_doctor, "_nvidia_driver", lambda: "580.1")
    result = cli("doctor")
    assert result.code == 0
    assert "NVIDIA driver 580.1, but torch has no CUDA" in result.out
    assert "install it anew as https://pytorch.org says" in result.out


@pytest.mark.parametrize(
    "error", [DeviceError("no NVIDIA GPU was found"), RuntimeError("driver\nbroken")]
)
def test_a_self_test_that_fails(cli, quick, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(_self_test, "learn_and_predict", fail)
    result = cli("doctor", "--device", "cuda")
    assert result.code == 3
    assert "FAIL self-test" in result.out


def test_what_is_slow_is_announced_before_it_runs(cli, quick, monkeypatch, capsys):
    printed = []

    def self_test(*_):
        printed.append(capsys.readouterr())
        return SelfTest("CPU: fine", True)

    monkeypatch.setattr(_self_test, "learn_and_predict", self_test)
    cli("doctor")
    [(out, err)] = printed
    assert "GPU" in out.splitlines()[-1]
    assert err.splitlines()[-1].startswith("...  learning and predicting a sample")
    assert cli("doctor", "--json").err == ""


def test_wrong_numbers_are_noticed(cli, quick, monkeypatch):
    bad = SelfTest("7% of the sample right", False)
    monkeypatch.setattr(_self_test, "learn_and_predict", lambda *_: bad)
    assert cli("doctor").code == 3


def test_the_self_test_learns():
    result = learn_and_predict("cpu", 0.5)
    assert result.is_ok, result.text
    assert "training steps/s" in result.text


def test_a_process_that_cannot_run():
    assert ask("raise SystemExit(3)") is None
    assert ask("print(6 * 7)") == "42"


@pytest.mark.parametrize(
    ("name", "value"), [("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0")]
)
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="always a screen")
def test_what_speaks_for_a_screen(monkeypatch, name, value):
    for one in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(one, raising=False)
    assert not has_screen()
    monkeypatch.setenv(name, value)
    assert has_screen()
