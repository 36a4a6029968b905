"""Each format, read back by the library that others read it with: equal pixels."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_unet.export import FORMATS, export_job, write_probabilities
from napari_unet.jobs import finish

NAMES = {1: "background", 2: "nucleus", 3: "Zellkern µ"}
COLOURS = {3: (1, 2, 255)}


def blobs(shape, n_values, seed=0):
    """Return smooth blobs of several values, with holes and islands in them."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    depth = ndimage.gaussian_filter(rng.random(shape), (0,) * (len(shape) - 2) + (2, 2))
    steps = np.quantile(depth, np.linspace(0, 1, n_values + 2)[1:-1])
    return np.digitize(depth, steps).astype(np.uint16)


@pytest.fixture(params=["plane", "stack", "movie of stacks"])
def classes(request):
    """Class labels 0 to 3 and their axes."""
    return {
        "plane": (blobs((60, 71), 3), "YX"),
        "stack": (blobs((3, 40, 31), 3), "ZYX"),
        "movie of stacks": (blobs((2, 3, 20, 31), 3), "TZYX"),
    }[request.param]


@pytest.fixture
def objects():
    """Ids of objects, one of them with a hole, and the classes that they have."""
    ids = blobs((64, 50), 1) * 0
    ids[5:15, 5:20] = 3
    ids[8:11, 8:12] = 0  # a hole
    ids[9, 9] = 400  # an island in it
    ids[20:30, 5:15], ids[20:30, 15:25] = 70_0, 71_0  # touching
    ids[40, 40] = ids[41, 41] = 9  # pixels that meet at a corner
    ids[50:64, 0:50] = 65_000  # reaches three borders
    kinds = np.where(ids % 2 == 1, 3, 2) * (ids > 0)
    kinds[ids == 65_000] = 0
    kinds[60:64, :5] = 3
    return ids, kinds


def write(path, labels, **facts):
    return finish(export_job(path, labels, **facts))


def outlined(labels):
    """Return what is left of class labels in outlines: no background."""
    return np.where(labels == 1, 0, labels)


@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_tifffile(tmp_path, classes, name):
    tifffile = pytest.importorskip("tifffile")
    labels, axes = classes
    scale = (5.0, 2.0, 0.5, 0.25)[-len(axes) :]
    path = write(
        tmp_path / name, labels, axes=axes, scale=scale, unit="um", class_names=NAMES
    )
    with tifffile.TiffFile(path) as file:
        assert np.array_equal(file.asarray(), labels)
        assert file.series[0].axes == axes
        if name == "a.tif":
            assert file.imagej_metadata["unit"] == "um"
            assert "2: nucleus" in file.imagej_metadata["Info"]
            x, y = file.pages[0].tags["XResolution"].value
            assert x / y == pytest.approx(4)
        else:
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
            assert pixels["PhysicalSizeX"] == 0.25
            assert pixels["PhysicalSizeXUnit"] == "µm"
            assert "2: nucleus" in file.ome_metadata


def test_zarr_and_yaozarrs(tmp_path, classes):
    import zarr

    yaozarrs = pytest.importorskip("yaozarrs")
    labels, axes = classes
    path = write(
        tmp_path / "a.zarr",
        labels,
        axes=axes,
        class_names=NAMES,
        class_colours=COLOURS,
    )
    yaozarrs.validate_zarr_store(path)
    group = zarr.open_group(path, mode="r")
    assert np.array_equal(group["0"][...], labels)
    label = group.attrs["ome"]["image-label"]
    assert label["colors"][2] == {"label-value": 3, "rgba": [1, 2, 255, 255]}
    assert label["properties"][1] == {"label-value": 2, "class": "nucleus"}


def test_napari_ome_zarr(tmp_path):
    napari_ome_zarr = pytest.importorskip("napari_ome_zarr")
    labels = blobs((600, 70), 3)
    path = write(
        tmp_path / "a.zarr", labels, scale=(0.5, 0.25), unit="um", class_names=NAMES
    )
    ((levels, facts, kind),) = napari_ome_zarr.napari_get_reader(str(path))(str(path))
    level = levels[0] if isinstance(levels, list) else levels
    assert kind == "labels"
    assert np.array_equal(np.asarray(level), labels)
    assert tuple(facts["scale"]) == (0.5, 0.25)


