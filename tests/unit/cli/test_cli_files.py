"""No command writes over a file that it reads, whatever name it goes by."""

import os
import shutil

import pytest

from napari_unet.cli._files import find_twice, refuse_overwriting
from napari_unet.cli._outputs import plan_outputs
from napari_unet.errors import ConfigError, FileError

TRAIN = "train --image image.png --annotation strokes.png --steps 0 --config small.json"
GO_ON = (
    "train --image image.png --annotation strokes.png --steps 0 "
    "--start model.safetensors"
)
PREDICT = "predict --model model.safetensors --image image.png"
SIMULATE = "simulate --truth truth.png --strokes 1"

OVER_AN_INPUT = [
    f"{TRAIN} --out new --curves strokes.png",
    f"{TRAIN} --out new --curves ./image.png",
    f"{TRAIN} --out new --curves sub/../small.json",
    f"{TRAIN} --out new --curves link.png",
    f"{GO_ON} --out ./model.safetensors",
    f"{GO_ON} --out link.safetensors",
    f"{GO_ON} --out model",  # the suffix is added
    f"{SIMULATE} --out truth.png",
    f"{PREDICT} --out sub/../image.png",
    # the strokes of another program may end like this
    f"{PREDICT} sub/image-probabilities.tif --probabilities --out sub",
]


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """Work in a folder with a copy of every file."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    os.mkdir("sub")
    os.symlink("strokes.png", "link.png")
    os.symlink("model.safetensors", "link.safetensors")
    shutil.copy("image.png", "sub/image-probabilities.tif")
    return tmp_path


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("call", OVER_AN_INPUT)
def test_an_input_is_not_overwritten(cli, here, call):
    before = contents(here)
    result = cli(*call.split())
    assert result.code == 2
    assert result.out == ""
    assert "would overwrite an input" in result.sentence()
    assert contents(here) == before


def test_the_model_is_not_written_over_the_curves(cli, here):
    before = contents(here)
    result = cli(*f"{TRAIN} --out new --curves sub/../new.safetensors".split())
    assert result.code == 2
    assert "both go to one file" in result.sentence()
    assert contents(here) == before


@pytest.mark.parametrize("again", ["./image.png", "sub/../image.png", "other.png"])
def test_an_image_under_two_names_counts_as_twice(cli, here, again):
    os.symlink("image.png", "other.png")
    call = f"train --image image.png {again} --annotation strokes.png strokes.png"
    result = cli(*f"{call} --out new --steps 0 --config small.json".split())
    assert result.code == 2
    assert "twice; put its strokes into one file" in result.sentence()


def test_probabilities_keep_off_the_inputs_only_where_they_are_written(here):
    images = [here / "o" / "a-probabilities.tif", here / "a.tif"]
    model = here / "model.safetensors"
    assert len(plan_outputs(images, "o", model)) == 2
    with pytest.raises(FileError, match="would overwrite an input"):
        plan_outputs(images, "o", model, with_probabilities=True)


@pytest.mark.skipif(not hasattr(os, "link"), reason="no hard links here")
def test_a_file_is_known_under_every_name(here):
    os.link("strokes.png", "hard.png")
    os.symlink("sub", "to-sub")
    for name in ("hard.png", "link.png", "sub/../strokes.png", here / "strokes.png"):
        with pytest.raises(FileError, match=r"an input, strokes\.png"):
            refuse_overwriting([name], ["strokes.png"])
    # also where the file is not there yet
    with pytest.raises(ConfigError, match="both go to one file"):
        refuse_overwriting(["sub/new", "to-sub/new"], [])
    refuse_overwriting(["new", "sub/strokes.png"], ["strokes.png", "missing"])
    assert find_twice(["image.png", "strokes.png"]) is None


def test_the_demo_does_not_write_over_the_files_of_others(cli, here, monkeypatch):
    monkeypatch.setattr("napari_unet.learning.Learner", lambda *_: pytest.fail("began"))
    shutil.copy("strokes.png", "annotation.tif")
    before = contents(here)
    result = cli("demo", "--headless", "--out", ".")
    assert result.code == 2
    assert "annotation.tif, which is from no earlier demo" in result.sentence()
    assert contents(here) == before


def test_a_store_with_an_input_in_it_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.zarr" / "0").mkdir(parents=True)
    with pytest.raises(FileError, match=r"folder of an input, image\.zarr/0"):
        refuse_overwriting(["image.zarr"], ["image.zarr/0"])
    refuse_overwriting(["image-labels.zarr", "image.zarr/labels"], ["image.zarr/0"])
