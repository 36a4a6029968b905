"""The whole loop from the command line: simulate, train, predict, evaluate, demo."""

import csv
import json
import os
import signal
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.cli import _demo, main
from napari_unet.core.metrics import evaluate
from napari_unet.jobs import TilePredicted
from napari_unet.learning import load
from napari_unet.sample import load_sample

SETTINGS = {"base_channels": 4, "depth": 2, "device": "cpu", "tiling": {"tile_px": 96}}

SIMULATE = "simulate --truth truth.tif --out strokes.tif --strokes 3"
TRAIN = "train --image image.tif --annotation strokes.tif --out model.safetensors"
PREDICT = "predict --model model.safetensors --image image.tif --out o.tif"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder with a part of the sample, as a stack of two planes."""
    sample = load_sample("nuclei")
    part = (slice(180, 340), slice(400, 592))
    stacks = {"image": sample.image, "truth": sample.truth}
    for name, array in stacks.items():
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            np.stack([array[part]] * 2),
            imagej=True,
            resolution=(4, 4),
            metadata={"axes": "ZYX", "unit": "um", "spacing": 1.5},
        )
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(text):
    return main(text.split())


def test_strokes_to_scores(here, capsys):
    assert call(SIMULATE) == 0
    assert call(f"{TRAIN} --config settings.json --steps 3") == 0
    assert call(PREDICT) == 0
    capsys.readouterr()
    assert call("evaluate --prediction o.tif --truth truth.tif --json") == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["classes"]) == {"1", "2"}
    # far better than chance; a broken step of the loop stays below
    assert report["mean_iou"] > 0.7
    with tifffile.TiffFile("o.tif") as tiff:
        assert tiff.series[0].axes == "ZYX"
        assert tiff.imagej_metadata["spacing"] == 1.5
        assert tiff.pages[0].tags["XResolution"].value == (4, 1)
    assert call("info model.safetensors") == 0


def test_the_pixels_are_those_of_the_viewer(here):
    # the viewer puts the tiles of this job together, the command line takes its array
    call(SIMULATE)
    call(f"{TRAIN} --config settings.json --steps 2")
    call(f"{PREDICT} --probabilities")
    learner = load("model.safetensors")
    image = tifffile.imread("image.tif")
    shown = np.zeros(image.shape, np.uint8)
    for event in learner.predict_job(image, key="layer", axes="ZYX"):
        if isinstance(event, TilePredicted):
            h, w = event.labels.shape
            where = (slice(event.y, event.y + h), slice(event.x, event.x + w))
            shown[(*event.index, *where)] = event.labels
    np.testing.assert_array_equal(tifffile.imread("o.tif"), shown)


def test_headless_demo(here, capsys):
    assert call("demo --headless --seconds 1 --sample tissue --device cpu") == 0
    out, err = capsys.readouterr()
    assert err == ""
    table = out[out.index("round ") :].splitlines()
    assert table[0].split()[:3] == ["round", "painted", "px"]
    assert [row.split()[0] for row in table[1:4]] == ["1", "2", "3"]
    painted = [int(row.split()[1]) for row in table[1:4]]
    assert painted == sorted(set(painted))
    files = {path.name for path in (here / "demo-output").iterdir()}
    wanted = "labels.tif annotation.tif overlay.png curves.png curves.csv"
    assert files == {*wanted.split(), "model.safetensors"}
    sample = load_sample("tissue")
    labels = tifffile.imread("demo-output/labels.tif")
    score = evaluate(labels, sample.truth)["mean_iou"]
    assert f"{score:.3f}" == table[3].split()[6]
    assert score > 0.4
    assert iio.imread("demo-output/overlay.png").shape == sample.image.shape
    with open("demo-output/curves.csv", newline="") as file:
        kinds = {row["kind"] for row in csv.DictReader(file)}
    assert kinds >= {"loss", "iou", "round"}
    # the model on disk gives what was written
    again = load("demo-output/model.safetensors").predict(sample.image)
    np.testing.assert_array_equal(again, labels)


@pytest.fixture
def screen(monkeypatch):
    """Pretend that there is a screen, and record what is started on it."""
    calls = []

    def run(command, **_):
        calls.append(command[1:])
        return subprocess.CompletedProcess(command, -15)

    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setattr(_demo, "find_spec", lambda _: True)
    monkeypatch.setattr(_demo, "window_system", lambda: "xcb")
    monkeypatch.setattr(_demo.subprocess, "run", run)
    return calls


def test_demo_opens_a_window_where_there_is_a_screen(screen):
    assert call("demo --sample tissue") == 128 + 15
    assert screen == [["-m", "napari_unet.widgets.demo", "--sample", "tissue"]]


@pytest.mark.parametrize("case", ["no napari", "no window", "headless"])
def test_demo_runs_without_a_window(screen, monkeypatch, capsys, case):
    monkeypatch.setattr("napari_unet.cli._rounds.run_headless", lambda _: 5)
    if case == "no napari":
        monkeypatch.setattr(_demo, "find_spec", lambda _: None)
    elif case == "no window":
        monkeypatch.setattr(_demo, "window_system", lambda: None)
    assert call("demo" + " --headless" * (case == "headless")) == 5
    assert screen == []
    err = capsys.readouterr().err
    assert err.endswith("so the demo runs without a window\n") == (case != "headless")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_ctrl_c_ends_the_training_and_keeps_the_model(here):
    call(SIMULATE)
    training = f"{TRAIN} --config settings.json --seconds 600 --progress"
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_unet.cli", *training.split()],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    seen = b""
    while b"steps/s" not in seen:
        seen += os.read(process.stderr.fileno(), 1000)
        assert process.poll() is None, seen
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert b"interrupted; what was learned so far is kept" in err
    assert b"model.safetensors" in out
    assert load("model.safetensors").class_values == (1, 2)
