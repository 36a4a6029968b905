"""`predict`: where the files go, what they hold, and some failing among several."""

import json
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.cli._outputs import plan_outputs
from napari_unet.errors import ConfigError, FileError
from napari_unet.export import write_labels
from napari_unet.learning import load

A, B, MODEL = Path("in/a.tif"), Path("in/b.ome.tif"), Path("m")


def output_paths(*args, **options):
    return [outputs.labels for outputs in plan_outputs(*args, **options)]


def test_where_labels_go(tmp_path):
    assert output_paths([A], "o.png", MODEL) == [Path("o.png")]
    assert output_paths([A], "o", MODEL) == [Path("o/a-labels.tif")]
    assert output_paths([A], "v1.2/", MODEL) == [Path("v1.2/a-labels.tif")]
    assert output_paths([A], "o.zarr/", MODEL) == [Path("o.zarr")]
    assert output_paths([A], "o", MODEL, folder_format="zarr") == [
        Path("o/a-labels.zarr")
    ]
    (tmp_path / "o.tif").mkdir()
    folder = tmp_path / "o.tif"
    assert output_paths([A], str(folder), MODEL) == [folder / "a-labels.tif"]
    paths = output_paths([A, B], "o", MODEL)
    assert paths == [Path("o/a-labels.tif"), Path("o/b-labels.tif")]


def test_where_they_must_not_go():
    with pytest.raises(ConfigError, match="one file for 2 images"):
        output_paths([A, B], "o.tif", MODEL)
    with pytest.raises(ConfigError, match=r"written to o/a-labels\.tif"):
        output_paths([A, Path("other/a.png")], "o", MODEL)
    with pytest.raises(FileError, match="would overwrite an input"):
        output_paths([A], "in/../in/a.tif", MODEL)
    with pytest.raises(FileError, match=r"suffix '\.jpg'"):
        output_paths([A], "o.jpg", MODEL)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_the_same_pixels_as_the_learner(cli, folder, tmp_path, suffix):
    out = tmp_path / f"o{suffix}"
    result = cli(
        *("predict", "--model", folder / "model.safetensors"),
        *("--image", folder / "image.png", "--out", out, "--probabilities", "--json"),
    )
    assert result.code == 0, result.err
    learner = load(folder / "model.safetensors")
    image = iio.imread(folder / "image.png")
    labels = learner.predict(image)
    written = tifffile.imread(out) if suffix == ".tif" else iio.imread(out)
    np.testing.assert_array_equal(written, labels)
    assert written.dtype == labels.dtype == np.uint8
    probabilities = tifffile.imread(tmp_path / "o-probabilities.tif")
    np.testing.assert_array_equal(probabilities, learner.predict_probabilities(image))
    (entry,) = json.loads(result.out)
    assert entry["labels"] == str(out)
    assert entry["shape"] == [48, 64]
    assert sum(entry["n_px"].values()) == labels.size


def test_pixel_size_and_names_are_kept(cli, folder, tmp_path):
    image = iio.imread(folder / "image.png")
    path = write_labels(
        tmp_path / "i.tif", np.stack([image] * 3), scale=(2, 0.5, 0.25), unit="um"
    )
    out = tmp_path / "out"
    result = cli(
        *("predict", "--model", folder / "model.safetensors", "--probabilities"),
        *("--image", path, "--out", out),
    )
    assert result.code == 0, result.err
    assert result.out.startswith(f"{path} -> {out / 'i-labels.tif'} in ")
    for name in ("i-labels.tif", "i-probabilities.tif"):
        with tifffile.TiffFile(out / name) as tiff:
            assert tiff.series[0].axes == ("ZYX" if "labels" in name else "ZCYX")
            metadata = tiff.imagej_metadata
            n, d = tiff.pages[0].tags["XResolution"].value
        assert (metadata["unit"], metadata["spacing"], d / n) == ("um", 2.0, 0.25)
        assert "right" in metadata["Info"]


def test_one_bad_image_does_not_stop_the_others(cli, folder, tmp_path):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0 and then nothing")
    good = [folder / "image.png", folder / "truth.png"]
    call = ("predict", "--model", folder / "model.safetensors", "--out", tmp_path / "o")
    result = cli(*call, "--image", good[0], bad, good[1])
    assert result.code == 3
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == [
        "image-labels.tif",
        "truth-labels.tif",
    ]
    first, last = result.err.splitlines()
    assert first.startswith(f"napari-unet: {bad} cannot be read as TIFF")
    assert last == "napari-unet: 1 of 3 images failed"
    result = cli(*call, "--json", "--image", good[0], bad)
    assert result.code == 3
    assert ["error" in entry for entry in json.loads(result.out)] == [False, True]
    assert cli(*call, "--image", bad, tmp_path / "missing.tif").code == 2


def test_progress_is_for_people(cli, folder, tmp_path):
    call = ("predict", "--model", folder / "model.safetensors", "--out", tmp_path / "o")
    image = folder / "image.png"
    assert cli(*call, "--image", image).err == ""
    result = cli(*call, "--image", image, "--progress")
    assert "1/1 image.png" in result.err
    assert "100%" in result.err
