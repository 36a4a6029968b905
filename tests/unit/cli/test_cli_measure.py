"""`measure`: one table of many label files, with units, classes and intensities."""

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_unet.export import write_labels

NAMES = {1: "background", 2: "nucleus", 3: "cell, dead"}


@pytest.fixture
def files(tmp_path):
    """Objects, their classes, and an image of two channels."""
    objects = np.zeros((60, 80), np.uint16)
    objects[5:15, 5:25], objects[30:40, 40:44], objects[50:55, 60:75] = 1, 2, 9
    classes = np.where(objects == 9, 3, np.where(objects > 0, 2, 1)).astype(np.uint8)
    image = np.stack([objects * 10, objects * 0 + 7]).astype(np.uint16)
    place = {"scale": (0.5, 0.25), "unit": "um"}
    write_labels(tmp_path / "a-objects.tif", objects, **place)
    write_labels(tmp_path / "a-labels.tif", classes, class_names=NAMES, **place)
    write_labels(tmp_path / "a-labels.ome.tif", classes, class_names=NAMES, **place)
    write_labels(tmp_path / "a-labels.zarr", classes, class_names=NAMES, **place)
    tifffile.imwrite(tmp_path / "a.tif", image, metadata={"axes": "CYX"}, ome=True)
    (tmp_path / "bad.tif").write_text("nothing")
    return tmp_path


