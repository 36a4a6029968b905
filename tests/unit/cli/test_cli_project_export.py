"""``project export``: out of stores and files, and what is not to leave."""

import os

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.project import Project


def test_predictions_leave_in_the_other_format(run, project, here):
    assert run("train p --steps 0").code == 0
    call = "predict p --image 1 --instances"
    assert run(call).code == 0
    call = "export p --what predictions --format zarr --out z"
    assert run(call).code == 0
    names = sorted(path.name for path in (here / "z").iterdir())
    assert names == ["001-a-labels.zarr", "001-a-objects.zarr"]
    for name in names:
        store = zarr.open_group(here / "z" / name)
        written = tifffile.imread(project / "predictions" / name.replace("zarr", "tif"))
        np.testing.assert_array_equal(store["0"][:], written)
        (multiscales,) = store.attrs["ome"]["multiscales"]
        (place,) = multiscales["datasets"][0]["coordinateTransformations"]
        assert place["scale"] == [0.5, 0.25]


@pytest.fixture
def stored(run, project):
    """What was predicted for the first image, objects too, as a store."""
    assert run("train p --steps 0").code == 0
    call = "predict p --image 1 --instances --format zarr"
    assert run(call).code == 0
    return project / "predictions" / "001-a-labels.zarr"


def test_predictions_leave_their_store(run, stored, here):
    assert run("export p --what predictions --out o").code == 0
    for name, group in (("labels", stored), ("objects", stored / "labels" / "objects")):
        written = tifffile.imread(here / "o" / f"001-a-{name}.tif")
        assert len(np.unique(written)) > 1
        np.testing.assert_array_equal(written, zarr.open_group(group, mode="r")["0"])
    assert len(list((here / "o").iterdir())) == 2
    # the newest of both
    os.utime(stored / "labels" / "objects", (1, 1))
    objects = stored.with_name("001-a-objects.tif")
    tifffile.imwrite(objects, np.full((48, 64), 7, np.uint8))
    assert run("export p --what predictions --out o").code == 0
    assert (tifffile.imread(here / "o" / "001-a-objects.tif") == 7).all()


def test_an_unfinished_prediction_is_not_exported(run, stored, here):
    objects = stored / "labels" / "objects"
    group = zarr.open_group(objects)
    group.attrs["napari-unet"] = {**group.attrs["napari-unet"], "is_complete": False}
    result = run("export p --what predictions --out o")
    assert result.code == 3
    first, last = result.err.splitlines()
    assert f"{objects} holds a prediction that was stopped" in first
    assert "add --resume" in first
    assert "1 of 2 files failed" in last
    assert [path.name for path in (here / "o").iterdir()] == ["001-a-labels.tif"]


def test_a_prediction_larger_than_the_memory_is_not_read(
    run, stored, here, monkeypatch
):
    n_px = 48 * 64  # a byte each in labels, and four in objects
    monkeypatch.setattr("napari_unet.core.memory.total_memory_bytes", lambda: 2 * n_px)
    result = run("export p --what predictions --out o")
    assert result.code == 3
    assert "of memory, and there are" in result.err.splitlines()[0]
    assert f"as it is, {stored / 'labels' / 'objects'}" in result.err.splitlines()[0]
    assert [path.name for path in (here / "o").iterdir()] == ["001-a-labels.tif"]


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((2**31 - 1,) * 3, "GB of memory"), ((48, 64), "is damaged")],
)
def test_a_bad_annotation_does_not_stop_the_export(run, project, shape, sentence):
    # of a huge image a whole tile; of the small one it is more than there can be
    tile = np.full((256, 256), 2, np.uint8)
    with Project.open(project) as opened:
        labels = TiledLabels(shape, tile.dtype, {(0, 0, 0): tile})
        opened.annotations.save(2, "strokes", labels)
    result = run("export p --out o")
    assert result.code == 3
    assert sentence in result.err.splitlines()[0]
    assert [path.name for path in (project.parent / "o").iterdir()] == [
        "001-a-strokes.tif"
    ]
