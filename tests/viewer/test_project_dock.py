"""The dock *Project*: its lists, going from image to image, learning from all."""

import numpy as np
import pytest
import tifffile

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.jobs import Score
from napari_unet.project import Project
from napari_unet.widgets.project import ProjectDock


@pytest.fixture
def files(tmp_path, blobs):
    """Four images in files, the third RGB."""
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(1, 5):
        image = np.roll(blobs, 3 * n, axis=1)
        image = np.stack([image] * 3, -1) if n == 3 else image
        tifffile.imwrite(folder / f"cell{n}.tif", image)
    return sorted(folder.iterdir())


@pytest.fixture
def folder(tmp_path, files):
    """A project of the four images; strokes of both classes on the first two."""
    strokes = np.zeros((96, 128), np.uint8)
    strokes[30, 30:34], strokes[10, 70:74] = 2, 1
    with Project.create(tmp_path / "cells.unet-project") as project:
        for path in files:
            project.add_image(path)
        for number in (1, 2):
            project.save_annotation(number, "strokes", TiledLabels.of(strokes))
        for n in (1, 2):
            score = Score(0.9 - 0.2 * n, {}, {}, 400 + n, 8)
            facts = {"chosen": "instant", "scores": {"instant": score}, "step": 30 * n}
            project.rounds.add(lambda p, n=n: p.write_bytes(b"m" * n), facts)
    return tmp_path / "cells.unet-project"


@pytest.fixture
def with_dock(open_dock):
    """Return a function that opens both docks with the fake job."""

    def make(live=None):
        case = open_dock(live)
        case.project = ProjectDock(case.viewer)
        case.viewer.window.add_dock_widget(case.project, name="Project")
        return case

    return make


@pytest.fixture
def opened(with_dock, folder, qtbot):
    """Both docks, with the project open and listed."""
    case = with_dock()
    case.project.open_project(folder)
    wait_until_quiet(case, qtbot, n_images=4)
    return case


def wait_until_quiet(case, qtbot, n_images):
    keeper = case.state.project

    def is_quiet():
        rows = case.project.images.rows
        is_listed = len(rows) == n_images and all(r.n_px is not None for r in rows)
        return is_listed and keeper._desk.is_idle and not keeper._bridge.is_running

    qtbot.waitUntil(is_quiet, timeout=20_000)


def go_to(case, qtbot, number):
    """Wait until an image is current and can be painted on."""

    def is_there():
        entry = case.state.book.current
        is_it = case.state.opener.current == number
        return is_it and entry.annotation is not None

    qtbot.waitUntil(is_there, timeout=20_000)
    return case.state.book.current


def badges(case):
    return [row.badge for row in case.project.images.rows]


def told(case):
    """Return what the loop was told and not to forget: key -> annotation."""
    images = {}
    for name, *args in case.live.inbox.log:
        if name == "annotate":
            images[args[0]] = args[2]
        elif name == "forget":
            images.pop(args[0], None)
    return images


def test_without_a_project_there_are_two_buttons(with_dock, qtbot):
    dock = with_dock().project
    assert dock.start.isVisibleTo(dock)
    assert not dock.work.isVisibleTo(dock)
    assert dock.start.make.isEnabled()
    assert dock.start.open.isEnabled()
    assert dock.start.recent == []


def test_a_project_is_made_and_takes_along_what_was_painted(
    with_dock, blobs, qtbot, tmp_path
):
    from conftest import paint_both

    case = with_dock()
    case.viewer.add_image(blobs, name="blobs")
    layer = case.state.book.new_annotation()
    paint_both(layer)
    qtbot.waitUntil(lambda: case.state.project.saved_s is not None)
    case.project.make_project(tmp_path / "mine")
    wait_until_quiet(case, qtbot, n_images=1)
    assert case.project.head.name.text() == "mine"
    assert badges(case) == ["annotated"]
    assert case.project.images.rows[0].n_px == np.count_nonzero(layer.data)
    with Project.open(tmp_path / "mine.unet-project", is_read_only=True) as project:
        assert project.annotation(1, "strokes").any()


