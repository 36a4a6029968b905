"""Stacks on the command line: ``train --dimensions``, and ``predict`` after it."""

import json

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.learning import load


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack whose planes are three pixels apart, and strokes in two planes."""
    folder = tmp_path_factory.mktemp("stack")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 20, (5, 32, 40)).astype(np.uint8)
    image[:, :, 20:] += 60
    strokes = np.zeros_like(image)
    for z in (1, 3):
        strokes[z, 5:7, 3:15] = strokes[z, 20:22, 3:15] = 1
        strokes[z, 5:7, 24:36] = strokes[z, 20:22, 24:36] = 2
    tifffile.imwrite(
        folder / "image.tif",
        image,
        imagej=True,
        resolution=(4, 4),
        metadata={"axes": "ZYX", "spacing": 0.75, "unit": "um"},
    )
    tifffile.imwrite(folder / "plain.tif", image)
    tifffile.imwrite(folder / "strokes.tif", strokes)
    return folder


def _train(cli, folder, stack, model, *options, image="image.tif"):
    files = ("--image", stack / image, "--annotation", stack / "strokes.tif")
    config = ("--config", folder / "small.json", "--steps", 2)
    return cli("train", *files, "--out", model, *config, *options)


@pytest.mark.parametrize(
    ("image", "options", "anisotropy"),
    [("image.tif", (), 3.0), ("plain.tif", ("--axes", "ZYX"), 1.0)],
)
def test_a_stack_is_learned_in_3d_as_its_voxels_are(
    cli, folder, stack, tmp_path, image, options, anisotropy
):
    model = tmp_path / "model.safetensors"
    result = _train(
        cli, folder, stack, model, "--dimensions", "3d", *options, image=image
    )
    assert result.code == 0, result.err
    learner = load(model)
    assert learner.config.dimensions == "3d"
    network = learner._state.tuned.network.unet.config
    assert (network.ndim, network.anisotropy) == (3, pytest.approx(anisotropy))
    labels = tmp_path / "labels.tif"
    files = ("--model", model, "--image", stack / image, *options)
    assert cli("predict", *files, "--out", labels).code == 0
    found = tifffile.imread(labels)
    assert found.shape == (5, 32, 40)
    expected = np.where(np.arange(40) < 20, 1, 2)
    assert (found == expected).mean() > 0.9
    said = cli("info", model).out
    assert f"3d, planes {anisotropy:g} px apart" in said


def test_plane_by_plane_is_the_default_and_nothing_to_tell(
    cli, folder, stack, tmp_path
):
    model = tmp_path / "model.safetensors"
    assert _train(cli, folder, stack, model).code == 0
    assert load(model)._state.tuned.network.unet.planes_around == 0
    assert "dimensions" not in cli("info", model).out


def test_three_axes_are_for_cubes(cli, folder, stack, tmp_path):
    model, labels = tmp_path / "model.safetensors", tmp_path / "labels.tif"
    options = ("--axes", "ZYX")
    assert _train(cli, folder, stack, model, *options, image="plain.tif").code == 0
    predict = ("predict", "--model", model, "--three-axes", "--out", labels)
    result = cli(*predict, "--image", stack / "image.tif")  # planes 3 px apart
    assert result.code == 2
    assert "3 pixels apart" in result.sentence()
    assert cli(*predict, "--image", stack / "plain.tif", *options).code == 0
    expected = tifffile.imread(labels)
    assert expected.shape == (5, 32, 40)
    store = tmp_path / "labels.zarr"
    predict = ("predict", "--model", model, "--three-axes", "--out", store)
    assert cli(*predict, "--image", stack / "plain.tif", *options).code == 0
    np.testing.assert_array_equal(zarr.open_group(store)["0"][...], expected)


def test_neighbouring_planes_as_channels(cli, folder, stack, tmp_path):
    model = tmp_path / "model.safetensors"
    assert _train(cli, folder, stack, model, "--dimensions", "2.5d").code == 0
    assert load(model)._state.tuned.network.unet.planes_around == 1
    assert "2.5d" in cli("info", model).out


def test_what_has_no_z_is_refused_in_one_sentence(cli, folder, stack, tmp_path):
    image, strokes = folder / "image.png", folder / "strokes.png"
    model = tmp_path / "model.safetensors"
    result = cli(
        *("train", "--image", image, "--annotation", strokes, "--out", model),
        *("--dimensions", "3d", "--steps", 0),
    )
    assert result.code == 2
    assert "no z: with dimensions '3d'" in result.sentence()
    assert not model.exists()


def test_a_model_file_brings_its_own_dimensions(cli, folder, stack, tmp_path):
    result = cli(
        *("train", "--image", stack / "image.tif"),
        *("--annotation", stack / "strokes.tif", "--out", tmp_path / "m.safetensors"),
        *("--start", folder / "model.safetensors", "--dimensions", "3d"),
    )
    assert result.code == 2
    assert "--dimensions cannot be given together with --start" in result.sentence()


def test_the_paper_s_recipe_is_of_planes(cli, stack, tmp_path):
    result = cli(
        *("train", "--image", stack / "image.tif"),
        *("--annotation", stack / "strokes.tif", "--out", tmp_path / "m.safetensors"),
        *("--recipe", "paper", "--dimensions", "3d"),
    )
    assert result.code == 2
    assert "the paper's recipe trains on planes" in result.sentence()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("1",), "'1' is not a whole number of 2 or more"),
        (("--complete", "all"), "leave out one of them"),
    ],
)
def test_interpolating_to_no_purpose_is_refused(
    cli, folder, stack, tmp_path, options, sentence
):
    model = tmp_path / "m.safetensors"
    result = _train(cli, folder, stack, model, "--interpolate", *options)
    assert result.code == 2
    assert sentence in result.err
    assert not model.exists()


def test_what_lies_between_painted_planes_is_learned_from_too(
    cli, folder, stack, tmp_path
):
    model = tmp_path / "m.safetensors"
    result = _train(cli, folder, stack, model, "--interpolate", "--json")
    assert result.code == 0, result.err
    assert "strokes.tif: 96 px between painted planes" in result.err
    painted = int((tifffile.imread(stack / "strokes.tif") > 0).sum())
    assert json.loads(result.out)["n_px"] == painted + 96
    lines = tifffile.imread(stack / "strokes.tif")
    lines[1:] = 0
    tifffile.imwrite(stack / "one-plane.tif", lines)
    options = ("--interpolate", "--annotation", stack / "one-plane.tif")
    result = _train(cli, folder, stack, model, *options)
    assert "--interpolate adds nothing, because nothing is painted" in result.err
    flat = ("--image", folder / "image.png", "--annotation", folder / "strokes.png")
    result = cli("train", *flat, "--out", model, "--steps", 1, "--interpolate")
    assert result.code == 2
    assert "strokes.png: between planes" in result.sentence()


def test_an_empty_image_is_predicted_with_a_sentence(cli, folder, tmp_path):
    empty = tmp_path / "e.tif"
    tifffile.imwrite(empty, np.full((48, 64), np.nan, np.float32))
    model = folder / "model.safetensors"
    out = tmp_path / "o.tif"
    result = cli("predict", "--model", model, "--image", empty, "--out", out)
    assert result.code == 0
    assert "holds no number" in result.sentence()
    images = ("--image", empty, folder / "image.png")
    result = cli("predict", "--model", model, *images, "--out", tmp_path / "all")
    assert result.code == 0
    assert "e.tif: the image of shape (48, 64)" in result.sentence()
