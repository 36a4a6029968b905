"""``train --annotation-mode objects``: what the numbers in a file mean."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.learning import load

FAST = ("--seconds", "0")


@pytest.fixture(scope="session")
def cells(tmp_path_factory):
    """A folder with two touching cells twice, as instances and as painted objects."""
    folder = tmp_path_factory.mktemp("cells")
    instances = np.zeros((64, 48), np.uint16)
    instances[4:24, 4:22], instances[4:24, 22:42] = 1, 2
    instances[38:58, 4:22], instances[38:58, 22:42] = 3, 4
    rng = np.random.default_rng(0)
    image = 60 + 120 * (instances > 0) + rng.integers(0, 15, instances.shape)
    image[4:24, 20:24] -= 60
    image[38:58, 20:24] -= 60
    painted = np.where(instances > 0, instances + 1, 0)
    painted[[1, 61]] = 1
    arrays = {
        "image": image.astype(np.uint8),
        "instances": instances,
        "painted": painted.astype(np.uint16),
        "region": np.full(instances.shape, 255, np.uint8),
    }
    for name, array in arrays.items():
        tifffile.imwrite(folder / f"{name}.tif", array)
    settings = {"base_channels": 4, "depth": 2, "instant": {"n_trees": 5}}
    (folder / "small.json").write_text(json.dumps(settings | {"device": "cpu"}))
    return folder


def _train(cli, cells, annotation, out, *options):
    return cli(
        *("train", "--image", cells / "image.tif", "--out", out, *FAST),
        *("--annotation", cells / f"{annotation}.tif"),
        *("--config", cells / "small.json", *options),
    )


@pytest.fixture
def model(cli, cells, tmp_path):
    path = tmp_path / "cells.safetensors"
    mode = ("--annotation-mode", "objects", "--complete", "all")
    result = _train(cli, cells, "instances", path, *mode)
    assert result.code == 0, result.err
    assert "in 4 objects and the background" in result.out
    assert result.err == ""
    return path


def test_instances_of_other_programs_train_as_they_are(cli, cells, model, tmp_path):
    """`--complete all` means: 0 background, 1 and up objects."""
    out = tmp_path / "o.tif"
    result = cli(
        *("predict", "--model", model, "--image", cells / "image.tif"),
        *("--out", out, "--instances", "--json"),
    )
    assert result.code == 0, result.err
    (entry,) = json.loads(result.out)
    labels, objects = tifffile.imread(out), tifffile.imread(entry["objects"])
    image = tifffile.imread(cells / "image.tif")
    np.testing.assert_array_equal(labels, load(model).predict(image))
    found = load(model).predict_instances(image)
    np.testing.assert_array_equal(objects, found.labels)
    assert set(np.unique(labels)) == {1, 2}
    assert entry["n_objects"] == {"2": found.n_objects}
    # 360, 400, 360 and 400 px were annotated
    assert entry["min_size_px"] == 90
    truth = tifffile.imread(cells / "instances.tif")
    assert (labels[truth > 0] == 2).mean() > 0.9
    assert (labels[truth == 0] == 1).mean() > 0.9


def test_painted_objects_and_their_regions(cli, cells, model, tmp_path):
    """The same pixels are learned, however it is said what is background."""
    image = tifffile.imread(cells / "image.tif")
    expected = load(model).predict(image)
    other = tmp_path / "other.safetensors"
    region = ("--complete", cells / "region.tif")
    mode = ("--annotation-mode", "objects")
    result = _train(cli, cells, "painted", other, *mode, *region)
    assert result.code == 0, result.err
    np.testing.assert_array_equal(load(other).predict(image), expected)
    result = _train(cli, cells, "painted", other, *mode)  # its own background will do
    assert result.code == 0, result.err
    assert load(other).class_values == (1, 2)


def test_strokes_may_be_complete_too(cli, cells, tmp_path):
    image = cells / "image.tif"
    mask = np.where(tifffile.imread(cells / "instances.tif") > 0, 2, 0)
    tifffile.imwrite(tmp_path / "mask.tif", mask.astype(np.uint8))
    result = cli(
        *("train", "--image", image, "--annotation", tmp_path / "mask.tif", *FAST),
        *("--out", tmp_path / "m.safetensors", "--config", cells / "small.json"),
        *("--complete", "all"),
    )
    assert result.code == 0, result.err
    assert load(tmp_path / "m.safetensors").class_values == (1, 2)
    assert f"{mask.size} px in" in result.out


def test_info_tells_the_mode(cli, folder, model):
    said = cli("info", model).out
    assert "objects: the border between touching ones is learned" in said
    assert "px in 4 objects" in said
    assert "objects of 90 px, from the painted ones" in said
    assert any(line.split() == ["classes", "1,", "2"] for line in said.splitlines())
    assert "objects" not in cli("info", folder / "model.safetensors").out


def test_one_that_may_be_an_object_is_asked_about(cli, cells, tmp_path):
    path = tmp_path / "m.safetensors"
    mode = ("--annotation-mode", "objects")
    result = _train(cli, cells, "instances", path, *mode)
    assert "instances.tif: 1 is taken as background" in result.err
    assert "--complete all" in result.err
    assert "taken as" not in _train(cli, cells, "painted", path, *mode).err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--annotation-mode", "boxes"], "invalid choice: 'boxes'"),
        (["--complete", "a.tif", "b.tif"], "names 2 files for 1 image:"),
        (["--complete", "nowhere.tif"], "there is no file nowhere.tif"),
    ],
)
def test_what_cannot_be_meant_is_said(cli, cells, tmp_path, options, words):
    result = _train(cli, cells, "painted", tmp_path / "m.safetensors", *options)
    assert result.code == 2
    assert words in result.err


def test_a_mask_of_another_size_is_named(cli, cells, tmp_path):
    iio.imwrite(tmp_path / "mask.png", np.ones((5, 6), np.uint8))
    mode = ("--annotation-mode", "objects", "--complete", tmp_path / "mask.png")
    result = _train(cli, cells, "painted", tmp_path / "m.safetensors", *mode)
    assert result.code == 2
    assert "mask.png: the completely annotated part has the shape (5, 6)" in (
        result.sentence()
    )


def test_objects_without_background_are_explained(cli, cells, tmp_path):
    ids = tifffile.imread(cells / "painted.tif")
    tifffile.imwrite(tmp_path / "ids.tif", np.where(ids > 1, ids, 0).astype(np.uint16))
    result = cli(
        *("train", "--image", cells / "image.tif", "--annotation-mode", "objects"),
        *("--annotation", tmp_path / "ids.tif", "--out", tmp_path / "m.safetensors"),
        *("--config", cells / "small.json", *FAST),
    )
    assert result.code == 2
    assert "Only objects are painted: paint background (1), or declare a region" in (
        result.sentence()
    )


def test_a_model_file_brings_its_mode(cli, cells, model, tmp_path):
    result = cli(
        *("train", "--image", cells / "image.tif", "--start", model, *FAST),
        *("--annotation", cells / "painted.tif", "--out", tmp_path / "m.safetensors"),
        *("--annotation-mode", "strokes"),
    )
    assert result.code == 2
    assert "--annotation-mode cannot be given together with --start" in (
        result.sentence()
    )
