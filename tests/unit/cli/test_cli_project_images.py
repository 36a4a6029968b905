"""The images of a project: copied, moved, missing, changed, or bad."""

import json
import os
import shutil

import numpy as np
import pytest
import tifffile

from napari_unet.project import Project


def test_other_pixels_are_noticed(run, project, here, paint, status, files_of):
    paint(here / "images" / "a.tif", seed=9)
    os.utime(here / "images" / "a.tif", (1, 1))
    assert files_of(status()) == ["changed", "found", "found"]
    result = run("train p --steps 0")
    assert result.code == 0
    assert "was changed since it was painted on" in result.sentence()
    result = run("predict p --image 1")
    assert result.code == 0
    assert "was changed since it was painted on" in result.err


def test_a_painted_image_with_other_pixels_is_not_taken_for_the_same(
    run, project, here, paint, status, files_of
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
        assert files_of(status()) == ["changed", "found", "found"]
    assert json.loads((project / "project.json").read_text())["images"] == before

    path.write_bytes(painted_on)  # at another time
    assert "was there" in run("add p --image images/a.tif").out
    assert files_of(status()) == ["found"] * 3


def test_an_image_that_nobody_painted_on_may_change(
    run, project, here, paint, status, files_of
):
    paint(here / "images" / "b.tif", seed=9, shape=(40, 64))
    assert "was there" in run("add p --image images/b.tif").out
    assert files_of(status()) == ["found"] * 3
    with Project.open(project, is_read_only=True) as opened:
        assert opened.record.image(2).shape == (40, 64)


@pytest.mark.parametrize("command", ["train p --steps 0", "predict p"])
def test_a_missing_image_does_not_stop_the_others(
    run, project, here, command, status, files_of
):
    call = "add p --image images/b.tif --annotation strokes/b.tiff"
    assert run(call).code == 0
    assert run("train p --steps 0").code == 0
    (here / "images" / "a.tif").rename(here / "a-moved.tif")

    assert files_of(status())[0] == "missing"
    result = run(command)
    assert result.code == 3
    assert "the image 'a.tif' is not at" in result.err.splitlines()[0]
    if command.startswith("train"):
        assert status()["rounds"][-1]["n_images"] == 1
    else:
        assert len(list((project / "predictions").glob("*.tif"))) == 2

    result = run("add p --image a-moved.tif")
    assert "1  a-moved.tif found again" in result.out
    assert run(command).code == 0


def test_where_every_image_is_missing_nothing_is_learned(run, project, here, status):
    shutil.rmtree(here / "images")
    result = run("train p --steps 0")
    assert result.code == 2
    assert "none of the 1 annotated images" in result.err
    assert status()["rounds"] == []


def test_a_folder_that_moved_with_its_images_goes_on(
    run, project, here, status, files_of
):
    assert run("train p --steps 0").code == 0
    server = here / "server"
    server.mkdir()
    for name in ("p", "images"):
        shutil.copytree(here / name, server / name)  # not the times of the files
        for path in (server / name).glob("*.tif"):
            os.utime(path, (1, 1))
        shutil.move(here / name, here / f"gone-{name}")

    facts = status("server/p")
    assert files_of(facts) == ["found"] * 3
    assert run("train server/p --steps 1").code == 0
    assert run("predict server/p --round newest").code == 0
    shutil.rmtree(here / "gone-p")
    shutil.move(server / "p", here / "p")  # and back
    shutil.move(here / "gone-images", here / "images")
    facts = status()
    assert files_of(facts) == ["found"] * 3
    assert [r["number"] for r in facts["rounds"]] == [1, 2]


def test_a_folder_of_images_is_copied(run, here, status, files_of):
    call = "new p --image images --annotation strokes --copy"
    assert run(call).code == 0
    again = run("add p --image images --copy")
    assert (again.code, again.out.count("was there")) == (0, 3)
    assert len(list((here / "p" / "images").iterdir())) == 3
    shutil.rmtree(here / "images")
    facts = status()
    assert files_of(facts) == ["found"] * 3
    assert [image["path"] for image in facts["images"]] == [
        f"images/{name}.tif" for name in "abc"
    ]
    assert all(image["painted_px"] for image in facts["images"])


def test_another_shape_than_the_annotated_is_refused(run, project, here, paint):
    paint(here / "images" / "a.tif", shape=(20, 64))
    result = run("train p --steps 0")
    assert result.code == 2
    assert "and had (48, 64)" in result.err


def test_bad_files_among_several_are_named(run, here, status):
    (here / "bad.tif").write_bytes(b"II*\0 and then nothing")
    result = run("new p --image bad.tif images/a.tif")
    assert result.code == 3
    assert "bad.tif cannot be read" in result.err
    assert [image["name"] for image in status()["images"]] == ["a.tif"]


def test_of_bad_files_alone_no_project_is_made(run, here):
    (here / "bad.tif").write_bytes(b"II*\0 and then nothing")
    for files in ("bad.tif", "bad.tif missing.tif"):
        assert run(f"new q --image {files}").code == 2
        assert not (here / "q").exists()


def test_what_was_painted_is_not_replaced(run, project, status):
    call = "add p --image images/a.tif --annotation"
    assert run(call, "strokes/a.tiff").code == 0  # the same again
    other = np.zeros((48, 64), np.uint8)
    other[0, :9] = 2
    tifffile.imwrite("other.tif", other)
    result = run(call, "other.tif")
    assert result.code == 2
    assert "its annotation was left as it is" in result.sentence()
    assert status()["images"][0]["painted_px"] == {"1": 48, "2": 48}
