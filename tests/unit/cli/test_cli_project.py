"""``project``: from images to a project, models, labels, and out of it again."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.cli._project_images import file_stem
from napari_unet.export import write_labels
from napari_unet.learning import load
from napari_unet.project import Project, ProjectImage

SMALL = {
    "base_channels": 4,
    "depth": 1,
    "instant": {"n_trees": 5},
    "device": "cpu",
}


def paint(path, seed=0, shape=(48, 64)):
    """Write an image, with a pixel size, and its strokes."""
    rng = np.random.default_rng(seed)
    truth = np.ones(shape, np.uint8)
    truth[:, 30:] = 2
    image = (truth * 60 + rng.integers(0, 20, shape)).astype(np.uint8)
    strokes = np.zeros_like(truth)
    for y in (5, 11, 17):
        strokes[y, 4:20] = 1
        strokes[y, 40:56] = 2
    write_labels(path, image, scale=(0.5, 0.25), unit="um")
    tifffile.imwrite(path.with_name(f"{path.stem}-strokes.tiff"), strokes)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder with three images, two of them with strokes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "strokes").mkdir()
    for seed, name in enumerate("abc"):
        paint(tmp_path / "images" / f"{name}.tif", seed)
        strokes = tmp_path / "images" / f"{name}-strokes.tiff"
        strokes.rename(tmp_path / "strokes" / f"{name}.tiff")
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    return tmp_path


@pytest.fixture
def run(cli):
    """Run a command of `project`, given as one text, and further arguments."""

    def run(text, *more):
        return cli("project", *text.split(), *more)

    return run


@pytest.fixture
def project(run, here):
    """A project of a, with strokes, and of b and c, without."""
    result = run(
        "new p --image images/a.tif --annotation strokes/a.tiff",
        "--classes",
        "2=right",
        "--config",
        "small.json",
    )
    assert result.code == 0, result.err
    assert run("add p --image images/b.tif images/c.tif").code == 0
    return here / "p"


def status(run, folder="p"):
    result = run(f"status {folder} --json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def files_of(facts):
    return [image["file"] for image in facts["images"]]


def test_strokes_to_labels_and_out_again(run, project, here):
    facts = status(run)
    assert [i["status"] for i in facts["images"]] == ["annotated", "todo", "todo"]
    assert facts["images"][0]["painted_px"] == {"1": 48, "2": 48}
    assert facts["classes"] == {"1": "background", "2": "right"}
    assert facts["rounds"] == []

    result = run("train p --steps 1 --json")
    assert result.code == 0, result.err
    learned = json.loads(result.out)
    assert (learned["round"], learned["images"], learned["n_px"]) == (1, 1, 96)
    assert learned["classes"] == {"1": "background", "2": "right"}
    (round_,) = status(run)["rounds"]
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


def test_objects_and_complete_regions(run, here):
    ids = np.zeros((48, 64), np.uint8)
    ids[5:15, 5:15], ids[5:15, 16:25], ids[30:40, 40:60] = 1, 2, 3
    tifffile.imwrite("objects.tif", ids)
    call = "new p --image images/a.tif --annotation objects.tif --mode objects"
    assert run(call, "--complete", "all", "--config", "small.json").code == 0

    (image,) = status(run)["images"]
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


def test_a_folder_that_moved_with_its_images_goes_on(run, project, here):
    assert run("train p --steps 0").code == 0
    server = here / "server"
    server.mkdir()
    for name in ("p", "images"):
        shutil.copytree(here / name, server / name)  # not the times of the files
        for path in (server / name).glob("*.tif"):
            os.utime(path, (1, 1))
        shutil.move(here / name, here / f"gone-{name}")

    facts = status(run, "server/p")
    assert files_of(facts) == ["found"] * 3
    assert run("train server/p --steps 1").code == 0
    assert run("predict server/p --round newest").code == 0
    shutil.rmtree(here / "gone-p")
    shutil.move(server / "p", here / "p")  # and back
    shutil.move(here / "gone-images", here / "images")
    facts = status(run)
    assert files_of(facts) == ["found"] * 3
    assert [r["number"] for r in facts["rounds"]] == [1, 2]


def test_other_pixels_are_noticed(run, project, here):
    paint(here / "images" / "a.tif", seed=9)
    os.utime(here / "images" / "a.tif", (1, 1))
    assert files_of(status(run)) == ["changed", "found", "found"]
    result = run("train p --steps 0")
    assert result.code == 0
    assert "was changed since it was painted on" in result.sentence()


def test_a_painted_image_with_other_pixels_is_not_taken_for_the_same(
    run, project, here
):
    path = here / "images" / "a.tif"
    painted_on = path.read_bytes()
    before = json.loads((project / "project.json").read_text())["images"]
    for shape, sentence in (((48, 64), "has other pixels"), ((40, 64), "had (48, 64)")):
        paint(path, seed=9, shape=shape)
        os.utime(path, (1, 1))
        result = run("add p --image images/a.tif images/b.tif")
        assert result.code == 3
        assert sentence in result.err.splitlines()[0]
        assert files_of(status(run)) == ["changed", "found", "found"]
    assert json.loads((project / "project.json").read_text())["images"] == before

    path.write_bytes(painted_on)  # at another time
    assert "was there" in run("add p --image images/a.tif").out
    assert files_of(status(run)) == ["found"] * 3


def test_an_image_that_nobody_painted_on_may_change(run, project, here):
    paint(here / "images" / "b.tif", seed=9, shape=(40, 64))
    assert "was there" in run("add p --image images/b.tif").out
    assert files_of(status(run)) == ["found"] * 3
    with Project.open(project, is_read_only=True) as opened:
        assert opened.record.image(2).shape == (40, 64)


@pytest.mark.parametrize("command", ["train p --steps 0", "predict p"])
def test_a_missing_image_does_not_stop_the_others(run, project, here, command):
    call = "add p --image images/b.tif --annotation strokes/b.tiff"
    assert run(call).code == 0
    assert run("train p --steps 0").code == 0
    (here / "images" / "a.tif").rename(here / "a-moved.tif")

    assert files_of(status(run))[0] == "missing"
    result = run(command)
    assert result.code == 3
    assert "the image 'a.tif' is not at" in result.err.splitlines()[0]
    if command.startswith("train"):
        assert status(run)["rounds"][-1]["n_images"] == 1
    else:
        assert len(list((project / "predictions").iterdir())) == 2

    result = run("add p --image a-moved.tif")
    assert "1  a-moved.tif found again" in result.out
    assert run(command).code == 0


def test_where_every_image_is_missing_nothing_is_learned(run, project, here):
    shutil.rmtree(here / "images")
    result = run("train p --steps 0")
    assert result.code == 2
    assert "none of the 1 annotated images" in result.err
    assert status(run)["rounds"] == []


def test_it_can_be_looked_at_while_open_elsewhere(run, project):
    assert run("train p --steps 0").code == 0
    assert status(run)["open_in"] is None
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
        assert f"process {process.pid}" in status(run)["open_in"]
        assert run("predict p --image 1").code == 0
        assert run("export p --out o").code == 0
        result = run("train p --steps 0")
        assert result.code == 2
        assert "close it there first" in result.sentence()
        assert run("rounds p --pin 1").code == 2
    finally:
        process.kill()
        process.communicate()
    assert status(run)["open_in"] is None  # the killed one's note is no holder


def test_a_folder_that_is_read_only_can_be_looked_at(run, project):
    assert run("train p --steps 0").code == 0
    places = [project, project / "rounds"]
    for place in places:
        place.chmod(0o500)
    try:
        if os.access(project, os.W_OK):
            pytest.skip("this user writes everywhere")
        assert files_of(status(run)) == ["found"] * 3
        assert run("predict p --out o").code == 0
        assert run("export p --out o").code == 0
        result = run("predict p")
        assert result.code == 2
        assert "read-only" in result.sentence()
        assert run("train p --steps 0").code == 2
    finally:
        for place in places:
            place.chmod(0o700)


def test_what_was_painted_is_not_replaced(run, project):
    call = "add p --image images/a.tif --annotation"
    assert run(call, "strokes/a.tiff").code == 0  # the same again
    other = np.zeros((48, 64), np.uint8)
    other[0, :9] = 2
    tifffile.imwrite("other.tif", other)
    result = run(call, "other.tif")
    assert result.code == 2
    assert "its annotation was left as it is" in result.sentence()
    assert status(run)["images"][0]["painted_px"] == {"1": 48, "2": 48}


def test_bad_files_among_several_are_named(run, here):
    (here / "bad.tif").write_bytes(b"II*\0 and then nothing")
    result = run("new p --image bad.tif images/a.tif")
    assert result.code == 3
    assert "bad.tif cannot be read" in result.err
    assert [image["name"] for image in status(run)["images"]] == ["a.tif"]


def test_of_bad_files_alone_no_project_is_made(run, here):
    (here / "bad.tif").write_bytes(b"II*\0 and then nothing")
    for files in ("bad.tif", "bad.tif missing.tif"):
        assert run(f"new q --image {files}").code == 2
        assert not (here / "q").exists()


def test_a_folder_of_images_is_copied(run, here):
    call = "new p --image images --annotation strokes --copy"
    assert run(call).code == 0
    again = run("add p --image images --copy")
    assert (again.code, again.out.count("was there")) == (0, 3)
    assert len(list((here / "p" / "images").iterdir())) == 3
    shutil.rmtree(here / "images")
    facts = status(run)
    assert files_of(facts) == ["found"] * 3
    assert [image["path"] for image in facts["images"]] == [
        f"images/{name}.tif" for name in "abc"
    ]
    assert all(image["painted_px"] for image in facts["images"])


def test_a_round_is_kept_where_the_training_finds_no_room(
    run, project, full_for_states
):
    result = run("train p --steps 1 --json")
    assert result.code == 0
    assert "No space left on device; the round is kept" in result.sentence()
    model = json.loads(result.out)["model"]
    assert load(model).status.step == 1
    assert [r["number"] for r in status(run)["rounds"]] == [1]


def test_old_rounds_make_room(run, project):
    with Project.open(project) as opened:
        opened.change(max_rounds_mb=10)
        for _ in range(2):
            opened.rounds.add(
                lambda path: path.write_bytes(bytes(8_000_000)), {"chosen": "instant"}
            )
    result = run("train p --steps 0")
    assert result.code == 0
    assert "round 1 was deleted" in result.sentence()
    assert [r["number"] for r in status(run)["rounds"]] == [2, 3]


def test_rounds_are_pinned_noted_and_deleted(run, project):
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
    assert [r["number"] for r in status(run)["rounds"]] == [2]
    assert not (project / "rounds" / "round-0001.safetensors").exists()


def test_rescue(run, project):
    result = run("rescue p --json")
    assert result.code == 0
    facts = json.loads(result.out)
    assert (facts["n_layers"], facts["n_tiles"]) == (1, 1)
    assert status(run)["images"][0]["painted_px"] == {"1": 48, "2": 48}


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


def test_another_shape_than_the_annotated_is_refused(run, project, here):
    paint(here / "images" / "a.tif", shape=(20, 64))
    result = run("train p --steps 0")
    assert result.code == 2
    assert "and had (48, 64)" in result.err


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
        ("new q --image images --annotation strokes/a.tiff", "--annotation 1"),
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
