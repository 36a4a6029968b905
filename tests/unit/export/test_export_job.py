"""Exports as jobs: parts at a time, stopped at any, refused in one sentence."""

import json
import tracemalloc

import numpy as np
import pytest
import tifffile

from napari_unet.errors import FileError, ImageError
from napari_unet.export import FORMATS, export_job, format_of, outlines, tiff
from napari_unet.jobs import CancelToken, Progress, finish

LABELS = np.zeros((2, 40, 50), np.uint8)
LABELS[0, 5:9, 5:9], LABELS[1, 20:30, 20:30], LABELS[1, 0, 0] = 2, 3, 1


class Lazy:
    """An array that is read where it is sliced, and notes how much at once."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.most_px = 0

    def __getitem__(self, place):
        part = self._array[place]
        self.most_px = max(self.most_px, part.size)
        return part


def write(path, labels=LABELS, **facts):
    return finish(export_job(path, labels, **facts))


@pytest.mark.parametrize("name", list(FORMATS))
def test_each_format_is_told_by_its_suffixes_and_has_a_writer(name):
    chosen = FORMATS[name]
    for suffix in chosen.suffixes:
        assert format_of(f"a.b{suffix.upper()}") is chosen
    assert callable(chosen.load())
    # one line each in a dock of 320 px
    assert max(len(chosen.keeps), len(chosen.loses)) < 65


@pytest.mark.parametrize(
    ("path", "name", "sentence"),
    [
        ("a.jpg", None, r"suffix '\.jpg'; labels can be written to \.tif, \.ome\.tif,"),
        ("a", None, r"suffix ''; labels can be"),
        ("a.tif", "jpeg", r"no format 'jpeg'; choose tiff, ome-tiff"),
        (
            "a.tif",
            "coco",
            r"a\.tif does not end in \.json, as files of the",
        ),
    ],
)
def test_a_format_that_cannot_be_told(path, name, sentence):
    with pytest.raises(FileError, match=sentence):
        format_of(path, name)


@pytest.mark.parametrize("name", ["tiff", "ome-tiff", "ome-zarr", "npy"])
@pytest.mark.parametrize("shape", [(2, 3000, 40), (1500, 2100)])
def test_large_labels_are_never_read_whole(tmp_path, monkeypatch, name, shape):
    monkeypatch.setattr(tiff, "_MAX_PLANE_BYTES", 2**20)
    labels = np.random.default_rng(0).integers(0, 9, shape).astype(np.int64)
    lazy = Lazy(labels)
    path = tmp_path / f"a{FORMATS[name].suffixes[0]}"
    assert write(path, lazy) == path
    assert lazy.most_px < labels.size
    if name == "ome-zarr":
        import zarr

        back = zarr.open_group(path, mode="r")["0"][...]
    else:
        back = np.load(path) if name == "npy" else tifffile.imread(path)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, labels)


def test_a_file_of_100_mb_takes_little_memory(tmp_path):
    lazy = Lazy(np.broadcast_to(np.uint8(2), (100, 1024, 1024)))
    tracemalloc.start()
    write(tmp_path / "a.tif", lazy)
    write(tmp_path / "a.npy", lazy)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30 * 2**20
    assert (tmp_path / "a.npy").stat().st_size > 100 * 2**20


class Counting(Lazy):
    """Counts what is read, and cancels a token at one of the reads."""

    def __init__(self, array, last=None, token=None):
        super().__init__(array)
        self.n_reads, self.last, self.token = 0, last, token

    def __getitem__(self, place):
        self.n_reads += 1
        if self.n_reads == self.last:
            self.token.cancel()
        return super().__getitem__(place)


@pytest.mark.parametrize("name", list(FORMATS))
def test_stopped_at_any_read_nothing_is_left(tmp_path, name):
    if name == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a{FORMATS[name].suffixes[0]}"
    labels = Counting(LABELS[0] if name == "png" else LABELS)
    write(tmp_path / f"whole{path.suffix}", labels)
    there = sorted(tmp_path.iterdir())
    assert labels.n_reads > 1
    for last in range(1, labels.n_reads):
        token = CancelToken()
        stopping = Counting(labels, last, token)
        assert write(path, stopping, token=token) is None
        assert sorted(tmp_path.iterdir()) == there


@pytest.mark.parametrize("name", ["ome-zarr", "npy", "geojson", "imagej-roi", "coco"])
def test_says_how_far_it_is(tmp_path, name):
    path = tmp_path / f"a{FORMATS[name].suffixes[0]}"
    events = [e for e in export_job(path, LABELS) if isinstance(e, Progress)]
    assert [event.done for event in events] == list(range(1, len(events) + 1))
    assert events[-1].done == events[-1].total


@pytest.mark.parametrize("name", ["geojson", "imagej-roi", "coco"])
def test_outlines_refuse_what_does_not_fit_into_memory(tmp_path, monkeypatch, name):
    monkeypatch.setattr(outlines, "available_memory_bytes", lambda: 40_000)
    with pytest.raises(ImageError, match=r"40 x 50 px, and .* write OME-Zarr or OME-"):
        write(tmp_path / f"a{FORMATS[name].suffixes[0]}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["geojson", "imagej-roi", "coco"])
def test_nothing_to_outline_is_said(tmp_path, name):
    path = tmp_path / f"a{FORMATS[name].suffixes[0]}"
    with pytest.raises(ImageError, match=r"nothing to outline, .* \(0 and 1\)"):
        write(path, np.ones((5, 5), np.uint8), background=1)
    assert list(tmp_path.iterdir()) == []
    assert write(path, np.ones((5, 5), np.uint8)) == path


def test_background_and_planes_in_geojson(tmp_path):
    path = write(tmp_path / "a.geojson", axes="TYX", background=1)
    features = json.loads(path.read_text())["features"]
    assert [f["geometry"]["plane"] for f in features] == [
        {"c": -1, "z": 0, "t": 0},
        {"c": -1, "z": 0, "t": 1},
    ]
    assert features[0]["geometry"]["coordinates"] == [
        [[9, 5], [9, 9], [5, 9], [5, 5], [9, 5]]
    ]
    assert features[0]["properties"]["classification"] == {
        "name": "class 2",
        "color": [230, 159, 0],
    }


def test_the_same_labels_give_the_same_file(tmp_path):
    first = write(tmp_path / "a.geojson").read_bytes()
    assert write(tmp_path / "b.geojson").read_bytes() == first


def test_an_object_has_the_class_of_most_of_its_pixels(tmp_path):
    ids = np.array([[5, 5, 5, 0, 8, 9]])
    kinds = np.array([[3, 2, 3, 2, 0, 2]])
    path = write(
        tmp_path / "a.geojson",
        ids,
        are_objects=True,
        class_labels=kinds,
        class_names={2: "cell", 3: "dust"},
    )
    features = json.loads(path.read_text())["features"]
    names = [feature["properties"]["name"] for feature in features]
    assert names == ["dust 5", "object 8", "cell 9"]


def test_classes_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ImageError, match="classes of the same image"):
        write(
            tmp_path / "a.json",
            np.ones((4, 5), int),
            are_objects=True,
            class_labels=np.ones((4, 6), int),
        )


def test_categories_do_not_depend_on_what_one_image_holds(tmp_path):
    names = {1: "background", 2: "cell", 3: "dust", 4: "never seen"}
    path = write(tmp_path / "a.json", class_names=names, background=1)
    categories = json.loads(path.read_text())["categories"]
    assert [category["id"] for category in categories] == [2, 3, 4]
    path = write(tmp_path / "b.json", class_names=names, are_objects=True)
    categories = json.loads(path.read_text())["categories"]
    assert categories[0] == {"id": 1, "name": "object"}
    assert [category["id"] for category in categories[1:]] == [2, 3, 4]


def test_run_lengths_are_those_of_the_whole_plane():
    from napari_unet.export.coco import run_lengths

    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = rng.integers(1, 7, 2)
        mask = rng.random((height, width)) < 0.6
        if not mask.any():
            continue
        y, x = np.nonzero(mask)
        y0, x0 = y.min(), x.min()
        part = mask[y0 : y.max() + 1, x0 : x.max() + 1]
        counts = run_lengths(part, int(x0), int(y0), int(height))
        assert min(counts[1:]) > 0
        values = np.repeat(np.arange(len(counts)) % 2, counts)
        column_wise = np.zeros(mask.size, int)
        column_wise[: len(values)] = values
        assert np.array_equal(column_wise.reshape(width, height).T, mask)
