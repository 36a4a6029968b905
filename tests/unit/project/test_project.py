import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import LearnerConfig
from napari_unet.errors import ProjectError
from napari_unet.jobs import Score
from napari_unet.project import (
    ClassEntry,
    Project,
    ProjectLock,
    _record_file,
    check_free,
    is_project,
    predictions_folder,
    record,
)
from napari_unet.project._folder import README

ROUND = '{"rounds": [{"number": %d, "time": "2026-01-01", "chosen": "instant"}]}'


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cells.unet-project"


@pytest.fixture
def project(folder):
    with Project.create(folder) as project:
        yield project


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "cells.tif"
    path.write_bytes(b"pixels")
    return path


def strokes(value=1, shape=(40, 50)):
    array = np.zeros(shape, np.uint8)
    array[..., 3:6, 4:20] = value
    return TiledLabels.of(array)


def test_a_project_is_made_and_opened_again(folder, image):
    with Project.create(folder, classes=(), mode="objects") as project:
        number = project.add_image(image).number
        project.change(learner=LearnerConfig(depth=3))
        project.change(classes=(ClassEntry(value=2, name="nucleus", colour="#ff8800"),))
        project.save_annotation(number, "objects", strokes())
        made = project.record

    assert is_project(folder)
    with Project.open(folder) as project:
        assert project.record == made
        assert project.record.name == "cells"
        assert project.annotation(number, "objects").is_same(strokes())
        assert project.annotation(number, "strokes") is None
        assert project.find(number) == image


def test_a_folder_that_holds_something_is_no_place_for_a_project(folder):
    folder.mkdir()
    (folder / "mine.txt").touch()
    with pytest.raises(ProjectError, match="not empty"):
        Project.create(folder)
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]


