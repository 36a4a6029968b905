"""Images of a project that are read and listed on the worker; no window."""

import struct
from pathlib import Path

import dask.array
import napari_builtins
import numpy as np
import pytest
import tifffile
from npe2 import PluginManifest

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.core.channels import StackedChannels
from napari_unet.project import Project
from napari_unet.widgets import _project_actions as actions
from napari_unet.widgets import _project_reading as reading
from napari_unet.widgets._project_files import thumbnail
from napari_unet.widgets._project_others import _unread_text

N_BYTES = 64 * 64


@pytest.fixture
def project(tmp_path, npe2pm):
    """A project of four images of 4096 bytes; three are painted on."""
    own = Path(napari_builtins.__file__).with_name("builtins.yaml")
    npe2pm.register(PluginManifest.from_file(own))
    with Project.create(tmp_path / "p") as project:
        for number in range(1, 5):
            path = tmp_path / f"{number}.tif"
            tifffile.imwrite(path, np.full((64, 64), number, np.uint8))
            project.add_image(path, axes="YX", shape=(64, 64))
        for number in range(1, 4):
            labels = TiledLabels.of(np.eye(64, dtype=np.uint8))
            project.save_annotation(number, "strokes", labels)
        yield project


def room_for(n_bytes, monkeypatch):
    monkeypatch.setattr(reading, "available_memory_bytes", lambda: 4 * n_bytes)
    return reading.ReadingBudget()


def read(project, number, budget):
    (event,) = reading.read_image(project, number, "strokes", budget)
    return event


def test_each_reading_tells_how_it_ended(project, monkeypatch):
    budget = room_for(2**20, monkeypatch)
    nothing = TiledLabels.of(np.zeros((64, 64), np.uint8))
    project.save_annotation(2, "strokes", nothing)  # erased
    project.find(3).unlink()
    assert read(project, 1, budget).pixels.shape == (64, 64)
    assert read(project, 2, budget) == reading.ImageUnread(2, "2.tif", "strokes")
    assert "is not at" in read(project, 3, budget).why
    assert "no image 99" in read(project, 99, budget).why


def test_images_beyond_a_quarter_of_the_memory_are_not_read(project, monkeypatch):
    budget = room_for(int(2.5 * N_BYTES), monkeypatch)
    events = [read(project, number, budget) for number in (1, 2)]
    assert all(isinstance(event, reading.ImageRead) for event in events)

    def no_reading(*_args):
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(reading, "read_pixels", no_reading)
        assert read(project, 3, budget).is_too_large

    budget.give_back(1)
    assert isinstance(read(project, 3, budget), reading.ImageRead)


