"""Rounds that are deleted can be brought back until the project closes."""

import pytest

from napari_unet.errors import ProjectError
from napari_unet.project import Project


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path / "p") as project:
        for n in (1, 2):
            project.rounds.add(lambda p, n=n: p.write_bytes(b"m" * n), {"chosen": "x"})
        yield project


def test_a_round_comes_back_as_it_was(project):
    before = list(project.rounds)
    project.rounds.set_aside(2)
    assert [kept.number for kept in project.rounds] == [1]
    project.rounds.bring_back(2)
    assert list(project.rounds) == before
    assert project.rounds.model(2).read_bytes() == b"mm"


def test_a_new_round_does_not_take_the_number_of_one_set_aside(project):
    project.rounds.set_aside(2)
    new = project.rounds.add(lambda p: p.write_bytes(b"new"), {"chosen": "x"})
    assert new.number == 3
    project.rounds.bring_back(2)
    assert [kept.number for kept in project.rounds] == [1, 2, 3]


def test_what_was_set_aside_is_gone_when_the_project_closes(project):
    project.rounds.set_aside(1)
    project.close()
    files = sorted(path.name for path in (project.folder / "rounds").iterdir())
    assert files == ["round-0002.safetensors", "rounds.json"]


def test_what_was_never_set_aside_cannot_come_back(project):
    with pytest.raises(ProjectError, match="gone for good"):
        project.rounds.bring_back(1)


def test_a_killed_program_leaves_no_model_behind(project):
    project.rounds.set_aside(1)
    (aside,) = (project.folder / "rounds").glob(".round-0001.*")
    project._lock.release()  # as the system does when a process ends
    with Project.open(project.folder):
        assert not aside.exists()


def test_images_that_are_missing_are_passed_over(tmp_path):
    with Project.create(tmp_path / "p") as project:
        for n in (1, 2, 3):
            project.add_image(tmp_path / f"{n}.tif")
        assert project.record.next_unfinished(1).number == 2
        assert project.record.next_unfinished(1, without={2}).number == 3
        assert project.record.next_unfinished(1, without={2, 3}) is None


def test_of_equal_images_the_one_of_this_file_is_found(tmp_path):
    with Project.create(tmp_path / "p") as project:
        first = project.add_image(tmp_path / "a.tif", fingerprint="same")
        second = project.add_image(tmp_path / "b.tif", fingerprint="same")
        third = project.add_image(tmp_path / "c.tif")
        for image, name in ((first, "a"), (second, "b"), (third, "c")):
            path = tmp_path / f"{name}.tif"
            assert project.find_image(path, "same", name).number == image.number
