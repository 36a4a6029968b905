"""`train --objects`: it counts, it is said, and `info` says it of the file."""

import json
from dataclasses import replace

import pytest

from napari_unet.learning import load, state


@pytest.fixture
def train(cli, folder, tmp_path):
    """Train without steps; the gate keeps what is usual, so that it is no luck."""
    settings = tmp_path / "settings.json"
    instant = {"n_trees": 5, "min_gain": 1.0, "n_scales": 2}
    settings.write_text(json.dumps({"instant": instant, "device": "cpu"}))

    def run(*args, out="m.safetensors", start=("--config", settings)):
        return cli(
            *("train", "--image", folder / "image.png"),
            *("--annotation", folder / "strokes.png", "--out", tmp_path / out),
            *("--seconds", 0, *start, *args),
        )

    return run


@pytest.mark.parametrize(
    ("objects", "n_scales", "reach_px", "sizes"),
    [
        ("small", 1, 92, "full size"),
        ("medium", 2, 184, "full and half size"),
        ("large", 3, 368, "full, half and quarter size"),
    ],
)
def test_the_size_of_objects_is_set_and_said(
    cli, train, tmp_path, objects, n_scales, reach_px, sizes
):
    model, said = tmp_path / "m.safetensors", f"{reach_px} px around each pixel"
    result = train("--objects", objects)
    assert result.code == 0, result.err
    assert f"sees       {said}, the image at {sizes}\n" in result.out
    assert load(model).config.instant.n_scales == n_scales
    assert f"sees          {said}, the image at {sizes}\n" in cli("info", model).out
    assert json.loads(cli("info", model, "--json").out)["head_n_scales"] == n_scales
    report = json.loads(train("--objects", objects, "--json").out)
    assert (report["n_scales"], report["reach_px"]) == (n_scales, reach_px)


def test_auto_wins_over_the_settings_file(train, tmp_path):
    train("--objects", "auto")
    assert load(tmp_path / "m.safetensors").config.instant.n_scales is None
    train()
    assert load(tmp_path / "m.safetensors").config.instant.n_scales == 2


def test_a_model_file_keeps_its_own_unless_told_otherwise(train, tmp_path):
    train("--objects", "small", out="small.safetensors")
    start = ("--start", tmp_path / "small.safetensors")
    assert "sees       92 px" in train(start=start).out
    assert "sees       368 px" in train("--objects", "large", start=start).out
    assert load(tmp_path / "m.safetensors").config.instant.n_scales == 3


def test_the_forest_alone_tells_nothing_of_it(cli, train, tmp_path, monkeypatch):
    real = state.judge

    def choose_the_forest(*args, **kwargs):
        verdict, tuned = real(*args, **kwargs)
        return replace(verdict, chosen="forest"), tuned

    monkeypatch.setattr(state, "judge", choose_the_forest)
    assert "sees" not in train().out
    assert "sees" not in cli("info", tmp_path / "m.safetensors").out


def test_an_unknown_size_is_one_line(cli):
    call = "train --image a --annotation b --out m --objects huge"
    result = cli(*call.split())
    assert result.code == 2
    assert "invalid choice: 'huge'" in result.err
