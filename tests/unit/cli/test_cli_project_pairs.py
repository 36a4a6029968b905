"""`project new` and `add`: whose annotation it is, and whether it is one."""

import numpy as np
import tifffile

from napari_unet.project import Project


def test_folders_are_paired_by_their_names(run, here, status):
    (here / "strokes" / "a.tiff").rename(here / "strokes" / "a-strokes.tiff")
    (here / "strokes" / "b.tiff").unlink()
    assert run("new p --image images --annotation strokes").code == 0
    painted = [bool(image["painted_px"]) for image in status()["images"]]
    assert painted == [True, False, True]


def test_names_that_contradict_the_order_are_refused(run, here):
    (here / "strokes" / "a.tiff").rename(here / "strokes" / "x.tiff")
    sentence = run("new p --image images --annotation strokes").sentence()
    assert "strokes/b.tiff is called like images/b.tif" in sentence
    assert not (here / "p").exists()


def test_an_image_is_no_annotation(run, here):
    pixels = np.random.default_rng(0).integers(0, 5000, (48, 64)).astype(np.uint16)
    tifffile.imwrite(here / "pixels.tif", pixels)
    call = "new p --image images/a.tif --annotation pixels.tif"
    sentence = run(call).sentence()
    assert "pixels.tif" in sentence
    assert f"{len(np.unique(pixels[pixels > 0])):,} different values" in sentence
    assert "is it an image?" in sentence
    assert not (here / "p").exists()
    # which eight bits are as well
    tifffile.imwrite(here / "pixels.tif", (pixels >> 5).astype(np.uint8))
    assert "is it an image?" in run(call).sentence()


def test_numbers_of_objects_are_annotations_of_objects(run, here):
    objects = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) // 16
    tifffile.imwrite(here / "objects.tif", objects)
    call = "new p --image images/a.tif --annotation objects.tif"
    assert "--mode objects" in run(call).sentence()
    assert run(f"{call} --mode objects").code == 0


def test_new_labels_leave_no_older_objects_behind(run, project):
    assert run("train p --steps 0").code == 0
    assert run("predict p --image 1 --instances").code == 0
    objects = project / "predictions" / "001-a-objects.tif"
    assert objects.exists()
    assert run("predict p --image 1 --resume").err == ""
    assert objects.exists()  # the labels are those of before
    result = run("predict p --image 1")
    assert result.code == 0
    assert f"{objects} was of older labels and is removed" in result.sentence()
    assert not objects.exists()
    assert run("predict p --image 1").err == ""


def test_objects_in_a_folder_of_ones_own_are_nobody_elses(run, project, here):
    assert run("train p --steps 0").code == 0
    assert run("predict p --image 1 --out mine --instances").code == 0
    assert run("predict p --image 1 --out mine").code == 0
    assert (here / "mine" / "001-a-objects.tif").exists()


def test_training_goes_on_from_the_round_gone_back_to(run, project):
    assert run("train p --steps 2").code == 0
    assert run("train p --steps 3").code == 0
    with Project.open(project) as opened:
        opened.change(round_in_use=1)
        assert opened.model_in_use == opened.rounds.model(1)
    assert run("train p --steps 4").code == 0
    with Project.open(project) as opened:
        assert [r.step for r in opened.rounds] == [2, 5, 6]
        assert opened.record.round_in_use is None
        assert opened.model_in_use == opened.training_path
        opened.change(round_in_use=7)  # a round that was deleted
        assert opened.model_in_use == opened.training_path
        opened.training_path.unlink()
        assert opened.model_in_use is None
