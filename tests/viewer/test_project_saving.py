import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_live import FakeLive

from napari_unet.jobs import LearningChanged, ModelSaved, StepDone
from napari_unet.project import Project


def projects_in(place):
    return sorted(place.iterdir()) if place.exists() else []


@pytest.fixture
def saved(painted, qtbot):
    """Return a function that opens, paints, and waits for the disk."""

    def make(**options):
        case = painted(**options)
        wait_until_saved(case, qtbot)
        return case

    return make


def wait_until_saved(case, qtbot):
    keeper = case.state.project
    qtbot.waitUntil(lambda: keeper.saved_s is not None and not keeper.has_unsaved)


def wait_until_on_disk(project, layer, qtbot):
    def is_there():
        return np.array_equal(np.asarray(project.annotation(1, "strokes")), layer.data)

    qtbot.waitUntil(is_there)


def test_strokes_are_saved_without_a_project(saved, unsaved_place):
    case = saved()
    (folder,) = projects_in(unsaved_place)
    with Project.open(folder, is_read_only=True) as project:
        found = project.annotation(1, "strokes")
    np.testing.assert_array_equal(np.asarray(found), case.layer.data)
    case.dock.refresh()
    assert case.dock.project.text.text().startswith("Saved ")


def test_nothing_is_made_before_a_stroke(open_dock, blobs, qtbot, unsaved_place):
    case = open_dock()
    case.viewer.add_image(blobs)
    case.state.book.new_annotation()
    qtbot.waitUntil(lambda: not case.state.project._bridge.is_running)
    qtbot.waitUntil(lambda: case.state.book.current.copy is not None)
    assert projects_in(unsaved_place) == []


def test_a_sample_s_own_strokes_make_no_project(open_dock, qtbot, unsaved_place):
    from napari_unet.widgets._samples import add_sample

    case = open_dock()
    add_sample(case.viewer, "nuclei")
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.state.project.flush()
    assert projects_in(unsaved_place) == []
    layer = case.state.book.current.annotation
    layer.paint((5, 5), 1)
    wait_until_saved(case, qtbot)
    assert len(projects_in(unsaved_place)) == 1


def test_each_stroke_and_undo_reaches_the_disk(saved, qtbot):
    case = saved()
    project = case.state.project.project

    def is_on_disk():
        found = project.annotation(1, "strokes")
        return np.array_equal(np.asarray(found), case.layer.data)

    case.layer.paint((80, 10), 2)
    assert not is_on_disk()
    qtbot.waitUntil(is_on_disk)
    case.layer.undo()
    assert not is_on_disk()
    qtbot.waitUntil(is_on_disk)


def test_the_last_stroke_is_saved_when_the_dock_closes(saved):
    case = saved()
    case.layer.paint((80, 10), 2)
    case.state.suspend()  # in the same moment
    found = case.state.project.project.annotation(1, "strokes")
    np.testing.assert_array_equal(np.asarray(found), case.layer.data)


def test_what_was_painted_without_a_project_is_offered_and_comes_back(
    saved, open_dock, blobs, qtbot
):
    first = saved()
    before = first.layer.data.copy()
    first.state.end()

    case = open_dock()
    case.viewer.add_image(blobs, name="the same again")
    keeper = case.state.project
    qtbot.waitUntil(lambda: keeper.offer is not None)
    case.dock.refresh()
    assert case.dock.offer.isVisibleTo(case.dock)
    n_px = np.count_nonzero(before)
    assert f"({n_px} px)" in case.dock.offer.text.text()

    case.dock.offer.bring.click()
    qtbot.waitUntil(lambda: case.state.book.current.annotation is not None)
    np.testing.assert_array_equal(case.state.book.current.annotation.data, before)
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.dock.refresh()
    assert not case.dock.offer.isVisibleTo(case.dock)


def test_an_offer_that_was_dismissed_does_not_come_again(
    saved, open_dock, blobs, qtbot, unsaved_place
):
    saved().state.end()
    case = open_dock()
    case.viewer.add_image(blobs)
    qtbot.waitUntil(lambda: case.state.project.offer is not None)
    case.dock.offer.dismiss.click()
    assert case.state.project.offer is None
    case.state.end()

    again = open_dock()
    again.viewer.add_image(blobs)
    qtbot.waitUntil(lambda: again.state.project._desk.is_idle)
    qtbot.waitUntil(lambda: not again.state.project._bridge.is_running)
    assert again.state.project.offer is None
    assert len(projects_in(unsaved_place)) == 1  # and it is still there