def test_imageio(tmp_path):
    import imageio.v3 as iio

    labels = blobs((60, 71), 3)
    assert np.array_equal(iio.imread(write(tmp_path / "a.png", labels)), labels)
    many = labels * 21_000
    back = iio.imread(write(tmp_path / "b.png", many))
    assert back.dtype == np.uint16
    assert np.array_equal(back, many)


def test_numpy(tmp_path, classes):
    labels, axes = classes
    path = write(tmp_path / "a.npy", labels, axes=axes)
    assert np.array_equal(np.load(path, allow_pickle=False), labels)


def test_shapely_reads_classes(tmp_path, classes):
    shapely = pytest.importorskip("shapely")
    labels, axes = classes
    path = write(
        tmp_path / "a.geojson",
        labels,
        axes=axes,
        class_names=NAMES,
        class_colours=COLOURS,
        background=1,
    )
    found = json.loads(path.read_text(encoding="utf-8"))
    back = np.zeros_like(labels)
    y, x = np.mgrid[: labels.shape[-2], : labels.shape[-1]] + 0.5
    values = {name: value for value, name in NAMES.items()}
    for feature in found["features"]:
        shape = shapely.from_geojson(json.dumps(feature))
        assert shape.is_valid
        assert feature["properties"]["objectType"] == "annotation"
        plane = feature["geometry"].get("plane", {"c": -1})
        index = tuple(plane[axis] for axis in axes[:-2].lower())
        assert plane["c"] == -1
        value = values[feature["properties"]["classification"]["name"]]
        if value == 3:
            assert feature["properties"]["classification"]["color"] == [1, 2, 255]
        inside = shapely.contains_xy(shape, x, y)
        assert shape.area == inside.sum()
        back[index][inside] = value
    assert np.array_equal(back, outlined(labels))
    ids = [feature["id"] for feature in found["features"]]
    assert len(set(ids)) == len(ids)


def test_shapely_reads_objects(tmp_path, objects):
    shapely = pytest.importorskip("shapely")
    labels, kinds = objects
    path = write(
        tmp_path / "a.geojson",
        labels,
        are_objects=True,
        class_labels=kinds,
        class_names=NAMES,
    )
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    back = np.zeros_like(labels)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] + 0.5
    for feature in features:
        shape = shapely.from_geojson(json.dumps(feature))
        assert shape.is_valid
        properties = feature["properties"]
        assert properties["objectType"] == "detection"
        value = properties["measurements"]["Label"]
        back[shapely.contains_xy(shape, x, y)] = value
        is_odd = value % 2 or value == 65_000
        kind = NAMES[3] if is_odd else "nucleus"
        assert properties["classification"]["name"] == kind
        assert properties["name"] == f"{kind} {value}"
    assert len(features) == len(np.unique(labels)) - 1
    assert np.array_equal(back, labels)


def _filled(roi, shape):
    """Fill the rings of a ROI, each by its even-odd rule, holes taken out."""
    shapely = pytest.importorskip("shapely")
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    rings = roi.coordinates(multi=True)
    mask = np.zeros(shape, bool)
    for ring in rings:
        mask ^= shapely.contains_xy(shapely.Polygon(ring), x, y)
    return mask


def test_roifile_reads_classes(tmp_path, classes):
    import roifile

    labels, axes = classes
    path = write(
        tmp_path / "a.zip",
        labels,
        axes=axes,
        class_names=NAMES,
        class_colours=COLOURS,
        background=1,
    )
    back = np.zeros_like(labels)
    rois = roifile.roiread(path)
    assert len({roi.name for roi in rois}) == len(rois)
    for roi in rois:
        index = {"YX": (), "ZYX": (roi.position - 1,)}.get(
            axes, (roi.t_position - 1, roi.z_position - 1)
        )
        value = 2 if "nucleus" in roi.name else 3
        assert (roi.stroke_color == bytes((255, 1, 2, 255))) == (value == 3)
        back[index][_filled(roi, labels.shape[-2:])] = value
    assert np.array_equal(back, outlined(labels))


def test_roifile_reads_objects(tmp_path, objects):
    import roifile

    labels, kinds = objects
    path = write(
        tmp_path / "a.zip",
        labels,
        are_objects=True,
        class_labels=kinds,
        class_names=NAMES,
    )
    back = np.zeros_like(labels)
    for roi in roifile.roiread(path):
        back[_filled(roi, labels.shape)] = int(roi.name.split()[-1])
    assert np.array_equal(back, labels)


