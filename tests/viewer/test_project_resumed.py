"""What a project opens with: the object size, and the round that was gone back to."""

import numpy as np
import pytest

from napari_unet.jobs import LearningChanged, ScalesChanged, StepDone
from napari_unet.project import Project
from napari_unet.widgets import _desk_known
from napari_unet.widgets._desk_events import ImageFacts


@pytest.fixture
def folder(tmp_path):
    """A project with two rounds, and the training that came after them."""
    with Project.create(tmp_path / "p") as project:
        for n in (1, 2):
            facts = {"chosen": "instant", "step": 30 * n}
            project.rounds.add(lambda p, n=n: p.write_bytes(b"m" * n), facts)
        project.training_path.write_bytes(b"all of it")
    return tmp_path / "p"


@pytest.fixture
def reopened(open_dock, folder, qtbot):
    """Return a function that opens the dock, and the project in it."""

    def make():
        case = open_dock()
        case.state.project.open(folder)
        qtbot.waitUntil(lambda: case.state.project.is_named)
        qtbot.waitUntil(lambda: case.live.inboxes != [])
        return case

    return make


def record(case):
    return case.state.project.project.record


def test_the_object_size_comes_back(reopened, qtbot):
    case = reopened()
    case.state.set_scales(3)
    qtbot.waitUntil(lambda: record(case).learner.instant.n_scales == 3)
    case.state.end()
    again = reopened()
    assert again.state.n_scales == 3
    assert again.live.inbox.calls("set_scales")[-1] == (3,)
    again.dock.refresh()
    assert again.dock.layers.objects.currentText() == "larger than 200 px"


def test_the_size_is_that_of_a_round_that_is_gone_back_to(reopened, qtbot):
    case = reopened()
    case.state.set_scales(3)
    case.state.rounds.go_back(1)
    case.state.live.bridge.received.emit(ScalesChanged(2))
    qtbot.waitUntil(lambda: case.state.n_scales == 2)
    qtbot.waitUntil(lambda: record(case).learner.instant.n_scales == 2)


def test_who_went_back_to_a_round_opens_it_the_next_time(reopened, qtbot, folder):
    case = reopened()
    training = str(folder / "training.safetensors")
    assert case.live.inbox.calls("load") == [(training,)]
    case.state.rounds.go_back(1)
    qtbot.waitUntil(lambda: record(case).round_in_use == 1)
    case.state.end()
    again = reopened()
    first = str(folder / "rounds" / "round-0001.safetensors")
    assert again.live.inbox.calls("load") == [(first,)]
    assert again.state.rounds.in_use == 1
    # what is learned from there is the newest again
    again.state.apply(LearningChanged(True, ""))
    again.state.apply(StepDone(40, 0.1, 1.0, 1.0, 1))
    again.state.apply(LearningChanged(False, ""))
    qtbot.waitUntil(lambda: record(again).round_in_use is None)


def test_a_training_without_a_round_is_gone_on_with(open_dock, qtbot, tmp_path):
    """As `project train` leaves it that is killed in its first minutes."""
    with Project.create(tmp_path / "q") as project:
        project.training_path.write_bytes(b"all of it")
        path = str(project.training_path)
    case = open_dock()
    case.state.project.open(tmp_path / "q")
    qtbot.waitUntil(lambda: case.live.inboxes != [])
    assert case.live.inbox.calls("load") == [(path,)]


def test_another_array_in_a_layer_is_another_image(monkeypatch):
    known, made = _desk_known.KnownImages(), []
    fingerprint = _desk_known.fingerprint

    def counted(stack):
        made.append(stack)
        return fingerprint(stack)

    monkeypatch.setattr(_desk_known, "fingerprint", counted)
    first, second = np.zeros((8, 8), np.uint8), np.ones((8, 8), np.uint8)
    prints = [
        known.print_of(ImageFacts("key", "name", pixels, "YX", (8, 8)))
        for pixels in (first, first, second, second)
    ]
    assert prints[0] == prints[1] != prints[2] == prints[3]
    assert len(made) == 2