def test_strokes_go_on_in_the_layer_that_was_brought_back(
    saved, open_dock, blobs, qtbot, unsaved_place
):
    saved().state.end()
    case = open_dock()
    case.viewer.add_image(blobs)
    qtbot.waitUntil(lambda: case.state.project.offer is not None)
    case.state.project.bring_back()
    qtbot.waitUntil(lambda: case.state.book.current.annotation is not None)
    layer = case.state.book.current.annotation
    layer.paint((80, 10), 2)
    project = case.state.project.project
    wait_until_on_disk(project, layer, qtbot)
    assert list(project.annotations.layers()) == [(1, "strokes")]
    assert len(projects_in(unsaved_place)) == 1


def test_a_second_annotation_does_not_replace_the_first(saved, qtbot):
    case = saved()
    first = case.layer.data.copy()
    second = case.state.book.new_annotation()
    second.paint((80, 10), 2)
    project = case.state.project.project
    qtbot.waitUntil(lambda: len(project.annotations.layers()) == 2)
    kept = project.annotations.load(1, "strokes")
    np.testing.assert_array_equal(np.asarray(kept), first)
    named = {"strokes": "strokes 2"}
    qtbot.waitUntil(lambda: project.record.image(1).annotation == named)


def test_a_project_made_later_takes_along_what_was_painted(saved, qtbot, tmp_path):
    case = saved()
    folder = tmp_path / "cells.unet-project"
    case.state.project.create(folder)
    qtbot.waitUntil(lambda: case.state.project.is_named)
    case.layer.paint((80, 10), 2)
    project = case.state.project.project
    assert project.folder == folder
    assert project.record.name == "cells"
    wait_until_on_disk(project, case.layer, qtbot)
    wait_until_saved(case, qtbot)
    case.dock.refresh()
    assert case.dock.project.text.text().endswith("to cells.unet-project")


def test_a_full_disk_is_said_and_tried_again(saved, qtbot, monkeypatch):
    import sqlite3

    case = saved()
    keeper = case.state.project
    keeper._retry.setInterval(50)
    store = keeper.project.annotations
    put = store._put

    def full(*_args):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    monkeypatch.setattr(store, "_put", full)
    case.layer.paint((80, 10), 2)
    qtbot.waitUntil(lambda: keeper.problem != "")
    case.dock.refresh()
    assert "disk is full" in case.dock.project.text.text()
    assert case.dock.project.text.property("level") == "error"
    assert keeper.has_unsaved

    monkeypatch.setattr(store, "_put", put)
    qtbot.waitUntil(lambda: keeper.problem == "" and not keeper.has_unsaved)
    found = keeper.project.annotation(1, "strokes")
    np.testing.assert_array_equal(np.asarray(found), case.layer.data)


def test_a_pause_ends_a_round(painted, qtbot, tmp_path):
    live = FakeLive()
    case = painted(live)
    keeper = case.state.project
    keeper.create(tmp_path / "p")
    qtbot.waitUntil(lambda: keeper.is_named)

    case.state.apply(LearningChanged(True, ""))
    case.state.apply(StepDone(30, 0.5, 9.0, 3.0, 1))
    case.state.apply(LearningChanged(False, ""))
    qtbot.waitUntil(lambda: live.inbox.calls("save") != [])
    (path,) = live.inbox.calls("save")[0]
    Path(path).write_bytes(b"a model")
    case.state.apply(ModelSaved(path))

    rounds = keeper.project.rounds
    qtbot.waitUntil(lambda: len(rounds) == 1)
    assert rounds.newest.step == 30
    assert rounds.model(1).read_bytes() == b"a model"


def test_objects_and_their_complete_regions_come_back(
    open_dock, blobs, qtbot, tmp_path
):
    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    case.state.set_mode("objects")
    layer = case.state.book.new_annotation()
    layer.paint((30, 30), 2)
    layer.paint((60, 90), 3)
    shapes = case.state.book.complete_region()
    shapes.add([[10, 10], [10, 60], [55, 60], [55, 10]], shape_type="rectangle")
    wait_until_saved(case, qtbot)
    before = layer.data.copy()
    keeper = case.state.project
    keeper.create(tmp_path / "p")
    qtbot.waitUntil(lambda: keeper.is_named)
    case.state.end()

    again = open_dock()
    again.viewer.add_image(blobs, name="blobs")
    again.state.project.open(tmp_path / "p")
    qtbot.waitUntil(lambda: again.state.mode == "objects")
    qtbot.waitUntil(lambda: again.state.book.current.annotation is not None)
    entry = again.state.book.current
    np.testing.assert_array_equal(entry.annotation.data, before)
    assert entry.regions.n == 1
    qtbot.waitUntil(lambda: entry.complete is not None)
    assert np.asarray(entry.complete)[30, 30]


