"""`evaluate --instances` and `evaluate --em`."""

import json
import re

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

from napari_unet.core.metrics import evaluate_em, evaluate_instances

OBJECT_KEYS = {
    *("seg", "pq", "sq", "rq", "ap50", "ap", "map", "f1_50", "aji"),
    *("n_true", "n_predicted"),
}
MEMBRANE_KEYS = {
    *("v_rand", "v_info", "warping_error", "pixel_error"),
    *("foreground_iou", "membrane_iou", "membrane"),
}


@pytest.fixture
def arrays():
    """Return objects and membranes, and predictions that are partly right."""
    truth = np.zeros((12, 20), np.uint16)
    truth[1:5, 1:6], truth[1:5, 8:16], truth[7:11, 2:12] = 1, 2, 700
    objects = np.zeros_like(truth)
    objects[1:5, 1:6], objects[1:5, 9:16], objects[9:12, 15:19] = 4, 2, 3
    membranes = np.ones((12, 20), np.uint8)
    membranes[5:7], membranes[:, 9:11] = 0, 0
    gap = membranes.copy()
    gap[2:4, 9:11] = 1
    return {
        "truth": truth,
        "objects": objects,
        "membranes": membranes * 255,
        "gap": gap * 255,
        "nothing": np.zeros_like(membranes),
        "three": membranes + np.eye(12, 20, dtype=np.uint8),
        "small": membranes[:10],
        "fractions": np.full((12, 20), 0.5, np.float32),
        "negative": truth.astype(np.int16) - 1,
        "cells_first": (2 - membranes),
    }


@pytest.fixture
def files(arrays, tmp_path):
    paths = {name: tmp_path / f"{name}.tif" for name in arrays}
    for name, path in paths.items():
        tifffile.imwrite(path, arrays[name])
    return paths


def evaluate(cli, files, prediction, truth, *options):
    """Run the command on files given by name, several with blanks between."""
    return cli(
        *("evaluate", "--prediction", *(files[n] for n in prediction.split())),
        *("--truth", *(files[n] for n in truth.split()), *options),
    )


def test_objects_as_json_and_as_a_table(cli, files, arrays):
    expected = evaluate_instances(arrays["objects"], arrays["truth"])
    assert 0 < expected["map"] < 1
    result = evaluate(cli, files, "objects", "truth", "--instances", "--json")
    assert (result.code, result.err) == (0, "")
    report = json.loads(result.out)
    assert set(report) == {*OBJECT_KEYS, "files"}
    assert set(report["files"][0]) == {*OBJECT_KEYS, "prediction", "truth"}
    ap = report.pop("ap")
    assert ap == {str(threshold): value for threshold, value in expected["ap"].items()}
    assert list(ap) == [str(percent / 100) for percent in range(50, 100, 5)]
    assert all(report[key] == expected[key] for key in OBJECT_KEYS - {"ap"})
    header, row = evaluate(
        cli, files, "objects", "truth", "--instances"
    ).out.splitlines()
    assert header.split()[:4] == ["prediction", "SEG", "PQ", "SQ"]
    cells = row.split()
    assert cells[:3] == ["objects.tif", *(f"{expected[k]:.3f}" for k in ("seg", "pq"))]
    assert cells[-2:] == ["3", "3"]


def test_membranes_as_json_and_as_a_table(cli, files, arrays):
    expected = evaluate_em(arrays["gap"], arrays["membranes"])
    assert 0 < expected["v_rand"] < 1
    result = evaluate(cli, files, "gap", "membranes", "--em", "--json")
    assert (result.code, result.err) == (0, "")
    report = json.loads(result.out)
    assert set(report) == {*MEMBRANE_KEYS, "files"}
    assert {key: report[key] for key in MEMBRANE_KEYS} == expected
    header, row = evaluate(cli, files, "gap", "membranes", "--em").out.splitlines()
    assert header.split()[:3] == ["prediction", "V_Rand", "V_Info"]
    assert row.split()[:2] == ["gap.tif", f"{expected['v_rand']:.3f}"]
    assert row.split()[-1] == "0"


def test_pictures_of_membranes(cli, arrays, tmp_path):
    path = tmp_path / "m.png"
    iio.imwrite(path, arrays["membranes"])
    report = cli("evaluate", "--em", "--prediction", path, "--truth", path, "--json")
    assert json.loads(report.out)["v_rand"] == pytest.approx(1)


