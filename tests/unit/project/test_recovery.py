import os
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pytest

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import ProjectError
from napari_unet.project import Project
from napari_unet.project.recovery import find_unsaved, forget_old, new_unsaved

LATER = datetime.now() + timedelta(days=100)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "unsaved"


def labels():
    return TiledLabels.of(np.eye(40, dtype=np.uint8))


def paint(project):
    image = project.add_image(None, name="cells", fingerprint="abc")
    project.save_annotation(image.number, "strokes", labels())


def everything(folder):
    """When each file was written; empty journals, which SQLite makes, are nothing."""
    files = [p for p in folder.iterdir() if not p.name.endswith(("-wal", "-shm"))]
    return {file.name: file.stat().st_mtime_ns for file in files}


def test_what_was_painted_without_a_project_is_found_and_left_as_it_is(place):
    with new_unsaved(place, "cells") as project:
        paint(project)
    before = everything(project.folder)

    found = find_unsaved(place, "abc")

    assert found.folder == project.folder
    assert found.n_px == 40
    assert everything(project.folder) == before
    assert find_unsaved(place, "another") is None
    found.dismiss()
    assert find_unsaved(place, "abc") is None


def test_what_is_open_is_left_alone(place):
    with new_unsaved(place, "cells") as project:
        paint(project)
        assert find_unsaved(place, "abc") is None
    assert find_unsaved(place, "abc") is not None


def test_what_a_killed_program_painted_last_is_found(place):
    code = (
        "import os, sys; from pathlib import Path; import numpy as np\n"
        "from napari_unet.annotation.tiled import TiledLabels\n"
        "from napari_unet.project.recovery import new_unsaved\n"
        f"project = new_unsaved(Path({str(place)!r}), 'cells')\n"
        "image = project.add_image(None, name='cells', fingerprint='abc')\n"
        "labels = TiledLabels.of(np.eye(40, dtype=np.uint8))\n"
        "project.save_annotation(image.number, 'strokes', labels)\n"
        "os._exit(9)"
    )
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == 9

    found = find_unsaved(place, "abc")

    assert found.n_px == 40
    with Project.open(found.folder) as project:
        assert project.annotation(1, "strokes").is_same(labels())


@pytest.mark.parametrize("harm", ["record", "database", "link", "folder"])
def test_a_bad_project_does_not_hide_the_others(place, harm, tmp_path):
    with new_unsaved(place, "a good one") as good:
        paint(good)
    with new_unsaved(place, "b bad one") as bad:
        paint(bad)
    if harm == "record":
        bad.path("project.json").write_text("{")
    elif harm == "database":
        bad.path("annotations.sqlite").write_bytes(b"no database" * 999)
    elif harm == "link":
        bad.path("annotations.sqlite").unlink()
        bad.path("annotations.sqlite").symlink_to(tmp_path / "nowhere")
    else:
        bad.path("annotations.sqlite").unlink()
        bad.path("annotations.sqlite").mkdir()
    assert find_unsaved(place, "abc").folder == good.folder
    assert set(forget_old(place, LATER)) == {good.folder, bad.folder}


def test_a_folder_that_may_not_be_read_does_not_hide_the_others(place, monkeypatch):
    with new_unsaved(place, "a good one") as good:
        paint(good)
    with new_unsaved(place, "b bad one") as bad:
        paint(bad)
    stat, iterate = type(place).stat, type(place).iterdir

    def refuse(path):
        if path == bad.folder or bad.folder in path.parents:
            raise PermissionError(13, "Permission denied", str(path))

    def refusing_stat(path, **options):
        refuse(path)
        return stat(path, **options)

    def refusing_iterdir(path):
        refuse(path)
        return iterate(path)

    monkeypatch.setattr(type(place), "iterdir", refusing_iterdir)
    assert forget_old(place) == []
    assert forget_old(place, LATER) == [good.folder]
    with new_unsaved(place, "a good one") as good:
        paint(good)
    monkeypatch.setattr(type(place), "stat", refusing_stat)
    assert find_unsaved(place, "abc").folder == good.folder
    with pytest.raises(ProjectError, match=r"into \(Permission denied"):
        Project.open(bad.folder)


def test_a_place_that_is_not_there_holds_nothing(place):
    assert find_unsaved(place, "abc") is None
    assert forget_old(place) == []