def test_class_names_and_settings_come_back(saved, open_dock, blobs, qtbot, tmp_path):
    case = saved()
    case.state.classes.rename(2, "nucleus")
    case.state.classes.recolour(2, "#123456")
    config = case.state.config.model_copy(update={"seed": 7})
    case.state.set_config(config)
    case.state.project.create(tmp_path / "p")
    qtbot.waitUntil(lambda: case.state.project.is_named)
    case.state.end()

    again = open_dock()
    again.state.project.open(tmp_path / "p")
    qtbot.waitUntil(lambda: again.state.project.project is not None)
    assert again.state.classes.get(2).name == "nucleus"
    assert again.state.classes.get(2).colour == "#123456"
    assert again.state.config == config


def test_a_folder_that_is_no_project_is_said(open_dock, qtbot, tmp_path):
    case = open_dock()
    case.state.project.open(tmp_path)
    qtbot.waitUntil(lambda: "is no project" in case.state.session.message)
    assert case.state.project.project is None


def test_the_newest_model_of_a_project_is_gone_on_with(open_dock, qtbot, tmp_path):
    with Project.create(tmp_path / "p") as project:
        for content in (b"old", b"new"):
            project.rounds.add(lambda p, c=content: p.write_bytes(c), {"chosen": "x"})
        newest = project.rounds.model(2)
    case = open_dock()
    case.state.project.open(tmp_path / "p")
    qtbot.waitUntil(lambda: case.live.inboxes != [])
    qtbot.waitUntil(lambda: case.live.inbox.calls("load") == [(str(newest),)])


def test_two_layers_of_equal_pixels_are_two_images(saved, blobs, qtbot):
    case = saved()
    first = case.layer
    twin = case.viewer.add_image(blobs.copy(), name="twin")
    case.state.book.choose(twin)
    second = case.state.book.new_annotation()
    second.paint((80, 10), 2)
    project = case.state.project.project
    qtbot.waitUntil(lambda: len(project.images) == 2)
    qtbot.waitUntil(lambda: project.annotation(2, "strokes") is not None)
    for number, layer in ((1, first), (2, second)):
        kept = project.annotation(number, "strokes")
        np.testing.assert_array_equal(np.asarray(kept), layer.data)


def test_a_project_goes_on_from_its_training(open_dock, qtbot, tmp_path):
    with Project.create(tmp_path / "p") as project:
        project.rounds.add(lambda path: path.write_bytes(b"model"), {"chosen": "x"})
        project.training_path.write_bytes(b"all of it")
        training = project.training_path
    case = open_dock()
    case.state.project.open(tmp_path / "p")
    qtbot.waitUntil(lambda: case.live.inboxes != [])
    qtbot.waitUntil(lambda: case.live.inbox.calls("load") == [(str(training),)])


class BrokenStack:
    """Its last plane cannot be read; another one is shown."""

    shape, dtype, ndim, size = (3, 96, 128), np.dtype(np.uint8), 3, 3 * 96 * 128

    def __getitem__(self, where):
        first = where[0] if isinstance(where, tuple) else where
        if np.any(np.arange(3)[first] == 2):
            raise OSError(5, "Input/output error")
        return np.zeros(self.shape, np.uint8)[where]


def test_strokes_on_an_image_that_cannot_be_read_are_saved(open_dock, qtbot):
    case = open_dock()
    case.viewer.add_image(BrokenStack(), name="broken", contrast_limits=(0, 1))
    layer = case.state.book.new_annotation()
    layer.paint((0, 30, 30), 2)
    wait_until_saved(case, qtbot)
    keeper = case.state.project
    assert keeper.problem == ""
    kept = np.asarray(keeper.project.annotation(1, "strokes"))
    np.testing.assert_array_equal(kept, layer.data)


def test_a_folder_that_was_deleted_is_there_again_when_the_dock_closes(saved):
    case = saved()
    project = case.state.project.project
    shutil.rmtree(project.folder)
    case.state.suspend()
    with Project.open(project.folder, is_read_only=True) as again:
        found = np.asarray(again.annotation(1, "strokes"))
    np.testing.assert_array_equal(found, case.layer.data)


