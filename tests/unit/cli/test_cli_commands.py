"""`train`, `evaluate`, `simulate`, `info`: results on stdout, as text and as JSON."""

import json
import re

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.annotation.simulate import simulate_strokes
from napari_unet.cli._evaluate import mean_scores
from napari_unet.core.checkpoint import save_tensors
from napari_unet.core.metrics import evaluate
from napari_unet.inference.predictor import Frugal
from napari_unet.learning import load


def train(cli, folder, *args):
    return cli(
        *("train", "--image", folder / "image.png"),
        *("--annotation", folder / "strokes.png"),
        *args,
    )


def test_train_reports_in_words_and_in_json(cli, folder, tmp_path):
    model, curves = tmp_path / "m.safetensors", tmp_path / "c.csv"
    options = ("--out", model, "--config", folder / "small.json")
    result = train(cli, folder, *options, "--steps", 2, "--curves", curves)
    assert result.code == 0
    assert result.err == ""
    assert f"model      {model}\n" in result.out
    assert "fine-tuned 2 steps in " in result.out
    held_out = re.search(
        r"score      (IoU \d\.\d\d \(.+ strokes held out\))", result.out
    )
    assert held_out is not None
    assert "advice" not in result.out
    lines = curves.read_text().splitlines()
    assert lines[0].startswith("kind,seconds")
    assert sum(line.startswith("loss") for line in lines) == 2
    result = train(cli, folder, *options, "--seconds", 0, "--json")
    report = json.loads(result.out)
    assert report["model"] == str(model)
    assert report["step"] == 0
    assert report["classes"] == {"1": None, "2": None}
    assert set(report["scores"]) >= {"forest", "instant"}
    assert report["score"]["n_px"] > report["score"]["n_strokes"] >= 2


def test_options_win_over_the_config_file(cli, folder, tmp_path):
    model = tmp_path / "m.safetensors"
    options = ("--config", folder / "small.json", "--steps", 0, "--out", model)
    assert train(cli, folder, *options, "--seed", 7, "--start", "scratch").code == 0
    config = load(model).config
    assert (config.seed, config.start) == (7, "scratch")
    assert (config.base_channels, config.depth, config.instant.n_trees) == (4, 1, 5)


def test_the_paper_s_recipe_trains_saves_and_predicts(cli, folder, tmp_path):
    model, out = tmp_path / "m.safetensors", tmp_path / "labels"
    options = ("--config", folder / "small.json", "--out", model, "--steps", 1)
    result = train(cli, folder, *options, "--recipe", "paper")
    assert result.code == 0, result.err
    assert result.err == ""
    config = load(model).config
    assert (config.recipe, config.architecture) == ("paper", "unet2015")
    assert (config.fine_tune.optimizer, config.fine_tune.border_weight) == ("sgd", 10)
    assert (config.base_channels, config.instant.n_trees) == (4, 5)  # the file's
    image = folder / "image.png"
    assert cli("predict", "--model", model, "--image", image, "--out", out).code == 0
    # a file that names the recipe, and an option against it
    settings = tmp_path / "paper.json"
    settings.write_text('{"recipe": "paper", "base_channels": 4, "device": "cpu"}')
    options = ("--config", settings, "--out", model, "--steps", 0)
    assert train(cli, folder, *options).code == 0
    assert load(model).config.fine_tune.momentum == 0.99
    assert load(model).config.fine_tune.optimizer == "sgd"
    assert train(cli, folder, *options, "--recipe", "strokes").code == 0
    assert load(model).config.fine_tune.optimizer == "adamw"
    assert load(model).config.base_channels == 4
    result = train(
        cli, folder, "--start", model, "--recipe", "paper", "--out", tmp_path / "n"
    )
    assert result.code == 2
    assert "--recipe cannot be given together with --start" in result.sentence()


def test_training_goes_on_from_a_model_file(cli, folder, tmp_path):
    start, model = folder / "model.safetensors", tmp_path / "m.safetensors"
    result = train(cli, folder, "--start", start, "--out", model, "--steps", 1)
    assert result.code == 0, result.err
    assert load(model).class_names == {1: "background", 2: "right"}
    assert load(model).config.depth == 1


def test_several_images_train_together(cli, folder, tmp_path):
    image, strokes = folder / "image.png", folder / "strokes.png"
    result = cli(
        *("train", "--image", image, folder / "truth.png"),
        *("--annotation", strokes, strokes, "--out", tmp_path / "m", "--steps", 1),
        *("--config", folder / "small.json", "--json"),
    )
    n_px = np.count_nonzero(iio.imread(strokes))
    assert json.loads(result.out)["n_px"] == 2 * n_px


