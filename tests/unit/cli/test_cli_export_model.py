"""``export-model`` and ``train --start`` with weights."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from napari_unet import Learner, LearnerConfig
from napari_unet.cli import main
from napari_unet.core.unet import UNet

CONFIG = LearnerConfig(base_channels=4, depth=2, start="scratch", device="cpu")


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 50)).astype(np.uint8)
    strokes = np.zeros(image.shape, np.uint8)
    strokes[4:7, 5:30], strokes[20:24, 5:30] = 1, 2
    iio.imwrite(tmp_path / "image.png", image)
    iio.imwrite(tmp_path / "strokes.png", strokes)
    (tmp_path / "config.json").write_text(CONFIG.model_dump_json())
    return tmp_path


def test_a_model_is_written_and_checked(files, capsys):
    learner = Learner(CONFIG)
    learner.annotate(iio.imread(files / "image.png"), iio.imread(files / "strokes.png"))
    learner.save(files / "model.safetensors")
    call = ["export-model", "--model", str(files / "model.safetensors"), "--check"]
    out = files / "out.safetensors"
    assert main([*call, "--out", str(out), "--image", str(files / "image.png")]) == 0
    said = capsys.readouterr().out
    assert f"Wrote {out} (safetensors" in said
    assert "images of 1x1x40x50, 1x1x19x16, 2x1x19x16" in said
    assert main([*call, "--out", str(out), "--scaled", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["is_right"]
    assert facts["max_difference"] < 1e-6
    assert (
        "scaled" in json.loads(out.with_suffix(".json").read_text())["input"]["image"]
    )


def test_wrong_calls_say_so_in_one_line(files, capsys):
    model = files / "config.json"
    for arguments, message in {
        ("--out", "m.tif"): "tells no format",
        ("--out", "m.onnx", "--name", "a"): "'name'",
        ("--out", "m.safetensors"): "not a napari-unet model",
    }.items():
        call = ["export-model", "--model", str(model), *arguments]
        call[call.index("--out") + 1] = str(files / arguments[1])
        assert main(call) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_training_starts_from_weights_that_fit(files, capsys):
    torch.manual_seed(3)
    unet = UNet(CONFIG.unet_config(1, 2))
    torch.save(unet.state_dict(), files / "weights.pt")
    call = ["train", "--image", str(files / "image.png"), "--annotation"]
    call += [str(files / "strokes.png"), "--out", str(files / "m.safetensors")]
    call += ["--start", str(files / "weights.pt"), "--steps", "0"]
    assert main([*call, "--config", str(files / "config.json")]) == 0
    started = Learner.load(files / "m.safetensors")._state.start.unet
    assert torch.equal(started.merge[0][0].weight, unet.merge[0][0].weight)
    assert main(call) == 2  # the usual network is a larger one
    assert "but the network needs (16," in capsys.readouterr().err