def test_a_project_that_could_not_be_made_leaves_nothing(folder, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(ProjectError, match="disk is full"):
        Project.create(folder)
    assert not folder.exists()


def test_there_is_one_project_in_a_folder(folder, project):
    with pytest.raises(ProjectError, match="a project already"):
        Project.create(folder)


def test_what_is_no_project_is_not_opened(tmp_path):
    with pytest.raises(ProjectError, match="no project: it has no"):
        Project.open(tmp_path)
    with pytest.raises(ProjectError, match="is not there"):
        Project.open(tmp_path / "nowhere")


def test_nobody_else_writes_meanwhile(folder, project):
    with pytest.raises(ProjectError, match="in this program already") as raised:
        Project.open(folder)
    assert "delete" not in str(raised.value)
    with Project.open(folder, is_read_only=True) as reader:
        assert reader.record == project.record
        with pytest.raises(ProjectError, match="read only"):
            reader.change(mode="objects")
    project.close()
    Project.open(folder).close()


def test_a_killed_process_lets_go_of_the_lock(folder, project):
    project.close()
    code = (
        "import sys; from napari_unet.project import Project\n"
        f"project = Project.open({str(folder)!r})\n"
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
        with pytest.raises(ProjectError, match=f"process {process.pid}"):
            Project.open(folder)
    finally:
        process.kill()
        process.communicate()
    Project.open(folder).close()


# --- images ------------------------------------------------------------------------


def test_a_moved_pair_of_folders_finds_its_images(tmp_path, image):
    (tmp_path / "lab").mkdir()
    there = tmp_path / "lab" / image.name
    os.replace(image, there)
    with Project.create(tmp_path / "lab" / "p") as project:
        project.add_image(there)
    os.replace(tmp_path / "lab", tmp_path / "home")

    with Project.open(tmp_path / "home" / "p") as project:
        assert project.find(1) == tmp_path / "home" / image.name


def test_a_project_that_was_moved_alone_finds_its_images(tmp_path, folder, image):
    with Project.create(folder) as project:
        project.add_image(image)
    moved = tmp_path / "far" / "away" / "p"
    moved.parent.mkdir(parents=True)
    os.replace(folder, moved)

    with Project.open(moved) as project:
        assert project.find(1) == image


def test_a_missing_image_is_one_sentence_until_it_is_found(project, image, tmp_path):
    project.add_image(image)
    elsewhere = tmp_path / "elsewhere.tif"
    os.replace(image, elsewhere)
    with pytest.raises(ProjectError, match=r"is not at .*cells\.tif any more"):
        project.find(1)

    project.relocate(1, elsewhere)
    assert project.find(1) == elsewhere


@pytest.mark.parametrize("name", ["x" * 600, "\0"])
def test_a_place_that_cannot_be_is_a_missing_image(project, image, name):
    number = project.add_image(image).number
    project.change_image(number, path=name, absolute_path=name)
    with pytest.raises(ProjectError, match="any more"):
        project.find(number)
    assert project.is_changed(number)


def test_a_folder_that_was_deleted_is_a_project_again_with_the_next_stroke(
    folder, project, image
):
    number = project.add_image(image).number
    labels = np.zeros((40, 50), np.uint8)
    labels[3, 4:9] = 1
    project.save_annotation(number, "strokes", TiledLabels.of(labels))
    shutil.rmtree(folder)
    assert not project.is_there

    project.save_annotation(number, "strokes", TiledLabels.of(labels))  # as before

    with Project.open(folder, is_read_only=True) as again:
        assert np.array_equal(again.annotation(number, "strokes"), labels)


def test_a_changed_image_is_noticed(project, image):
    project.add_image(image)
    assert not project.is_changed(1)
    image.write_bytes(b"other pixels")
    assert project.is_changed(1)
    image.unlink()
    assert project.is_changed(1)


def test_a_copy_is_independent_of_the_original(project, image):
    first = project.add_image(image, copy=True)
    image.write_bytes(b"changed")
    assert project.find(first.number).read_bytes() == b"pixels"
    assert project.find(first.number).parent == project.path("images")


def test_copies_of_the_same_name_do_not_replace_each_other(project, image, tmp_path):
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / image.name
    other.write_bytes(b"other")
    numbers = [project.add_image(path, copy=True).number for path in (image, other)]
    contents = [project.find(number).read_bytes() for number in numbers]
    assert contents == [b"pixels", b"other"]


def test_the_same_image_is_added_once_and_comes_back(project, image):
    number = project.add_image(image).number
    project.save_annotation(number, "strokes", strokes())
    project.remove_images(number)
    assert project.images == ()

    assert project.add_image(image).number == number
    assert [i.number for i in project.images] == [number]
    assert project.annotation(number, "strokes").is_same(strokes())


def test_layers_of_one_file_are_images_of_their_own(project, image):
    one = project.add_image(image, layer="red")
    other = project.add_image(image, layer="green")
    assert one.number != other.number
    assert project.find_image(image, "", "green") == other


def test_an_image_without_a_file_is_known_by_its_pixels(project):
    image = project.add_image(None, name="blobs", fingerprint="abc")
    assert project.find_image(None, "abc", None) == image
    assert project.find_image(None, "abd", None) is None
    assert project.find_image(None, "", None) is None
    with pytest.raises(ProjectError, match="was in no file"):
        project.find(image.number)


def test_an_image_is_known_whatever_its_layer_is_called(project, image):
    first = project.add_image(image, layer="cells", fingerprint="red")
    assert project.find_image(image, "red", "cells [1]") == first
    assert project.find_image(image, "green", "cells [1]") is None  # another channel
    assert project.find_image(image, "red", "renamed", {first.number}) is None


def test_equal_pixels_in_another_file_are_another_image(project, image, tmp_path):
    empty = tmp_path / "also-empty.tif"
    empty.write_bytes(image.read_bytes())
    first = project.add_image(image, fingerprint="empty")
    assert project.find_image(empty, "empty", None) is None
    second = project.add_image(empty, fingerprint="empty")
    assert project.find_image(empty, "empty", None) == second
    image.unlink()  # moved to where nobody knows
    assert project.find_image(tmp_path / "moved.tif", "empty", None) == first


def test_equal_images_without_a_file_are_told_apart(project):
    one = project.add_image(None, name="a", fingerprint="x")
    assert project.find_image(None, "x", "b", taken={one.number}) is None
    other = project.add_image(None, name="b", fingerprint="x")
    assert other.number != one.number
    assert project.find_image(None, "x", "b") == other
    assert project.find_image(None, "x", "c") == one


def test_status_follows_the_work(project, image):
    number = project.add_image(image).number

    def status():
        return project.record.image(number).status

    assert status() == "todo"
    project.save_annotation(number, "strokes", strokes())
    assert status() == "annotated"
    project.save_annotation(number, "strokes", strokes(), is_correction=True)
    assert status() == "annotated"  # nothing was painted
    project.save_annotation(number, "strokes", strokes(2), is_correction=True)
    assert status() == "corrected"
    project.change_image(number, is_done=True)
    assert status() == "done"
    project.change_image(number, is_done=False)
    assert status() == "corrected"


def test_the_next_unfinished_image_is_untouched_if_any_is(project, tmp_path):
    numbers = [project.add_image(tmp_path / f"{i}.tif").number for i in range(4)]
    record = project.record
    assert record.next_unfinished().number == numbers[0]
    assert record.next_unfinished(numbers[3]).number == numbers[0]
    project.save_annotation(numbers[1], "strokes", strokes())
    project.change_image(numbers[3], is_done=True)
    assert project.record.next_unfinished(numbers[0]).number == numbers[2]
    for number in numbers[:1] + numbers[2:]:
        project.change_image(number, is_done=True)
    assert project.record.next_unfinished(numbers[0]).number == numbers[1]
    assert project.record.next_unfinished(numbers[1]) is None


def test_many_images_are_changed_by_one_write(folder, project, tmp_path, monkeypatch):
    numbers = [project.add_image(tmp_path / f"{i}.tif").number for i in range(4)]
    written = []
    write = _record_file.write_record

    def count(path, record):
        written.append(record)
        write(path, record)

    monkeypatch.setattr(_record_file, "write_record", count)
    project.change_images({n: {"is_done": True} for n in numbers[:2]})
    project.remove_images(*numbers[1:])
    assert len(written) == 2
    project.change_images({numbers[0]: {"is_done": True}})
    assert len(written) == 2  # it was done already
    with pytest.raises(ProjectError, match="no image 99"):
        project.change_images({numbers[0]: {"is_done": False}, 99: {}})
    assert project.record.image(numbers[0]).is_done
    project.close()
    with Project.open(folder) as project:
        assert [image.number for image in project.images] == numbers[:1]
        assert project.record.image(numbers[1]).is_done
        project.restore_images(*numbers[1:])
        assert len(project.images) == 4
    assert "took out the images 2, 3, 4" in (folder / "log.txt").read_text()


# --- what lies in the folder ---------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"{" * 10_000,
        b'{"schema_version": 1}',
        b'{"schema_version": "x"}',
        b'{"schema_version": 2, "name": "later"}',
        b'{"schema_version": -1, "name": "before all"}',
        b'{"schema_version": 0, "name": "before the first"}',
        b'{"schema_version": -1000000000000}',
    ],
)
def test_a_damaged_record_is_one_sentence(folder, project, content):
    project.close()
    (folder / "project.json").write_bytes(content)
    with pytest.raises(ProjectError, match=r"project\.json"):
        Project.open(folder)
    (folder / "project.json").write_text(project.record.model_dump_json())
    Project.open(folder).close()  # the lock was not kept