def test_a_stack_of_planes_that_imagej_calls_channels(cli, folder, tmp_path):
    plane, strokes = (iio.imread(folder / f"{n}.png") for n in ("image", "strokes"))
    tifffile.imwrite(tmp_path / "i.tif", np.stack([plane] * 5), imagej=True)
    tifffile.imwrite(tmp_path / "s.tif", np.stack([strokes] * 5), imagej=True)
    result = cli(
        *("train", "--image", tmp_path / "i.tif", "--annotation", tmp_path / "s.tif"),
        *("--out", tmp_path / "m", "--steps", 0, "--config", folder / "small.json"),
    )
    assert result.code == 0, result.err
    assert load(tmp_path / "m.safetensors").n_channels == 1


def test_the_suffix_of_a_model_is_added_and_its_path_said(cli, folder, tmp_path):
    options = ("--out", tmp_path / "m", "--config", folder / "small.json")
    result = train(cli, folder, *options, "--steps", 0)
    assert f"model      {tmp_path / 'm.safetensors'}\n" in result.out
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_number_per_object_and_a_constant_image_are_said_at_once(
    cli, folder, tmp_path
):
    image = iio.imread(folder / "image.png")
    numbers = np.zeros(image.shape, np.uint8)
    for number in range(24):
        y, x = divmod(number, 6)
        numbers[12 * y : 12 * y + 6, 10 * x : 10 * x + 6] = number + 1
    iio.imwrite(tmp_path / "numbers.png", numbers)
    iio.imwrite(tmp_path / "flat.png", np.full_like(image, 9))
    options = ("--out", tmp_path / "m", "--config", folder / "small.json")
    options = (*options, "--steps", 0)
    for pair, said in (
        ((folder / "image.png", tmp_path / "numbers.png"), "The 24 values of the ann"),
        ((tmp_path / "flat.png", folder / "strokes.png"), "the same value everywhere"),
    ):
        result = cli("train", "--image", pair[0], "--annotation", pair[1], *options)
        assert result.code == 0
        assert said in result.sentence()


def test_progress_bar_of_training(cli, folder, tmp_path):
    options = ("--out", tmp_path / "m", "--config", folder / "small.json")
    result = train(cli, folder, *options, "--steps", 3, "--progress")
    assert "steps/s" in result.err
    assert "strokes held out)" in result.err


def test_evaluate(cli, folder, tmp_path):
    truth = iio.imread(folder / "truth.png")
    prediction = truth.copy()
    prediction[:10] = 1
    tifffile.imwrite(tmp_path / "p.tif", prediction)
    pair = ("--prediction", tmp_path / "p.tif", "--truth", folder / "truth.png")
    expected = evaluate(prediction, truth)
    report = json.loads(cli("evaluate", *pair, "--json").out)
    assert report["mean_iou"] == expected["mean_iou"]
    assert report["classes"]["2"]["dice"] == expected["classes"][2]["dice"]
    text = cli("evaluate", *pair).out.splitlines()
    assert text[0].split() == ["prediction", "class", "IoU", "Dice", "true", "px"]
    assert text[-1].split()[1:3] == ["mean", f"{expected['mean_iou']:.3f}"]
    report = json.loads(cli("evaluate", *pair, "--ignore", 1, "--json").out)
    assert set(report["classes"]) == {"2"}


def test_evaluate_goes_on_after_a_bad_pair(cli, folder, tmp_path):
    truth = folder / "truth.png"
    other = tmp_path / "other.png"
    iio.imwrite(other, iio.imread(truth)[:30])
    result = cli("evaluate", "--prediction", truth, other, "--truth", truth, truth)
    assert result.code == 3
    assert str(other) in result.err.splitlines()[0]
    assert result.err.splitlines()[1] == "napari-unet: 1 of 2 pairs failed"
    assert "1.000" in result.out
    assert cli("evaluate", "--prediction", other, "--truth", truth).code == 2


def test_mean_over_pairs_leaves_out_what_a_pair_does_not_have():
    first = {"classes": {1: {"iou": 0.5, "dice": 0.6, "n_px": 3}}, "n_px": 3}
    second = {
        "classes": {
            1: {"iou": 0.7, "dice": 0.8, "n_px": 2},
            2: {"iou": 0.2, "dice": 0.4, "n_px": 5},
        },
        "n_px": 7,
    }
    total = mean_scores([first, second])
    assert total["classes"][1]["iou"] == pytest.approx(0.6)
    assert total["classes"][2] == {"iou": 0.2, "dice": 0.4, "n_px": 5}
    assert total["mean_iou"] == pytest.approx(0.4)
    assert total["n_px"] == 10


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_simulate(cli, folder, tmp_path, name):
    truth = folder / "truth.png"
    call = ("simulate", "--truth", truth, "--strokes", 2, "--seed", 5)
    result = cli(*call, "--out", tmp_path / name)
    assert result.code == 0
    assert "px of class 1" in result.out
    read = tifffile.imread if name.endswith("tif") else iio.imread
    expected = simulate_strokes(iio.imread(truth), 2, 5)
    np.testing.assert_array_equal(read(tmp_path / name), expected)
    report = json.loads(cli(*call, "--out", tmp_path / name, "--json").out)
    assert report["n_px"]["2"] == np.count_nonzero(expected == 2)