def test_images_are_listed_with_status_and_thumbnail(opened, folder):
    dock = opened.project
    assert badges(opened) == ["annotated", "annotated", "todo", "todo"]
    assert [row.n_px for row in dock.images.rows] == [8, 8, 0, 0]
    assert dock.images.summary.text() == "0 of 4 images done, 2 painted"
    pictures = sorted((folder / "thumbnails").iterdir())
    assert [p.name for p in pictures] == ["1.png", "2.png", "3.png", "4.png"]
    dock.images.filter.setCurrentIndex(1)
    assert [row.number for row in dock.images.list.rows] == [3, 4]
    dock.images.filter.setCurrentIndex(0)
    dock.images.search.setText("CELL4")
    assert [row.number for row in dock.images.list.rows] == [4]


def test_all_annotated_images_are_learned_from_without_being_opened(opened, qtbot):
    qtbot.waitUntil(lambda: opened.live.inboxes != [])
    keys = {"project image 1", "project image 2"}
    qtbot.waitUntil(lambda: set(told(opened)) == keys)
    assert len(opened.viewer.layers) == 0
    assert np.count_nonzero(told(opened)["project image 2"]) == 8
    assert opened.state.can_learn


def test_an_image_that_is_opened_is_learned_from_once(opened, qtbot):
    opened.project.images.open_wanted.emit(2)
    entry = go_to(opened, qtbot, 2)
    assert np.count_nonzero(entry.annotation.data) == 8
    keys = {"project image 1", entry.key}
    qtbot.waitUntil(lambda: set(told(opened)) == keys)


def test_the_next_image_comes_and_the_one_before_goes_on_being_learned_from(
    opened, qtbot, folder
):
    state = opened.state
    opened.project.images.next.click()
    first = go_to(opened, qtbot, 3)  # the first without strokes
    assert first.image.rgb
    first.annotation.paint((50, 50), 2)
    first.annotation.paint((5, 5), 1)
    state.opener.open_next()
    go_to(opened, qtbot, 4)
    names = [layer.name for layer in opened.viewer.layers]
    assert names[0] == "cell4"
    assert not any(name.startswith("cell3") for name in names)
    keys = {f"project image {n}" for n in (1, 2, 3)}
    qtbot.waitUntil(lambda: keys <= set(told(opened)))
    project = state.project.project
    qtbot.waitUntil(lambda: project.record.image(3).status != "todo")
    assert project.annotation(3, "strokes").any()


def test_what_was_painted_is_there_again_when_one_comes_back(opened, qtbot):
    opened.project.images.open_wanted.emit(1)
    layer = go_to(opened, qtbot, 1).annotation
    layer.paint((80, 20), 2)
    before = layer.data.copy()
    opened.project.images.open_wanted.emit(4)
    go_to(opened, qtbot, 4)
    opened.project.images.open_wanted.emit(1)
    entry = go_to(opened, qtbot, 1)
    assert entry.annotation is not layer
    np.testing.assert_array_equal(entry.annotation.data, before)
    store = opened.state.project.project.annotations
    assert {name for number, name in store.layers() if number == 1} == {"strokes"}


def test_done_is_passed_over_and_undone(opened, qtbot):
    dock, project = opened.project, opened.state.project.project
    dock.images.list.choose(3, only=True)
    dock.images.done.click()
    qtbot.waitUntil(lambda: badges(opened)[2] == "done")
    assert project.record.next_unfinished().number == 4
    assert dock.undo.isVisibleTo(dock)
    dock.undo.button.click()
    qtbot.waitUntil(lambda: badges(opened)[2] == "todo")


def test_an_image_that_was_taken_out_comes_back_with_its_strokes(opened, qtbot):
    dock = opened.project
    qtbot.waitUntil(lambda: "project image 2" in told(opened))
    dock.images.list.choose(2, only=True)
    dock.images.remove.click()
    qtbot.waitUntil(lambda: len(dock.images.rows) == 3)
    qtbot.waitUntil(lambda: "project image 2" not in told(opened))
    dock.undo.button.click()
    wait_until_quiet(opened, qtbot, n_images=4)
    assert [row.number for row in dock.images.rows] == [1, 2, 3, 4]
    qtbot.waitUntil(lambda: "project image 2" in told(opened))