def test_what_is_larger_than_its_file_said_is_let_go(project, monkeypatch):
    budget = room_for(int(2.5 * N_BYTES), monkeypatch)
    large = np.zeros((64, 64), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(reading, "read_pixels", lambda *_: (large, "YX"))
        assert read(project, 1, budget).is_too_large
    assert budget.take(2, int(2.5 * N_BYTES))  # nothing is held


def test_an_image_that_does_not_fit_takes_no_memory(project, monkeypatch):
    budget = room_for(int(1.5 * N_BYTES), monkeypatch)
    tifffile.imwrite(project.find(1), np.zeros((64, 60), np.uint8))
    assert "(64, 60)" in read(project, 1, budget).why
    assert isinstance(read(project, 2, budget), reading.ImageRead)


def test_images_that_left_the_viewer_count_though_there_is_no_room(monkeypatch):
    budget = room_for(100, monkeypatch)
    budget.note(1, 1000)
    assert not budget.take(2, 1)
    assert budget.take(3, 0)  # read by the tile
    budget.give_back(1)
    assert budget.take(2, 100)


def test_only_what_is_in_memory_is_counted(tmp_path):
    array = np.zeros((3, 8, 8), np.uint16)
    assert reading.held_bytes(array) == 384
    assert reading.held_bytes(array[0]) == 384  # the rest of it stays as well
    assert reading.held_bytes(StackedChannels([array[0], array[1]])) == 384
    assert reading.held_bytes(dask.array.zeros((8, 8))) == 0
    mapped = np.memmap(tmp_path / "m", np.uint8, "w+", shape=(8, 8))
    assert reading.held_bytes(mapped[:4]) == 0


def test_one_sentence_names_the_images_that_are_too_large():
    large = [
        reading.ImageUnread(n, f"{n}.tif", "strokes", is_too_large=True)
        for n in range(7)
    ]
    assert _unread_text(large) == (
        "Not learned from until they are opened, because memory is short: '0.tif', "
        "'1.tif', '2.tif', '3.tif', '4.tif' and 2 more."
    )
    blank = reading.ImageUnread(8, "8.tif", "strokes")
    assert _unread_text([blank]) == ""
    gone = reading.ImageUnread(9, "9.tif", "strokes", "it is gone")
    assert _unread_text([gone, blank, large[0]]) == (
        "One annotated image is not learned from: it is gone. Not learned from until "
        "it is opened, because memory is short: '0.tif'."
    )


# --- lists -------------------------------------------------------------------------


def undone(project, events):
    (undo,) = [event.undo for event in events if isinstance(event, actions.Did)]
    list(undo(project))


@pytest.mark.parametrize("action", ["remove", "done", "add", "relocate"])
def test_what_is_done_to_many_images_is_written_once(
    project, tmp_path, monkeypatch, action
):
    before = project.record
    if action == "relocate":
        (tmp_path / "elsewhere").mkdir()
        for number in range(1, 5):
            name = f"{number}.tif"
            (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    if action == "add":
        for name in ("5.tif", "6.tif"):
            (tmp_path / name).touch()
    jobs = {
        "remove": lambda: actions.remove_images(project, (1, 2, 3)),
        "done": lambda: actions.set_done(project, (1, 2, 3), True),
        "add": lambda: actions.add_images(
            project, [tmp_path / "5.tif", tmp_path / "6.tif"]
        ),
        "relocate": lambda: actions.relocate(
            project, 1, tmp_path / "elsewhere" / "1.tif"
        ),
    }
    written, write = [], Project._write

    def count(project, record):
        written.append(record)
        write(project, record)

    monkeypatch.setattr(Project, "_write", count)

    events = list(jobs[action]())

    assert len(written) == 1
    if action == "relocate":
        assert project.find(4) == tmp_path / "elsewhere" / "4.tif"
    undone(project, events)
    assert len(written) == 2
    if action == "add":
        assert project.images == before.images
    else:
        assert project.record == before


# --- thumbnails --------------------------------------------------------------------


def huge_png():
    head = struct.pack(">8sI4sII", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", 60_000, 60_000)
    return head + bytes(100)


@pytest.mark.parametrize("found", [bytes(10_000_000), huge_png(), b"", b"text" * 99])
def test_a_stranger_s_large_thumbnail_is_made_anew(project, found):
    made = thumbnail(project, 1)
    kept = project.path("thumbnails", "1.png")
    assert kept.read_bytes() == made
    kept.write_bytes(found)
    assert thumbnail(project, 1) == made == kept.read_bytes()


def test_a_thumbnail_that_is_kept_is_not_made_anew(project, monkeypatch):
    made = thumbnail(project, 1)
    monkeypatch.delattr("napari_unet.widgets._project_files.read_pixels")
    assert thumbnail(project, 1) == made


def test_without_a_next_image_it_says_what_is_true(project):
    def found(after):
        (event,) = reading.find_image(project, None, after, frozenset())
        return event

    assert found(1).image.number == 4  # nothing is painted on it
    project.change_images({number: {"is_done": True} for number in (2, 3, 4)})
    assert found(1).message == "Every other image is done."
    project.remove_images(2, 3, 4)
    assert found(1).message.startswith("The project has no other image")