def test_the_record_before_the_last_change_is_kept(folder, project):
    before = project.record
    project.change(mode="objects")
    project.close()
    os.replace(folder / "project.json~", folder / "project.json")
    with Project.open(folder) as project:
        assert project.record == before


def test_an_older_record_is_brought_up_to_date(folder, project, monkeypatch):
    project.close()
    path = folder / "project.json"
    old = json.loads(path.read_text())
    old["schema_version"], old["title"] = 0, old.pop("name")
    path.write_text(json.dumps(old))

    def migrate(described):
        others = {name: described[name] for name in described if name != "title"}
        return {**others, "name": described["title"], "schema_version": 1}

    monkeypatch.setitem(record._MIGRATIONS, 0, migrate)
    with Project.open(folder) as project:
        assert project.record.name == "cells"


@pytest.mark.parametrize("name", ["log.txt", "project.json", "rounds", "images"])
def test_links_out_of_the_folder_are_refused(folder, project, tmp_path, name):
    project.close()
    outside = tmp_path / "outside"
    original = folder / name
    if original.exists():
        os.replace(original, outside)
    else:
        outside.mkdir()
    original.symlink_to(outside)
    with pytest.raises(ProjectError, match="is a link"):
        Project.open(folder)


def test_a_hidden_link_among_the_images_is_refused(folder, project, tmp_path):
    project.close()
    images = folder / "images"
    images.mkdir()
    (images / "cell.tif").symlink_to(tmp_path / "cell.tif")  # of a person, an image
    Project.open(folder).close()
    (images / ".cells.tif.part").symlink_to(tmp_path / "mine.txt")
    with pytest.raises(ProjectError, match=r"cells\.tif\.part is a link"):
        Project.open(folder)


