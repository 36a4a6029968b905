"""``train --downsample``, and what follows it."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.cli._read import read_image
from napari_unet.learning import load


@pytest.fixture(scope="module")
def model(folder, tmp_path_factory):
    from napari_unet.cli import main

    path = tmp_path_factory.mktemp("coarse") / "m.safetensors"
    code = main(
        f"train --image {folder}/image.png --annotation {folder}/strokes.png "
        f"--out {path} --steps 1 --config {folder}/small.json --downsample 2".split()
    )
    assert code == 0
    return path


def test_the_model_file_has_it_and_predictions_follow(cli, folder, model, tmp_path):
    assert load(model).config.downsampling == 2
    labels = tmp_path / "labels.tif"
    files = ("--model", model, "--image", folder / "image.png")
    assert cli("predict", *files, "--out", labels).code == 0
    found = tifffile.imread(labels)
    assert (found == iio.imread(folder / "truth.png")).mean() > 0.9
    stored = tmp_path / "labels.zarr"
    assert cli("predict", *files, "--out", stored).code == 0
    assert np.array_equal(zarr.open(stored / "0", mode="r")[...], found)


def test_objects_fit_the_full_image(cli, folder, model, tmp_path):
    labels = tmp_path / "labels.tif"
    files = ("--model", model, "--image", folder / "image.png")
    assert cli("predict", *files, "--out", labels, "--instances").code == 0
    objects = tifffile.imread(tmp_path / "labels-objects.tif")
    # one object, where the labels have its class, in single pixels of the full image
    assert np.unique(objects).tolist() == [0, 1]
    found = tifffile.imread(labels)
    assert not objects[found != 2].any()
    truth = iio.imread(folder / "truth.png") == 2
    both, either = (objects == 1) & truth, (objects == 1) | truth
    assert both.sum() > 0.95 * either.sum()


def test_info_says_so_and_is_silent_at_full_resolution(cli, folder, model):
    assert "1/2 of the image's" in cli("info", model).out
    assert "resolution" not in cli("info", folder / "model.safetensors").out


def test_other_factors_and_other_models_are_refused(cli, folder, model, tmp_path):
    files = ("--image", folder / "image.png", "--annotation", folder / "strokes.png")
    out = ("--out", tmp_path / "n.safetensors")
    wrong = cli("train", *files, *out, "--downsample", 3)
    assert wrong.code == 2
    assert "choose from" in wrong.err
    late = cli("train", *files, *out, "--start", model, "--downsample", 4)
    assert late.code == 2
    assert "--downsample cannot be given together with --start" in late.sentence()


def test_what_was_painted_is_counted_in_full(cli, folder, tmp_path):
    result = cli(
        *("train", "--image", folder / "image.png"),
        *("--annotation", folder / "strokes.png", "--json", "--seconds", 0),
        *("--config", folder / "small.json", "--downsample", 8),
        *("--out", tmp_path / "m.safetensors"),
    )
    assert result.code == 0
    n_px = np.count_nonzero(iio.imread(folder / "strokes.png"))
    assert json.loads(result.out)["n_px"] == n_px


@pytest.fixture
def pyramid(tmp_path):
    """Return a function that makes an OME-Zarr image of some levels."""

    def make(*shapes):
        path = tmp_path / "image.zarr"
        group = zarr.open_group(path, mode="w")
        for number, shape in enumerate(shapes):
            group.create_array(str(number), data=np.full(shape, number, np.uint8))
        datasets = [{"path": str(number)} for number in range(len(shapes))]
        axes = [{"name": name, "type": "space"} for name in "yx"]
        group.attrs["multiscales"] = [
            {"version": "0.4", "axes": axes, "datasets": datasets}
        ]
        return path

    return make


def test_an_image_knows_its_coarser_levels(pyramid):
    path = pyramid((40, 60), (20, 30), (10, 15))
    image = read_image(path).array
    assert [level.shape for level in image.coarser] == [(20, 30), (10, 15)]
    assert int(image.coarser[1][3, 4]) == 2
    assert [a.shape for a in read_image(path, level=1).array.coarser] == [(10, 15)]
