"""`predict --instances`: an id per object, beside the labels and from the same run."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.cli._instances import split_scale
from napari_unet.cli._read import ReadImage
from napari_unet.config import InstanceConfig
from napari_unet.export import write_labels
from napari_unet.learning import load


@pytest.fixture
def predict(cli, folder):
    def run(*args, image=folder / "image.png"):
        return cli(
            *("predict", "--model", folder / "model.safetensors"),
            *("--image", image, *args),
        )

    return run


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_the_same_objects_as_the_learner(predict, folder, tmp_path, suffix):
    out = tmp_path / f"o{suffix}"
    result = predict("--out", out, "--instances", "--json")
    assert result.code == 0, result.err
    learner = load(folder / "model.safetensors")
    image = iio.imread(folder / "image.png")
    instances = learner.predict_instances(image)
    assert instances.n_objects >= 1
    read = tifffile.imread if suffix == ".tif" else iio.imread
    objects = read(tmp_path / f"o-objects{suffix}")
    np.testing.assert_array_equal(objects, instances.labels)
    np.testing.assert_array_equal(read(out), learner.predict(image))
    (entry,) = json.loads(result.out)
    assert entry["objects"] == str(tmp_path / f"o-objects{suffix}")
    assert entry["n_objects"] == {"2": instances.n_objects}
    assert entry["min_size_px"] == 10
    # probabilities only where they are asked for
    assert len(list(tmp_path.iterdir())) == 2


def test_the_options_say_what_an_object_is(predict, folder, tmp_path):
    out = tmp_path / "o.tif"
    result = predict("--out", out, "--instances", "--min-size", "4000")
    assert result.code == 0, result.err
    objects = tmp_path / "o-objects.tif"
    assert f"{out}, 0 objects of 4,000 px or more -> {objects} in " in result.out
    assert not tifffile.imread(objects).any()
    every = ("--min-size", "0", "--split", "1")
    assert predict("--out", out, "--instances", *every).code == 0
    learner = load(folder / "model.safetensors")
    expected = learner.predict_instances(
        iio.imread(folder / "image.png"),
        settings=InstanceConfig(min_size_px=0, split_strength=1),
    )
    np.testing.assert_array_equal(tifffile.imread(objects), expected.labels)


def test_a_stack_keeps_its_pixel_size(predict, folder, tmp_path):
    image = iio.imread(folder / "image.png")
    path = write_labels(
        tmp_path / "i.tif", np.stack([image] * 3), scale=(2, 0.5, 0.5), unit="um"
    )
    out = tmp_path / "out"
    result = predict("--out", out, "--instances", "--probabilities", image=path)
    assert result.code == 0, result.err
    assert sorted(p.name for p in out.iterdir()) == [
        *("i-labels.tif", "i-objects.tif", "i-probabilities.tif")
    ]
    with tifffile.TiffFile(out / "i-objects.tif") as tiff:
        assert tiff.series[0].axes == "ZYX"
        assert tiff.imagej_metadata["spacing"] == 2
    learner = load(folder / "model.safetensors")
    expected = learner.predict_instances(
        np.stack([image] * 3), axes="ZYX", scale=(2, 0.5, 0.5)
    )
    objects = tifffile.imread(out / "i-objects.tif")
    np.testing.assert_array_equal(objects, expected.labels)
    assert np.unique(objects[:, 24, 50]).size == 1  # one through z
    film = predict("--out", out, "--instances", "--axes", "TYX", image=path)
    assert film.code == 0, film.err
    assert np.unique(tifffile.imread(out / "i-objects.tif")[:, 24, 50]).size == 3


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({"Z": 2.0, "Y": 0.5, "X": 0.5}, (1.0, 2.0, 0.5, 0.5)),
        # a pixel of 0.5 um says nothing of the distance of planes
        ({"Y": 0.5, "X": 0.5}, None),
        ({}, None),
    ],
)
def test_necks_are_measured_in_pixels_where_a_direction_is_unknown(steps, expected):
    image = ReadImage(None, None, "TZYX", steps)
    assert split_scale(image, "TZYX") == expected


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--split 0.5", "add --instances"),
        ("--min-size 5", "add --instances"),
        ("--instances --split 1.5", "'1.5' is not a number of 0 to 1"),
        ("--instances --split nan", "'nan' is not a number of 0 to 1"),
        ("--instances --split much", "'much' is not a number of 0 to 1"),
        ("--instances --min-size -1", "'-1' is not a whole number"),
        ("--instances --min-size 99999999999", "more than any image has"),
    ],
)
def test_wrong_options_are_one_sentence(predict, tmp_path, options, sentence):
    result = predict("--out", tmp_path / "o.tif", *options.split())
    assert result.code == 2
    assert sentence in result.sentence()
    assert list(tmp_path.iterdir()) == []


def test_objects_do_not_overwrite_an_input(predict, folder, tmp_path):
    image = tmp_path / "o-objects.png"
    image.write_bytes((folder / "image.png").read_bytes())
    result = predict("--out", tmp_path / "o.png", "--instances", image=image)
    assert result.code == 2
    assert "would overwrite an input" in result.sentence()
    assert image.read_bytes() == (folder / "image.png").read_bytes()