def test_a_copy_is_never_written_through_a_link(project, image, tmp_path, monkeypatch):
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 2 * n)
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    images = project.path("images")
    images.mkdir()
    for name in (".cells.tif.part", f".cells.{'0' * 16}.part"):
        (images / name).symlink_to(mine)
    with pytest.raises(ProjectError, match=r"cells\.tif was not written"):
        project.add_image(image, copy=True)
    assert mine.read_text() == "mine"
    nowhere = tmp_path / "nowhere.tif"
    (images / image.name).symlink_to(nowhere)
    copied = project.add_image(image, copy=True)
    assert project.find(copied.number).name == "cells-2.tif"
    assert not nowhere.exists()


def test_copies_that_were_cut_off_are_swept(folder, project):
    project.close()
    images = folder / "images"
    (images / ".stack.0123456789abcdef.part").mkdir(parents=True)
    (images / ".stack.0123456789abcdef.part" / "0").touch()
    (images / ".cells.tif.part").touch()
    (images / "mine.part").touch()
    Project.open(folder).close()
    assert [path.name for path in images.iterdir()] == ["mine.part"]


@pytest.mark.parametrize("name", ["rounds", "images", "predictions", "thumbnails"])
def test_a_file_in_place_of_a_folder_is_one_sentence(folder, project, name):
    project.close()
    place = folder / name
    if place.is_dir():
        place.rmdir()
    place.touch()
    with pytest.raises(ProjectError, match="is a file where a project has a folder"):
        Project.open(folder)


def test_a_folder_that_may_not_be_read_is_one_sentence(folder, project, monkeypatch):
    project.close()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(ProjectError, match=r"into \(Permission denied"):
        Project.open(folder)


def test_leftovers_of_a_killed_program_are_swept(folder, project):
    project.close()
    leftover = folder / ".project.1a2b3c4d.json"
    leftover.write_text("half")
    kept = folder / ".mine"
    kept.touch()
    Project.open(folder).close()
    assert not leftover.exists()
    assert kept.exists()


def test_the_readme_s_script_needs_no_napari_unet(folder, image):
    tifffile = pytest.importorskip("tifffile")
    labels = {
        "strokes": strokes(200, (300, 600)),
        "objects": TiledLabels.of(np.asarray(strokes(7, (3, 300, 600))) * 100),
    }
    with Project.create(folder) as project:
        number = project.add_image(image).number
        for mode, painted in labels.items():
            project.save_annotation(number, mode, painted)
    text = (folder / "README.txt").read_text(encoding="utf-8")
    script = "\n".join(
        line[4:] for line in text.splitlines() if line.startswith("    ")
    )
    assert "napari_unet" not in script

    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)

    for mode, painted in labels.items():
        found = tifffile.imread(folder / f"{number}-{mode}.tif")
        np.testing.assert_array_equal(found, np.asarray(painted))


def test_the_page_names_what_the_readme_does():
    page = Path(__file__).parents[3] / "docs" / "projects.md"
    table = page.read_text(encoding="utf-8")
    lines = README.split("\n\n")[1].splitlines()
    assert len(lines) == 10
    for line in lines:
        assert f"| `{line.split()[0]}` |" in table


def test_the_log_tells_what_was_done(folder, project, image):
    project.add_image(image)
    lines = (folder / "log.txt").read_text().splitlines()
    assert lines[-1].endswith("added the image 1, 'cells.tif'")
    datetime.fromisoformat(lines[-1].split()[0])


# --- rounds ------------------------------------------------------------------------


def add_round(project, iou=None, n_bytes=1000):
    def save(path):
        path.write_bytes(bytes(n_bytes))

    scores = {} if iou is None else {"instant": Score(iou, {1: iou}, n_px=10)}
    return project.rounds.add(save, {"chosen": "instant", "scores": scores})


def test_rounds_come_back(folder, project):
    first, second = add_round(project, 0.8), add_round(project)
    project.rounds.change(first.number, note="before the border strokes")
    project.close()
    with Project.open(folder) as project:
        assert [r.number for r in project.rounds] == [first.number, second.number]
        assert project.rounds.get(first.number).note == "before the border strokes"
        assert project.rounds.get(first.number).mean_iou == 0.8
        assert project.rounds.newest == second
        assert project.rounds.n_bytes == 2000


