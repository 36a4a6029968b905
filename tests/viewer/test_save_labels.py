"""napari's own Save and Open, with our formats behind them."""

import json

import numpy as np
import pytest
import tifffile
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.errors import FileError
from napari_unet.export import FORMATS, write_labels, write_probabilities
from napari_unet.widgets import _open_labels

LABELS = np.zeros((40, 50), np.uint8)
LABELS[4:20, 5:30], LABELS[30:35, 40:45] = 1, 3
NAMES = {1: "background", 3: "dust"}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.mark.parametrize(
    "name", [name for name, each in FORMATS.items() if not each.is_table]
)
def test_each_format_saves_a_layer(viewer, tmp_path, name):
    layer = viewer.add_labels(LABELS, scale=(0.5, 0.25), units=("um", "um"))
    path = tmp_path / f"a{FORMATS[name].suffixes[0]}"
    assert layer.save(str(path), plugin="napari-unet") == [str(path)]
    assert path.exists()


def test_tiff_keeps_scale_and_dtype(viewer, tmp_path):
    layer = viewer.add_labels(LABELS, scale=(0.5, 0.25), units=("um", "um"))
    path = tmp_path / "a.tif"
    layer.save(str(path), plugin="napari-unet")
    with tifffile.TiffFile(path) as file:
        assert file.imagej_metadata["unit"] == "um"
        assert file.asarray().dtype == np.uint8
        np.testing.assert_array_equal(file.asarray(), LABELS)


def test_what_is_refused_is_said(viewer, tmp_path):
    layer = viewer.add_labels(-LABELS.astype(np.int32))
    with pytest.raises(FileError, match="smallest is -3"):
        layer.save(str(tmp_path / "a.npy"))
    # napari's own writer is still the one for a plain .tif
    layer.save(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), layer.data)


def test_classes_or_objects_follow_from_the_colours(viewer, tmp_path):
    features = {"index": [1, 3], "class": ["cell", "dust"]}
    colours = {None: "white", 0: "transparent", 1: "#ff0000", 3: "#0000ff"}
    classes = viewer.add_labels(
        LABELS, colormap=DirectLabelColormap(color_dict=colours), features=features
    )
    classes.save(str(tmp_path / "c.geojson"))
    found = json.loads((tmp_path / "c.geojson").read_text())["features"]
    kinds = [f["properties"]["classification"] for f in found]
    assert kinds == [
        {"name": "cell", "color": [255, 0, 0]},
        {"name": "dust", "color": [0, 0, 255]},
    ]
    objects = viewer.add_labels(LABELS)
    objects.save(str(tmp_path / "o.geojson"))
    found = json.loads((tmp_path / "o.geojson").read_text())["features"]
    assert [f["properties"]["name"] for f in found] == ["object 1", "object 3"]


def test_our_layers_take_the_names_in_the_dock(painted, tmp_path):
    case = painted()
    case.state.classes.rename(2, "nucleus")
    case.layer.save(str(tmp_path / "a.json"))
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["categories"] == [{"id": 2, "name": "nucleus"}]


def test_multiscale_labels_are_saved_at_full_resolution(viewer, tmp_path):
    layer = viewer.add_labels([LABELS, LABELS[::2, ::2]], multiscale=True)
    layer.save(str(tmp_path / "a.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), LABELS)


def test_a_store_of_ours_comes_back_to_paint_on(viewer, tmp_path):
    path = write_labels(
        tmp_path / "a.zarr", LABELS, scale=(0.5, 0.25), unit="um", class_names=NAMES
    )
    (layer,) = viewer.open(str(path), plugin="napari-unet")
    np.testing.assert_array_equal(layer.data, LABELS)
    assert layer.scale.tolist() == [0.5, 0.25]
    assert str(layer.units[0]) == "micrometer"
    assert layer.axis_labels == ("y", "x")
    assert layer.editable
    layer.paint((0, 0), 3)
    assert layer.data[0, 0] == 3
    assert list(layer.features["class"]) == ["background", "dust"]
    again = tmp_path / "b.geojson"
    layer.save(str(again))
    found = json.loads(again.read_text())["features"]
    assert {f["properties"]["classification"]["name"] for f in found} == {"dust"}


def test_a_large_store_is_shown_from_the_disk(viewer, tmp_path, monkeypatch):
    labels = np.tile(LABELS, (20, 20))
    path = write_labels(tmp_path / "a.zarr", labels)
    monkeypatch.setattr(_open_labels, "available_memory_bytes", lambda: labels.nbytes)
    (layer,) = viewer.open(str(path), plugin="napari-unet")
    assert layer.multiscale
    assert not layer.editable
    np.testing.assert_array_equal(np.asarray(layer.data[0]), labels)


def test_other_stores_are_left_to_others(viewer, tmp_path):
    import zarr

    zarr.save_array(tmp_path / "plain.zarr", LABELS)
    reader = _open_labels.read_labels(str(tmp_path / "plain.zarr"))
    np.testing.assert_array_equal(reader(str(tmp_path / "plain.zarr"))[0][0], LABELS)
    group = zarr.create_group(tmp_path / "group.zarr")
    group.create_array("0", data=LABELS)
    with pytest.raises(FileError, match="install napari-ome-zarr"):
        _open_labels.read_labels(str(tmp_path / "group.zarr"))("group.zarr")
    path = write_probabilities(tmp_path / "p.zarr", np.zeros((2, 9, 9), np.float32))
    with pytest.raises(FileError, match="holds probabilities, not labels"):
        _open_labels.read_labels(str(path))(str(path))