def test_roifile_reads_places_far_away(tmp_path):
    import roifile

    labels = np.zeros((3, 70_010), np.uint8)
    labels[1:, 70_000:70_004] = 2
    labels[0, :7] = labels[0, 69_990:] = 3  # two parts: a composite
    rois = roifile.roiread(write(tmp_path / "a.zip", labels, are_objects=True))
    back = np.zeros_like(labels)
    for roi in rois:
        back[_filled(roi, labels.shape)] = int(roi.name.split()[-1])
    assert np.array_equal(back, labels)


# of pycocotools 2.0.11, with NumPy 2
THEIR_WARNING = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


@pytest.fixture
def read_coco(tmp_path):
    """Return a function that opens a file with COCO's own library."""
    coco = pytest.importorskip("pycocotools.coco")

    def read(path):
        return coco.COCO(str(path))

    return read


@THEIR_WARNING
def test_pycocotools_reads_objects(tmp_path, objects, read_coco):
    labels, kinds = objects
    path = write(
        tmp_path / "a.json",
        labels,
        are_objects=True,
        class_labels=kinds,
        class_names=NAMES,
        name="cells.tif",
    )
    found = read_coco(path)
    back = np.zeros_like(labels)
    for annotation in found.loadAnns(found.getAnnIds()):
        mask = found.annToMask(annotation).astype(bool)
        assert annotation["iscrowd"] == 0
        assert annotation["area"] == mask.sum()
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (width, height) == (np.ptp(columns) + 1, np.ptp(rows) + 1)
        is_hollow = annotation["label"] == 3
        assert isinstance(annotation["segmentation"], dict) == is_hollow
        back[mask] = annotation["label"]
    assert np.array_equal(back, labels)
    assert found.loadImgs(1)[0]["file_name"] == "cells.tif"
    categories = {c["id"]: c["name"] for c in found.loadCats(found.getCatIds())}
    assert categories == {1: "object", 2: "nucleus", 3: NAMES[3]}


@THEIR_WARNING
def test_pycocotools_reads_classes(tmp_path, classes, read_coco):
    labels, axes = classes
    path = write(
        tmp_path / "a.json", labels, axes=axes, class_names=NAMES, background=1
    )
    found = read_coco(path)
    back = np.zeros_like(labels)
    for annotation in found.loadAnns(found.getAnnIds()):
        assert annotation["iscrowd"] == 1
        image = found.loadImgs(annotation["image_id"])[0]
        index = tuple(image[axis] for axis in axes[:-2].lower())
        mask = found.annToMask(annotation).astype(bool)
        assert annotation["area"] == mask.sum()
        back[index][mask] = annotation["category_id"]
    assert np.array_equal(back, outlined(labels))
    assert found.getCatIds() == [2, 3]


def test_probabilities(tmp_path):
    import tifffile
    import zarr

    values = np.random.default_rng(0).random((3, 4, 50, 60), np.float32)
    tiff = write_probabilities(tmp_path / "p.tif", values)
    assert np.array_equal(tifffile.imread(tiff), values.swapaxes(0, 1))
    store = write_probabilities(tmp_path / "p.zarr", values)
    assert np.array_equal(zarr.open_group(store, mode="r")["0"][...], values)
    array = write_probabilities(tmp_path / "p.NPY", values)
    assert np.array_equal(np.load(array, allow_pickle=False), values)


def test_the_benchmark_finds_every_pixel_of_the_sample(tmp_path, monkeypatch):
    for library in ("napari_ome_zarr", "shapely", "pycocotools"):
        pytest.importorskip(library)
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    import export_roundtrip

    page = tmp_path / "page.md"
    page.write_text(f"before\n{export_roundtrip.TABLE}old{export_roundtrip.TABLE}\n")
    call = ["x", "--out", str(tmp_path / "r.json"), "--markdown", str(page)]
    monkeypatch.setattr(sys, "argv", call)
    assert export_roundtrip.main() == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert {row["format"] for row in record} == {
        name for name, each in FORMATS.items() if not each.is_table
    }
    kept = {row["format"] for row in record if row["classes"] and row["colours"]}
    assert kept == {"geojson", "imagej-roi", "ome-zarr"}
    assert "| equal |" in page.read_text()
    assert "old" not in page.read_text()