def test_pairs_are_averaged_and_objects_counted(cli, files, arrays):
    one = evaluate_instances(arrays["objects"], arrays["truth"])
    pairs = "objects truth nothing", "truth truth nothing"
    result = evaluate(cli, files, *pairs, "--instances", "--json")
    report = json.loads(result.out)
    # the pair without objects has no score, which is no 0 and no 1
    assert report["files"][2]["pq"] is None
    for key in ("seg", "pq", "map", "aji"):
        assert report[key] == pytest.approx((one[key] + 1) / 2)
    assert report["ap"]["0.9"] == pytest.approx((one["ap"][0.9] + 1) / 2)
    assert (report["n_true"], report["n_predicted"]) == (6, 6)
    lines = evaluate(cli, files, *pairs, "--instances").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        *("objects.tif", "truth.tif", "nothing.tif", "all")
    ]
    assert lines[3].split()[1] == "-"


def test_pairs_of_membranes_are_averaged(cli, files, arrays):
    one = evaluate_em(arrays["gap"], arrays["membranes"])
    pairs = "gap membranes", "membranes membranes"
    report = json.loads(evaluate(cli, files, *pairs, "--em", "--json").out)
    assert report["v_info"] == pytest.approx((one["v_info"] + 1) / 2)
    assert report["warping_error"] == pytest.approx(one["warping_error"] / 2)
    assert report["membrane"] == 0


@pytest.mark.parametrize("option", ["--instances", "--em"])
def test_a_bad_pair_does_not_end_it(cli, files, option):
    names = {"--instances": "truth", "--em": "membranes"}[option]
    call = (cli, files, f"small {names}", f"{names} {names}", option, "--json")
    result = evaluate(*call)
    assert result.code == 3
    assert result.err.splitlines()[1] == "napari-unet: 1 of 2 pairs failed"
    report = json.loads(result.out)
    assert "(10, 20) and (12, 20)" in report["files"][0]["error"]
    assert report[{"--instances": "pq", "--em": "foreground_iou"}[option]] == 1
    assert "all" not in evaluate(*call[:-1]).out
    result = evaluate(cli, files, "small small", f"{names} {names}", option, "--json")
    assert result.code == 2
    assert json.loads(result.out)["files"][1]["error"]


def test_unknown_regions_of_objects(cli, files, arrays):
    call = (cli, files, "objects", "truth", "--instances", "--json")
    report = json.loads(evaluate(*call, "--ignore", 700).out)
    expected = evaluate_instances(arrays["objects"], arrays["truth"], ignore=700)
    assert report["n_true"] == expected["n_true"] == 2
    assert report["aji"] == expected["aji"]


def test_the_value_of_the_membrane(cli, files, arrays):
    # 1 is the cells here, and covers most of the image: the command wonders
    call = (cli, files, "cells_first", "cells_first", "--em", "--json")
    result = evaluate(*call)
    assert result.code == 0
    assert json.loads(result.out)["membrane"] == 1
    assert "1 was taken for the membrane and covers 75%" in result.sentence()
    result = evaluate(*call, "--membrane", 2)
    assert result.err == ""
    assert json.loads(result.out)["membrane"] == 2


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        ("fractions truth", "--instances", "fractions.tif holds fractions"),
        ("fractions membranes", "--em", "fractions.tif holds fractions"),
        ("negative truth", "--instances", "negative.tif holds the label -1"),
        ("membranes negative", "--em", "negative.tif holds the label -1"),
        ("small truth", "--instances", "small.tif: .*(10, 20) and (12, 20)"),
        ("small membranes", "--em", "small.tif: .*(10, 20) and (12, 20)"),
        ("three membranes", "--em", "three.tif: .*the values 0, 1, 2, 255; .*two"),
        ("nothing nothing", "--em", "hold the values 0; .*two values"),
        ("membranes membranes", "--em --membrane 4", "0, 255 beside 4"),
        ("membranes membranes", "--em --ignore 0", "--ignore does not go with --em"),
        ("membranes membranes", "--membrane 0", "add --em"),
        ("truth truth", "--instances --membrane 0", "add --em"),
        ("truth truth", "--instances --em", "--em: not allowed with .*--instances"),
        ("nothing nothing", "--instances --ignore 0", "all are 0"),
    ],
)
def test_one_sentence_says_what_is_wrong(cli, files, names, options, sentence):
    result = evaluate(cli, files, *names.split(), *options.split())
    assert result.code == 2
    assert result.out == ""
    pattern = sentence.replace("(", r"\(").replace(")", r"\)")
    assert re.search(pattern, result.sentence())