def test_a_round_brings_back_a_folder_that_was_deleted(painted, qtbot, tmp_path):
    live = FakeLive()
    case = painted(live)
    keeper = case.state.project
    keeper.create(tmp_path / "p")
    qtbot.waitUntil(lambda: keeper.is_named)
    wait_until_saved(case, qtbot)
    # again where something was just being written there
    qtbot.waitUntil(
        lambda: (
            shutil.rmtree(tmp_path / "p", ignore_errors=True)
            or not (tmp_path / "p").exists()
        )
    )

    case.state.apply(StepDone(30, 0.5, 9.0, 3.0, 1))
    case.state.apply(LearningChanged(False, ""))
    ((path,),) = live.inbox.calls("save")[:1]
    Path(path).write_bytes(b"a model")
    case.state.apply(ModelSaved(path))

    qtbot.waitUntil(lambda: len(keeper.project.rounds) == 1)
    wait_until_saved(case, qtbot)
    with Project.open(tmp_path / "p", is_read_only=True) as again:
        found = np.asarray(again.annotation(1, "strokes"))
    np.testing.assert_array_equal(found, case.layer.data)


@pytest.mark.parametrize("is_gone", [False, True])
def test_the_last_stroke_is_saved_when_the_layers_go_first(saved, is_gone):
    """As in ``viewer.close()``, which removes them before the window closes."""
    case = saved()
    project, layer = case.state.project.project, case.layer
    if is_gone:
        shutil.rmtree(project.folder)
    layer.paint((80, 10), 2)
    case.viewer.layers.remove("blobs")
    case.viewer.layers.remove("blobs annotation")
    case.state.suspend()
    with Project.open(project.folder, is_read_only=True) as again:
        found = np.asarray(again.annotation(1, "strokes"))
    np.testing.assert_array_equal(found, layer.data)


# --- what belongs to what ------------------------------------------------------------


def other_image(seed):
    return np.random.default_rng(seed).integers(0, 200, (96, 128)).astype(np.uint8)


def test_strokes_that_come_back_stay_with_their_image(open_dock, qtbot, tmp_path):
    images = {"one": other_image(1), "two": other_image(2)}
    before = {}
    case = open_dock()
    for name, pixels in images.items():
        case.state.book.choose(case.viewer.add_image(pixels, name=name))
        layer = case.state.book.new_annotation()
        layer.paint((10 if name == "one" else 80, 20), 2)
        before[name] = layer.data.copy()
    wait_until_saved(case, qtbot)
    case.state.project.create(tmp_path / "p")
    qtbot.waitUntil(lambda: case.state.project.is_named)
    case.state.end()

    again = open_dock()
    again.state.project.open(tmp_path / "p")
    qtbot.waitUntil(lambda: again.state.project.project is not None)
    for name, pixels in images.items():  # the second is current when they come
        again.state.book.choose(again.viewer.add_image(pixels, name=name))
    entries = {str(entry.image.name): entry for entry in again.state.book}
    qtbot.waitUntil(lambda: all(e.annotation is not None for e in entries.values()))
    for name, entry in entries.items():
        np.testing.assert_array_equal(entry.annotation.data, before[name])


def test_what_was_painted_before_is_not_superseded_in_silence(
    saved, open_dock, blobs, qtbot, tmp_path
):
    first = saved()
    before = first.layer.data.copy()
    first.state.project.create(tmp_path / "p")
    qtbot.waitUntil(lambda: first.state.project.is_named)
    first.state.end()

    case = open_dock()
    case.viewer.add_image(blobs, name="blobs")
    mine = case.state.book.new_annotation()
    mine.paint((80, 10), 2)
    case.state.project.open(tmp_path / "p")
    qtbot.waitUntil(
        lambda: "was painted on this image before" in case.state.session.message
    )
    assert case.state.book.current.annotation is mine
    (kept,) = [i for i in case.state.book.annotation_choices() if i is not mine]
    np.testing.assert_array_equal(kept.data, before)


def test_a_stroke_goes_into_the_project_in_which_it_was_painted(saved, qtbot, tmp_path):
    case = saved()
    keeper = case.state.project
    Project.create(tmp_path / "other").close()
    keeper.create(tmp_path / "mine")
    qtbot.waitUntil(lambda: keeper.is_named)
    keeper.open(tmp_path / "other")  # under way when the stroke is handed over
    case.layer.paint((80, 10), 2)
    case.state.painting.take()
    qtbot.waitUntil(lambda: keeper.project.folder == tmp_path / "other")
    qtbot.waitUntil(lambda: not keeper.has_unsaved)
    case.state.end()
    with Project.open(tmp_path / "mine") as project:
        found = project.annotation(1, "strokes")
    np.testing.assert_array_equal(np.asarray(found), case.layer.data)