def test_a_round_that_could_not_be_saved_is_none(project):
    def fail(path):
        raise ProjectError("the disk is full")

    with pytest.raises(ProjectError, match="full"):
        project.rounds.add(fail, {"chosen": "instant"})
    assert len(project.rounds) == 0
    assert add_round(project).number == 1


def test_a_round_without_a_folder_to_go_to_is_one_sentence(project):
    project.path("rounds").write_text("a file")
    with pytest.raises(ProjectError, match="not written"):
        add_round(project)
    assert len(project.rounds) == 0


def test_old_rounds_make_room_but_not_the_best_nor_those_pinned(project):
    numbers = [add_round(project, iou).number for iou in (0.5, 0.9, 0.6, 0.7, 0.8)]
    project.rounds.change(numbers[2], is_pinned=True)

    assert project.rounds.prune(3500) == [numbers[0], numbers[3]]
    assert project.rounds.prune(10) == []
    left = [r.number for r in project.rounds]
    assert left == [numbers[1], numbers[2], numbers[4]]
    files = {path.name for path in project.path("rounds").glob("*.safetensors")}
    assert files == {project.rounds.model(number).name for number in left}


def test_a_number_is_not_given_again_while_a_later_round_is_there(project):
    numbers = [add_round(project).number for _ in range(3)]
    project.rounds.delete(numbers[1])
    assert add_round(project).number == numbers[2] + 1


def test_a_round_whose_model_is_gone_is_left_out(folder, project):
    first, second = add_round(project), add_round(project)
    project.rounds.model(first.number).unlink()
    project.close()
    with Project.open(folder) as project:
        assert [r.number for r in project.rounds] == [second.number]


@pytest.mark.parametrize("content", ["", "[]", ROUND % 0, ROUND % 10**300, "{" * 99])
def test_a_damaged_table_of_rounds_is_one_sentence(folder, project, content):
    add_round(project)
    project.close()
    project.path("rounds", "rounds.json").write_text(content)
    with pytest.raises(ProjectError, match=r"rounds\.json is damaged"):
        Project.open(folder)


def test_a_record_that_somebody_changed_meanwhile_is_kept_beside(folder, project):
    path = folder / "project.json"
    path.write_text(path.read_text().replace('"cells"', '"renamed by hand"'))
    project.change(mode="objects")
    project.close()

    (kept,) = folder.glob("project-from-outside-*.json")
    assert "renamed by hand" in kept.read_text()
    with Project.open(folder) as project:
        assert project.record.mode == "objects"


def test_a_clock_that_goes_backwards_changes_nothing(
    folder, project, image, monkeypatch
):
    import napari_unet.project.annotations as annotations
    import napari_unet.project.rounds as rounds

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1999, 12, 31, 23, 59)

    number = project.add_image(image).number
    project.save_annotation(number, "strokes", strokes())
    first = add_round(project)
    for module in (annotations, rounds):
        monkeypatch.setattr(module, "datetime", Earlier)
    project.save_annotation(number, "strokes", strokes(2))
    second = add_round(project)
    project.close()

    with Project.open(folder) as project:
        assert project.annotation(number, "strokes").is_same(strokes(2))
        assert project.rounds.newest.number == second.number == first.number + 1


# --- for those who only look -------------------------------------------------------


def test_who_has_it_open_is_said_to_those_who_only_look(folder, project):
    assert f"process {os.getpid()}" in ProjectLock(folder).holder()
    project.close()
    assert ProjectLock(folder).holder() is None


def test_the_note_of_a_killed_process_is_no_holder(folder, project):
    note = (folder / "lock-holder.json").read_text()
    project.close()
    (folder / "lock-holder.json").write_text(note)
    assert ProjectLock(folder).holder() is None
    assert not (folder / "lock-holder.json").exists()


def test_a_folder_is_free_or_not_before_anything_is_made(folder, tmp_path):
    check_free(folder)
    assert not folder.exists()
    (tmp_path / "mine.txt").touch()
    with pytest.raises(ProjectError, match="not empty"):
        check_free(tmp_path)
    with pytest.raises(ProjectError, match=r"mine\.txt"):
        check_free(tmp_path / "mine.txt")


def test_predictions_have_a_folder_in_which_nothing_leads_out(folder, project):
    place = predictions_folder(folder)
    assert place == folder / "predictions"
    assert predictions_folder(folder).is_dir()
    (place / "1-labels.tif").symlink_to(folder.parent)
    with pytest.raises(ProjectError, match="is a link"):
        predictions_folder(folder)