def test_info(cli, folder):
    model = folder / "model.safetensors"
    text = cli("info", model).out
    assert "1 background, 2 right" in text
    assert "compact, 1 channel, depth 1" in text
    report = json.loads(cli("info", model, "--json").out)
    assert report["kind"] == "learner"
    assert report["values"] == [1, 2]
    assert report["n_bytes"] == model.stat().st_size


def test_info_of_the_bundled_weights(cli, folder, monkeypatch):
    model = folder / "model.safetensors"
    monkeypatch.setattr("napari_unet.core.start.bundled_path", lambda _: None)
    assert "carries no bundled weights" in cli("info", "bundled").out
    report = json.loads(cli("info", "bundled", "--json").out)
    assert report == {"compact": None, "unet2015": None}
    monkeypatch.setattr(
        "napari_unet.core.start.bundled_path",
        lambda name: model if name == "compact" else None,
    )
    assert str(model) in cli("info", "bundled").out


def test_info_tells_where_bundled_weights_come_from(cli, tmp_path, monkeypatch):
    path = tmp_path / "compact.safetensors"
    header = {
        "schema_version": 1,
        "kind": "bundled",
        "licence": "MIT",
        "data": ["procedural", "cells"],
        "unet": {"architecture": "compact", "in_channels": 3, "depth": 4},
        "n_levels": 4,
        "n_scales": 1,
        "n_steps": 12345,
        "hours": 0.5,
        "settings": {"seed": 7},
        "validation": {"same": 0.625, "other": 0.5},
    }
    save_tensors(path, {"a": np.zeros(3, np.float16)}, header)
    monkeypatch.setattr(
        "napari_unet.core.start.bundled_path",
        lambda name: path if name == "compact" else None,
    )
    lines = [line.split(maxsplit=1) for line in cli("info", "bundled").out.splitlines()]
    said = dict(lines)
    assert said["holds"] == "bundled, schema 1"
    assert said["network"] == "compact, 3 channels, depth 4"
    assert said["features"] == "4 levels at 1 scale"
    assert said["licence"] == "MIT"
    assert said["data"] == "procedural, cells"
    assert said["pretrained"] == (
        "12,345 steps in 0.5 hours with seed 7 "
        "(mean IoU in validation: same image 0.62, other image 0.50)"
    )
    assert json.loads(cli("info", "bundled", "--json").out)["compact"]["data"]


def test_info_describes_the_weights_of_this_version(cli):
    """Whatever their numbers are."""
    text = cli("info", "bundled").out
    assert "compact.safetensors" in text
    assert re.search(r"^features +\d levels? at \d scales?$", text, re.MULTILINE)
    assert re.search(r"^pretrained +[\d,]+ steps", text, re.MULTILINE)
    report = json.loads(cli("info", "bundled", "--json").out)
    assert report["compact"]["kind"] == "bundled"
    assert report["unet2015"] is None


def test_train_says_when_everything_becomes_one_class(
    cli, folder, tmp_path, monkeypatch
):
    def all_of_the_first(self, source, plane, tile, n_planes=1):
        return np.stack([np.ones(tile.shape), np.zeros(tile.shape)])

    monkeypatch.setattr(Frugal, "predict", all_of_the_first)
    options = ("--out", tmp_path / "m", "--config", folder / "small.json")
    classes = ("--classes", "1=ground", "2=right")
    result = train(cli, folder, *options, "--steps", 0, *classes)
    said = "advice     Almost everything is predicted as 'ground': paint a few more"
    assert said in result.out
    report = json.loads(train(cli, folder, *options, "--steps", 0, "--json").out)
    assert "of class 2" in report["advice"]


def test_info_names_what_was_held_out_once(cli, folder):
    text = cli("info", folder / "model.safetensors").out
    (line,) = (line for line in text.splitlines() if line.startswith("IoU "))
    assert re.search(r"forest \d\.\d\d.* \([\d,]+ px of \d+ strokes held out\)$", line)
    assert line.count("held out") == 1