def test_missing_images_are_said_and_found_again(
    with_dock, folder, files, qtbot, tmp_path
):
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in files[:2]:
        path.rename(moved / path.name)
    case = with_dock()
    case.project.open_project(folder)
    wait_until_quiet(case, qtbot, n_images=4)
    assert badges(case)[:2] == ["missing", "missing"]
    said = case.project.note.text()
    assert "2 annotated images are not learned from" in said
    assert case.live.inboxes == [] or told(case) == {}

    case.project.images.list.choose(1, only=True)
    assert case.project.images.locate.isEnabled()
    assert not case.project.images.open.isEnabled()
    case.project.images.found.emit(1, moved / "cell1.tif")
    qtbot.waitUntil(lambda: badges(case)[:2] == ["annotated", "annotated"])
    keys = {"project image 1", "project image 2"}
    qtbot.waitUntil(lambda: case.live.inboxes != [] and set(told(case)) == keys)


def test_images_are_added_once(opened, files, qtbot, blobs):
    dock = opened.project
    tifffile.imwrite(files[0].with_name("cell10.tif"), blobs)
    dock.images.add_wanted.emit([files[0].parent])
    wait_until_quiet(opened, qtbot, n_images=5)
    assert dock.images.rows[-1].name == "cell10.tif"
    assert dock.undo.text.text() == "Added 1 image."
    dock.undo.button.click()
    qtbot.waitUntil(lambda: len(dock.images.rows) == 4)


def test_rounds_are_listed_deleted_and_brought_back(opened, qtbot, folder):
    dock = opened.project
    qtbot.waitUntil(lambda: len(dock.rounds.list.rows) == 2)
    newest, oldest = dock.rounds.list.rows
    assert (newest.number, oldest.is_best) == (2, True)
    assert oldest.score_text == "IoU 0.70 (n = 401 px)"
    model = folder / "rounds" / "round-0001.safetensors"
    dock.rounds.list.choose(1, only=True)
    dock.rounds.delete.click()
    qtbot.waitUntil(lambda: len(dock.rounds.list.rows) == 1)
    assert not model.exists()
    dock.undo.button.click()
    qtbot.waitUntil(lambda: len(dock.rounds.list.rows) == 2)
    assert model.read_bytes() == b"m"
    dock.rounds.list.choose(1, only=True)
    dock.rounds.pin.click()
    qtbot.waitUntil(lambda: dock.rounds.list.rows[1].is_pinned)


def test_going_back_loads_the_model_of_a_round_and_is_undone(opened, qtbot, folder):
    dock = opened.project
    qtbot.waitUntil(lambda: len(dock.rounds.list.rows) == 2)
    dock.rounds.back_wanted.emit(1)
    model = str(folder / "rounds" / "round-0001.safetensors")
    assert opened.live.inbox.calls("load")[-1] == (model,)
    dock.undo.button.click()
    model = str(folder / "rounds" / "round-0002.safetensors")
    assert opened.live.inbox.calls("load")[-1] == (model,)


def test_who_has_a_project_open_is_said(with_dock, folder, qtbot):
    case = with_dock()
    with Project.open(folder):
        case.project.open_project(folder)
        qtbot.waitUntil(lambda: "is open in" in case.project.note.text())
    assert case.project.start.isVisibleTo(case.project)


def test_a_project_that_was_open_is_offered_again(opened, with_dock, qtbot, folder):
    opened.state.project.close()
    dock = opened.project
    qtbot.waitUntil(lambda: dock.start.isVisibleTo(dock))
    qtbot.waitUntil(lambda: len(dock.start.recent) == 1)
    qtbot.waitUntil(lambda: told(opened) == {})
    dock.start.recent[0].click()
    wait_until_quiet(opened, qtbot, n_images=4)


def test_the_dock_closes_and_opens_again(opened, qtbot):
    window, dock = opened.viewer.window, opened.project
    window.remove_dock_widget(dock)
    opened.state.opener.toggle_done()  # says something; the dock does not hear it
    assert dock.note.text() == ""
    again = ProjectDock(opened.viewer)
    window.add_dock_widget(again, name="Project")
    qtbot.waitUntil(lambda: len(again.images.rows) == 4)


def test_in_another_mode_strokes_are_not_learned_from(opened, qtbot):
    qtbot.waitUntil(lambda: len(told(opened)) == 2)
    opened.state.set_mode("objects")
    assert told(opened) == {}
    opened.state.set_mode("strokes")
    qtbot.waitUntil(lambda: len(told(opened)) == 2)
