"""`predict --scheduler`: what it refuses, and how workers get at images."""

import pickle
import sys

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.cli import _predict, _tiff
from napari_unet.cli._cluster import elsewhere
from napari_unet.cli._read import read_image
from napari_unet.errors import ClusterError


@pytest.mark.parametrize(
    ("out", "args", "text"),
    [
        ("o.tif", (), "give --out NAME.zarr"),
        ("folder", (), "or --format zarr for a folder"),
        ("o.zarr", ("--three-axes",), "--three-axes looks at a volume as a whole"),
    ],
)
def test_what_a_cluster_cannot_do(cli, folder, tmp_path, out, args, text):
    result = cli(
        *("predict", "--model", folder / "model.safetensors"),
        *("--image", folder / "image.png", "--out", tmp_path / out),
        *("--scheduler", "tcp://127.0.0.1:1", *args),
    )
    assert result.code == 2
    assert text in result.sentence()
    assert not list(tmp_path.iterdir())


def test_without_the_package(cli, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = cli(
        *("predict", "--model", folder / "model.safetensors", "--scheduler", "local"),
        *("--image", folder / "image.png", "--out", tmp_path / "o.zarr"),
    )
    assert result.code == 2
    assert "pip install 'napari-unet[distributed]'" in result.sentence()


def test_a_lost_cluster_ends_a_batch(cli, folder, tmp_path, monkeypatch):
    tried = []

    def lost(args, learner, task, *rest):
        tried.append(task.path)
        raise ClusterError("the scheduler has had no worker for 60 s")

    monkeypatch.setattr(_predict, "predict_image", lost)
    images = (folder / "image.png", folder / "truth.png", folder / "strokes.png")
    result = cli(
        *("predict", "--model", folder / "model.safetensors", "--image", *images),
        *("--out", tmp_path, "--format", "zarr"),
    )
    assert result.code == 2
    assert "image.png: the scheduler has had no worker" in result.sentence()
    assert tried == [images[0]]


def test_images_on_disk_are_opened_where_they_are_needed(tmp_path, monkeypatch):
    """From another folder, in another process; those in memory are not."""
    pixels = np.arange(600, dtype="u2").reshape(20, 30)
    zarr.create_array(tmp_path / "a.zarr", data=pixels)
    tifffile.imwrite(tmp_path / "b.tif", pixels)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_tiff, "_MAPPED_BYTES", 100)
    images = [read_image(name) for name in ("a.zarr", "b.tif")]
    sent = [pickle.dumps(elsewhere(image, 0)) for image in images]
    monkeypatch.chdir("/")
    for open_it in map(pickle.loads, sent):
        np.testing.assert_array_equal(open_it()[2:4, 5:9], pixels[2:4, 5:9])
    monkeypatch.undo()
    assert elsewhere(read_image(tmp_path / "b.tif"), 0) is None
