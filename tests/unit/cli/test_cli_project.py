"""``project``: from images to a project, models, labels, and out of it again."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.cli._project_images import file_stem
from napari_unet.learning import load
from napari_unet.project import Project, ProjectImage


def test_strokes_to_labels_and_out_again(run, project, here, status):
    facts = status()
    assert [i["status"] for i in facts["images"]] == ["annotated", "todo", "todo"]
    assert facts["images"][0]["painted_px"] == {"1": 48, "2": 48}
    assert facts["classes"] == {"1": "background", "2": "right"}
    assert facts["rounds"] == []

    result = run("train p --steps 1 --json")
    assert result.code == 0, result.err
    learned = json.loads(result.out)
    assert (learned["round"], learned["images"], learned["n_px"]) == (1, 1, 96)
    assert learned["classes"] == {"1": "background", "2": "right"}
    (round_,) = status()["rounds"]
    assert (round_["n_images"], round_["step"], round_["chosen"]) == (
        *(1, 1),
        learned["chosen"],
    )
    assert round_["mean_iou"] == learned["score"]["mean_iou"]

    result = run("predict p --image 2 3")
    assert result.code == 0, result.err
    for name in ("002-b", "003-c"):
        path = project / "predictions" / f"{name}-labels.tif"
        image = tifffile.imread(here / "images" / f"{name[-1]}.tif")
        labels = load(project / "rounds" / "round-0001.safetensors").predict(image)
        np.testing.assert_array_equal(tifffile.imread(path), labels)

    assert run("export p --out o").code == 0
    assert [path.name for path in (here / "o").iterdir()] == ["001-a-strokes.tif"]
    with tifffile.TiffFile(here / "o" / "001-a-strokes.tif") as tiff:
        strokes = tifffile.imread(here / "strokes" / "a.tiff")
        np.testing.assert_array_equal(tiff.asarray(), strokes)
        assert tiff.pages[0].tags["XResolution"].value == (4, 1)
        assert tiff.imagej_metadata["unit"] == "um"
        assert "2: right" in tiff.imagej_metadata["Info"]


def test_objects_and_complete_regions(run, here, status):
    ids = np.zeros((48, 64), np.uint8)
    ids[5:15, 5:15], ids[5:15, 16:25], ids[30:40, 40:60] = 1, 2, 3
    tifffile.imwrite("objects.tif", ids)
    call = "new p --image images/a.tif --annotation objects.tif --mode objects"
    assert run(call, "--complete", "all", "--config", "small.json").code == 0

    (image,) = status()["images"]
    n_px = np.count_nonzero(ids)
    assert image["n_objects"] == 3
    assert image["painted_px"] == {"1": ids.size - n_px, "2": n_px}
    assert image["complete_px"] == ids.size

    assert run("train p --steps 0").code == 0
    learner = load("p/rounds/round-0001.safetensors")
    assert learner.config.annotation_mode == "objects"
    assert run("export p --out o").code == 0
    np.testing.assert_array_equal(tifffile.imread("o/001-a-objects.tif"), ids + 1)
    assert tifffile.imread("o/001-a-objects-complete.tif").all()


def test_it_can_be_looked_at_while_open_elsewhere(run, project, status):
    assert run("train p --steps 0").code == 0
    assert status()["open_in"] is None
    code = (
        "import sys; from napari_unet.project import Project\n"
        f"project = Project.open({str(project)!r})\n"
        "sys.stdout.write('open'); sys.stdout.flush(); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        assert process.stdout.read(4) == b"open"
        assert f"process {process.pid}" in status()["open_in"]
        assert run("predict p --image 1").code == 0
        assert run("export p --out o").code == 0
        result = run("train p --steps 0")
        assert result.code == 2
        assert "close it there first" in result.sentence()
        assert run("rounds p --pin 1").code == 2
    finally:
        process.kill()
        process.communicate()
    assert status()["open_in"] is None  # the killed one's note is no holder


def test_a_folder_that_is_read_only_can_be_looked_at(run, project, status, files_of):
    assert run("train p --steps 0").code == 0
    places = [project, project / "rounds"]
    for place in places:
        place.chmod(0o500)
    try:
        if os.access(project, os.W_OK):
            pytest.skip("this user writes everywhere")
        assert files_of(status()) == ["found"] * 3
        assert run("predict p --out o").code == 0
        assert run("export p --out o").code == 0
        result = run("predict p")
        assert result.code == 2
        assert "read-only" in result.sentence()
        assert run("train p --steps 0").code == 2
    finally:
        for place in places:
            place.chmod(0o700)


def test_a_round_is_kept_where_the_training_finds_no_room(
    run, project, full_for_states, status
):
    result = run("train p --steps 1 --json")
    assert result.code == 0
    assert "No space left on device; the round is kept" in result.sentence()
    model = json.loads(result.out)["model"]
    assert load(model).status.step == 1
    assert [r["number"] for r in status()["rounds"]] == [1]


def test_old_rounds_make_room(run, project, status):
    with Project.open(project) as opened:
        opened.change(max_rounds_mb=10)
        for _ in range(2):
            opened.rounds.add(
                lambda path: path.write_bytes(bytes(8_000_000)), {"chosen": "instant"}
            )
    result = run("train p --steps 0")
    assert result.code == 0
    assert "round 1 was deleted" in result.sentence()
    assert [r["number"] for r in status()["rounds"]] == [2, 3]


def test_rounds_are_pinned_noted_and_deleted(run, project, status):
    for _ in range(2):
        assert run("train p --steps 0").code == 0
    assert run("rounds p --pin 1").code == 0
    result = run("rounds p --note 2", "two words")
    assert result.code == 0
    assert "two words" in result.out
    result = run("rounds p --json")
    facts = json.loads(result.out)
    assert [r["is_pinned"] for r in facts] == [True, False]
    assert run("rounds p --unpin 1").code == 0
    assert run("rounds p --delete 1").code == 0
    assert [r["number"] for r in status()["rounds"]] == [2]
    assert not (project / "rounds" / "round-0001.safetensors").exists()


def test_rescue(run, project, status):
    result = run("rescue p --json")
    assert result.code == 0
    facts = json.loads(result.out)
    assert (facts["n_layers"], facts["n_tiles"]) == (1, 1)
    assert status()["images"][0]["painted_px"] == {"1": 48, "2": 48}


def test_the_viewer_s_pixel_size_wins(run, project):
    with Project.open(project) as opened:
        opened.change_image(1, scale=(3.0, 2.0), unit="nanometer")
    assert run("train p --steps 0").code == 0
    assert run("predict p --image 1").code == 0
    with tifffile.TiffFile(project / "predictions" / "001-a-labels.tif") as tiff:
        assert tiff.imagej_metadata["unit"] == "nm"
        assert tiff.pages[0].tags["XResolution"].value == (1, 2)


@pytest.mark.parametrize("where", ["predictions", "predictions/001-a-labels.tif"])
def test_predictions_do_not_follow_links_out_of_the_project(run, project, here, where):
    assert run("train p --steps 0").code == 0
    outside = here / "outside"
    if where == "predictions":
        outside.mkdir()
    else:
        (project / "predictions").mkdir()
        outside.write_text("mine")
    (project / where).symlink_to(outside)
    result = run("predict p --image 1")
    assert result.code == 2
    assert "is a link" in result.sentence()
    assert outside.is_dir() or outside.read_text() == "mine"


def test_names_of_files_stay_in_their_folder_and_differ():
    names = ["../../etc/passwd", "a b.ome.tif", "...", "x" * 400, "zellen-µ.png"]
    stems = [file_stem(ProjectImage(number=7, name=name)) for name in names]
    assert stems[:3] == ["007-passwd", "007-a_b", "007-image"]
    assert stems[4] == "007-zellen-µ"
    assert all(len(stem) < 100 and "/" not in stem for stem in stems)


def test_channels_from_several_layers_are_refused(run, project):
    with Project.open(project) as opened:
        opened.change_image(1, channels=("red", "green"))
    result = run("train p --steps 0")
    assert result.code == 2
    assert "only the viewer puts together" in result.err


def test_nothing_painted(run, here):
    assert run("new p").code == 0
    result = run("train p")
    assert result.code == 2
    assert "nothing is painted" in result.sentence()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("status images", "has no project.json"),
        ("new p --image images/a.tif", "is a project already"),
        ("new images", "is not empty"),
        ("new q --image images --annotation image.tiff", "--annotation 1"),
        ("new q --image images/a.tif images/a.tif", "twice"),
        ("new q --image images/a.tif --complete all", "give --annotation too"),
        ("new q --image images/a.tif --classes 0=none", "0=none"),
        ("new q --image images/a.tif --config strokes/a.tiff", "setting|JSON"),
        ("new q --image images/a.tif --annotation strokes/none.tif", "no file"),
        ("predict p", "no model yet"),
        ("predict p --round 4", "no round 4"),
        ("predict p --round last", "a number, 'best' or 'newest'"),
        ("predict p --image 9", "no image 9"),
        ("predict p --image first", "numbers of images"),
        ("export p --out o --what predictions", "no predictions"),
        ("rounds p --pin 8", "no round 8"),
        ("rounds p --note x y", "--note x"),
        ("rescue images", "no annotations.sqlite"),
        ("add p --image https://x.org/a.zarr", "https://x.org/a.zarr is an address"),
    ],
)
def test_wrong_calls_are_one_sentence(run, project, call, sentence):
    result = run(call)
    assert result.code == 2
    assert re.search(sentence, result.sentence())


def test_an_annotation_painted_in_the_viewer_is_learned(run, project):
    strokes = np.zeros((48, 64), np.uint8)
    strokes[10, 2:20], strokes[10, 40:60] = 1, 2
    with Project.open(project) as opened:
        opened.save_annotation(2, "strokes", TiledLabels.of(strokes))
    result = run("train p --steps 0 --json")
    assert json.loads(result.out)["images"] == 2
