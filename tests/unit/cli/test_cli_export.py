"""``napari-unet export``: one file or many, facts from files and options."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.export import FORMATS, write_labels

LABELS = np.ones((30, 40), np.uint8)
LABELS[3:9, 4:20], LABELS[20:25, 30:35] = 2, 3
NAMES = {1: "background", 2: "cell", 3: "dust"}


@pytest.fixture
def labels(tmp_path):
    return write_labels(tmp_path / "a-labels.tif", LABELS, scale=(0.5, 0.25), unit="um")


def classes_in(path):
    features = json.loads(path.read_text())["features"]
    return [f["properties"]["classification"]["name"] for f in features]


@pytest.mark.parametrize("name", list(FORMATS))
def test_each_format_by_its_suffix(cli, labels, tmp_path, name):
    if name == "parquet":
        pytest.importorskip("pyarrow")
    out = tmp_path / f"b{FORMATS[name].suffixes[0]}"
    result = cli("export", "--labels", labels, "--out", out)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{labels} -> {out}\n"
    assert out.exists()


def test_facts_of_the_file_go_on(cli, labels, tmp_path):
    out = tmp_path / "b.ome.tif"
    assert cli("export", "--labels", labels, "--out", out).code == 0
    with tifffile.TiffFile(out) as file:
        assert 'PhysicalSizeX="0.25"' in file.ome_metadata
        assert np.array_equal(file.asarray(), LABELS)


def test_options_go_before_the_file(cli, labels, tmp_path):
    out = tmp_path / "b.tif"
    options = ("--scale", 3, 2, "--unit", "nm", "--class-names", "2=cell")
    assert cli("export", "--labels", labels, "--out", out, *options).code == 0
    with tifffile.TiffFile(out) as file:
        assert file.imagej_metadata["unit"] == "nm"
        assert "2: cell" in file.imagej_metadata["Info"]
        x, y = file.pages[0].tags["XResolution"].value
        assert y / x == pytest.approx(2)


def test_names_come_from_the_file_or_a_model(cli, tmp_path, folder):
    store = write_labels(tmp_path / "s.zarr", LABELS, class_names=NAMES)
    out = tmp_path / "b.geojson"
    assert cli("export", "--labels", store, "--out", out).code == 0
    assert classes_in(out) == ["cell", "dust"]
    image = write_labels(tmp_path / "s.tif", LABELS, class_names=NAMES)
    assert cli("export", "--labels", image, "--out", out).code == 0
    assert classes_in(out) == ["cell", "dust"]
    model = folder / "model.safetensors"
    result = cli("export", "--labels", store, "--out", out, "--model", model)
    assert result.code == 0
    assert classes_in(out) == ["right", "class 3"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ["class 2", "class 3"]),
        (("--background", "0"), ["class 1", "class 2", "class 3"]),
        (("--background", "2"), ["class 1", "class 3"]),
        (("--class-names", "1=nucleus"), ["nucleus", "class 2", "class 3"]),
        (("--class-names", "1=background", "2=cell"), ["cell", "class 3"]),
        (("--objects",), ["object", "object", "object"]),
    ],
)
def test_what_is_background(cli, labels, tmp_path, options, expected):
    out = tmp_path / "b.geojson"
    assert cli("export", "--labels", labels, "--out", out, *options).code == 0
    assert sorted(classes_in(out)) == sorted(expected)


def test_objects_with_their_classes(cli, labels, tmp_path):
    ids = np.zeros_like(LABELS)
    ids[3:9, 4:10], ids[3:9, 10:20], ids[20:25, 30:35] = 1, 2, 3
    iio.imwrite(tmp_path / "ids.png", ids)
    out = tmp_path / "b.json"
    result = cli(
        *("export", "--labels", tmp_path / "ids.png", "--objects"),
        *("--class-labels", labels, "--class-names", "2=cell", "3=dust"),
        *("--out", out, "--json"),
    )
    assert json.loads(result.out)[0]["format"] == "coco"
    found = json.loads(out.read_text())
    assert [a["category_id"] for a in found["annotations"]] == [2, 2, 3]
    assert {a["iscrowd"] for a in found["annotations"]} == {0}
    assert found["images"][0]["file_name"] == "ids.png"


def test_many_files_go_to_a_folder_and_one_bad_one_stops_nothing(cli, labels, tmp_path):
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"II*\0broken")
    other = write_labels(tmp_path / "c.png", LABELS)
    out = tmp_path / "out"
    call = ("export", "--labels", labels, bad, other, "--out", out)
    result = cli(*call)
    assert result.code == 2
    assert "say which --format" in result.sentence()
    result = cli(*call, "--format", "geojson", "--json")
    assert result.code == 3
    assert "1 of 3 files failed" in result.err
    assert str(bad) in result.err
    found = json.loads(result.out)
    assert ["error" in each for each in found] == [False, True, False]
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a-labels.geojson", "c.geojson"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--out", "x.jpg"), "suffix '.jpg'; labels can be written to .tif"),
        (("--out", "x.json", "--format", "png"), "does not end in .png"),
        (("--out", "x", "--format", "jpeg"), "no format 'jpeg'; choose tiff"),
        (("--out", "x.tif", "--class-labels", "l.tif"), "add --objects"),
        (("--out", "x.tif", "--scale", "1"), "has 1 numbers, the array 2 axes"),
        (("--out", "x.tif", "--axes", "ZYX"), "axes 'ZYX' have 3 letters"),
        (("--out", "x.json", "--background", "7", "--objects"), ""),
    ],
)
def test_wrong_calls(cli, labels, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    result = cli("export", "--labels", labels, *options)
    assert result.code == (2 if sentence else 0)
    if sentence:
        assert sentence in result.sentence()
        assert sorted(path.name for path in tmp_path.iterdir()) == [labels.name]


def test_an_input_is_not_written_over(cli, labels, tmp_path):
    before = labels.read_bytes()
    result = cli("export", "--labels", labels, "--out", labels)
    assert result.code == 2
    assert "would overwrite an input" in result.sentence()
    assert labels.read_bytes() == before


def test_colours_and_fractions_are_no_labels(cli, tmp_path):
    iio.imwrite(tmp_path / "rgb.png", np.zeros((9, 9, 3), np.uint8))
    np.save(tmp_path / "f.npy", np.full((4, 5), 0.5, np.float32))
    for name, word in (("rgb.png", "colours"), ("f.npy", "fractions")):
        result = cli("export", "--labels", tmp_path / name, "--out", tmp_path / "o.tif")
        assert result.code == 2
        assert f"holds {word}" in result.sentence()


def test_axes_of_the_file_are_kept(cli, tmp_path):
    series = np.stack([LABELS, LABELS])
    source = write_labels(tmp_path / "t.ome.tif", series, axes="TYX")
    out = tmp_path / "b.geojson"
    assert cli("export", "--labels", source, "--out", out).code == 0
    planes = [f["geometry"]["plane"] for f in json.loads(out.read_text())["features"]]
    assert [plane["t"] for plane in planes] == [0, 0, 1, 1]
    assert {plane["z"] for plane in planes} == {0}


def test_formats_are_listed(cli):
    result = cli("export", "--formats")
    assert result.code == 0
    assert all(f"{name} (" in result.out for name in FORMATS)