def test_one_image_that_cannot_be_saved_does_not_keep_others(saved, qtbot, monkeypatch):
    case = saved()
    keeper, project = case.state.project, case.state.project.project
    keeper._retry.setInterval(60_000)
    save = project.save_annotation

    def refuse_one(number, *args, **options):
        if number == 1:
            raise RuntimeError("of this image alone")
        return save(number, *args, **options)

    monkeypatch.setattr(project, "save_annotation", refuse_one)
    case.layer.paint((80, 10), 2)
    case.state.painting.take()
    other = case.viewer.add_image(other_image(3), name="other")
    case.state.book.choose(other)
    layer = case.state.book.new_annotation()
    layer.paint((50, 50), 1)
    case.state.painting.take()
    qtbot.waitUntil(lambda: len(project.images) == 2)
    qtbot.waitUntil(lambda: project.annotation(2, "strokes") is not None)
    assert keeper.has_unsaved
    qtbot.waitUntil(lambda: "of this image alone" in keeper.problem)


def test_a_second_project_begins_without_the_model_of_the_first(
    painted, qtbot, tmp_path
):
    live = FakeLive()
    case = painted(live)
    keeper = case.state.project
    Project.create(tmp_path / "other").close()
    keeper.create(tmp_path / "mine")
    qtbot.waitUntil(lambda: keeper.is_named)
    case.state.apply(LearningChanged(True, ""))
    case.state.apply(StepDone(30, 0.5, 9.0, 3.0, 1))
    keeper.open(tmp_path / "other")
    qtbot.waitUntil(lambda: keeper.project.folder == tmp_path / "other")
    assert live.inbox.calls("save")[0][0].startswith(str(tmp_path / "mine"))
    assert live.inbox.calls("reset") != []
    assert case.state.session.step == 0


def test_the_last_stroke_before_a_change_of_mode_is_saved(saved, qtbot):
    case = saved()
    project = case.state.project.project
    case.layer.paint((80, 10), 2)
    expected = case.layer.data.copy()
    case.state.set_mode("objects")
    qtbot.waitUntil(
        lambda: np.array_equal(np.asarray(project.annotation(1, "strokes")), expected)
    )


def test_class_names_of_strokes_survive_the_mode_of_objects(
    open_dock, blobs, qtbot, tmp_path
):
    from napari_unet.project import ClassEntry

    entries = (
        ClassEntry(value=1, name="ground", colour="#112233"),
        ClassEntry(value=2, name="nucleus", colour="#445566"),
    )
    Project.create(tmp_path / "p", mode="objects", classes=entries).close()
    case = open_dock()
    case.viewer.add_image(blobs)
    case.state.project.open(tmp_path / "p")
    qtbot.waitUntil(lambda: case.state.mode == "objects")
    assert case.state.classes.names == {1: "background", 2: "object"}
    case.state.set_mode("strokes")
    assert case.state.classes.names == {1: "ground", 2: "nucleus"}
    assert case.state.project.project.record.classes == entries


def test_layers_that_are_in_the_viewer_do_not_come_twice(saved, qtbot, tmp_path):
    case = saved()
    keeper, first = case.state.project, case.layer
    second = case.state.book.new_annotation()
    second.paint((80, 10), 2)
    qtbot.waitUntil(lambda: len(keeper.project.annotations.layers()) == 2)
    keeper.create(tmp_path / "p")
    recognised = []
    keeper.heard.connect(
        lambda event: recognised.append(event) if hasattr(event, "painted") else None
    )
    qtbot.waitUntil(lambda: recognised != [])
    assert case.state.book.annotation_choices() == [first, second]


def test_a_round_of_a_project_that_got_a_name_stays_with_it(saved, qtbot, tmp_path):
    case = saved()
    keeper, unnamed = case.state.project, case.state.project.project
    Project.create(tmp_path / "other").close()
    keeper.create(tmp_path / "mine")
    qtbot.waitUntil(lambda: keeper.is_named)
    keeper.open(tmp_path / "other")
    qtbot.waitUntil(lambda: keeper.project.folder == tmp_path / "other")
    pending = tmp_path / "model"
    pending.write_bytes(b"a model")
    keeper.keep_round(unnamed, pending, {"chosen": "instant"})
    qtbot.waitUntil(lambda: (tmp_path / "mine" / "rounds" / "rounds.json").exists())
    assert len(keeper.project.rounds) == 0


def test_what_changes_after_the_end_does_not_open_the_project_again(
    painted, qtbot, tmp_path
):
    case = painted()
    keeper = case.state.project
    keeper.create(tmp_path / "p")
    qtbot.waitUntil(lambda: keeper.is_named)
    case.state.end()
    case.state.classes.rename(2, "late")  # as a count that comes late
    qtbot.waitUntil(lambda: not keeper._bridge.is_running)
    with Project.open(tmp_path / "p") as project:
        assert "late" not in [entry.name for entry in project.record.classes]