def rows_of(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_objects_with_class_intensity_and_units_of_the_file(cli, files):
    done = cli(
        "measure",
        *("--labels", files / "a-objects.tif", "--image", files / "a.tif"),
        *("--classes", files / "a-labels.tif", "--out", files / "t.csv"),
        *("--channel-names", "dna", "actin"),
    )
    assert done.code == 0, done.err
    assert done.out == f"3 objects of 1 file -> {files / 't.csv'}\n"
    rows = rows_of(files / "t.csv")
    assert [row["label"] for row in rows] == ["1", "2", "9"]
    assert [row["class"] for row in rows] == ["nucleus", "nucleus", "cell, dead"]
    assert [float(row["area_um2"]) for row in rows] == [25, 5, 9.375]
    assert [float(row["intensity_mean_dna"]) for row in rows] == [10, 20, 90]
    assert rows[0]["intensity_max_actin"] == "7.0"
    assert rows[0]["image"] == "a"


@pytest.mark.parametrize("name", ["a-labels.tif", "a-labels.ome.tif", "a-labels.zarr"])
def test_classes_have_the_names_of_the_file(cli, files, name):
    out = files / "t.csv"
    assert cli("measure", "--labels", files / name, "--per", "class", "--out", out)
    rows = rows_of(out)
    assert [row["class"] for row in rows] == list(NAMES.values())
    assert sum(float(row["fraction"]) for row in rows) == pytest.approx(1)
    assert sum(float(row["area_um2"]) for row in rows) == 60 * 80 / 8


def test_classes_are_cut_into_objects(cli, files):
    out = files / "t.csv"
    done = cli(
        *("measure", "--labels", files / "a-labels.zarr", "--split", "--out", out),
        *("--class-names", "2=N", "--columns", "area"),
    )
    assert done.code == 0
    rows = rows_of(out)
    assert list(rows[0]) == ["image", "label", "class_label", "class", "area_um2"]
    assert sorted(row["class"] for row in rows) == ["N", "N", "cell, dead"]


def test_names_that_make_no_sense_are_left_out(cli, files):
    metadata = files / "a-labels.zarr" / "zarr.json"
    content = json.loads(metadata.read_text())
    label = content["attributes"]["ome"]["image-label"]
    label["properties"][1]["label-value"] = "two"
    metadata.write_text(json.dumps(content))
    out = files / "t.csv"
    done = cli(
        *("measure", "--labels", files / "a-labels.zarr", "--per", "class"),
        *("--out", out),
    )
    assert done.code == 0, done.err
    assert [row["class"] for row in rows_of(out)] == ["background", "", "cell, dead"]


def test_objects_of_a_series_are_cut_with_the_scale_of_a_volume(
    cli, tmp_path, monkeypatch
):
    from napari_unet.inference import instances

    scales, split = [], instances.split_objects

    def spied(*args, **options):
        scales.append(options["scale"])
        return split(*args, **options)

    monkeypatch.setattr(instances, "split_objects", spied)
    series = np.full((2, 3, 20, 20), 2, np.uint8)
    write_labels(tmp_path / "s.tif", series)
    for scale in (["5", "1", "1"], ["0.5"]):
        done = cli(
            *("measure", "--labels", tmp_path / "s.tif", "--split"),
            *("--scale", *scale, "--out", tmp_path / "t.csv"),
        )
        assert done.code == 0, done.err
    assert scales == [(1, 5, 1, 1), (0.5, 0.5, 0.5, 0.5)]


def test_a_stack_that_does_not_say_how_far_planes_are_apart(cli, tmp_path):
    stack = tmp_path / "s.tif"
    pixels = {"imagej": True, "resolution": (2, 2)}
    what = {"axes": "ZYX", "unit": "um"}
    tifffile.imwrite(stack, np.ones((3, 9, 9), np.uint8), **pixels, metadata=what)
    call = ("measure", "--labels", stack, "--out", tmp_path / "t.csv")
    assert "how far planes are apart" in cli(*call).err
    assert rows_of(tmp_path / "t.csv")[0]["volume_um3"] == str(3 * 81 / 4)
    assert not cli(*call, "--by-plane").err
    assert not cli(*call, "--scale", 2, 0.5, 0.5).err


def test_a_bad_file_is_told_of_and_the_others_go_on(cli, files):
    out = files / "t.csv"
    done = cli(
        *("measure", "--out", out, "--json", "--scale", "2", "--unit", "nm"),
        *("--labels", files / "a-objects.tif", files / "bad.tif"),
        files / "a-labels.tif",
    )
    assert done.code == 3
    assert "bad.tif" in done.err
    told = json.loads(done.out)
    assert [("error" in each) for each in told["files"]] == [False, True, False]
    rows = rows_of(out)
    assert told["n_rows"] == len(rows) == 6
    assert {row["image"] for row in rows} == {"a-objects", "a-labels"}
    assert rows[0]["area_nm2"] == "800.0"


def test_a_series_has_a_row_per_object_and_time(cli, tmp_path):
    series = np.zeros((2, 20, 20), np.uint8)
    series[0, 2:6, 2:6] = series[1, 4:9, 4:8] = 5
    write_labels(tmp_path / "s.tif", series, axes="TYX")
    out = tmp_path / "t.csv"
    assert cli("measure", "--labels", tmp_path / "s.tif", "--out", out).code == 0
    assert [(r["time_point"], r["area_px2"]) for r in rows_of(out)] == [
        ("0", "16.0"),
        ("1", "20.0"),
    ]
    assert cli(
        *("measure", "--labels", tmp_path / "s.tif", "--out", out, "--axes", "ZYX"),
    )
    assert rows_of(out)[0]["volume_px3"] == "36.0"


def test_classes_that_are_measured_as_objects_raise_a_doubt(cli, tmp_path):
    labels = np.ones((60, 60), np.uint8)
    for y in range(3, 60, 10):
        labels[y : y + 4, 3::10] = 2
    write_labels(tmp_path / "l.tif", labels)
    out = tmp_path / "t.csv"
    done = cli("measure", "--labels", tmp_path / "l.tif", "--out", out)
    assert done.code == 0
    assert "look like classes" in done.sentence()
    assert "--split" in done.sentence()


def test_a_large_zarr_store_is_not_read_whole(cli, files, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("the labels were read whole")

    monkeypatch.setattr("napari_unet.cli._lazy.LazyArray.__array__", refuse)
    done = cli(
        *("measure", "--labels", files / "a-labels.zarr", "--per", "class"),
        *("--out", files / "t.csv"),
    )
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--out", "t.xls"), ".csv and .parquet"),
        (("--out", "t.csv", "--columns", "girth"), "no column 'girth'"),
        (("--out", "t.csv", "--columns", "intensity_mean"), "give that as well"),
        (("--out", "t.csv", "--scale", "1", "2", "3"), "3 numbers"),
        (("--out", "t.csv", "--image", "a.tif", "a.tif"), "give one for each"),
        (("--out", "t.csv", "--split", "--per", "class"), "leave out --per class"),
        (("--out", "t.csv", "--split", "--classes", "a.tif"), "leave --classes"),
        (("--out", "nowhere/t.csv"), "make the folder"),
    ],
)
def test_refusals_are_one_line(cli, files, monkeypatch, args, words):
    monkeypatch.chdir(files)
    done = cli("measure", "--labels", "a-objects.tif", *args)
    assert done.code == 2
    assert words in done.sentence()
    assert not (files / "t.csv").exists()
