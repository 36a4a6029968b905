"""The dock fits 320 x 700 px also where it has most to show."""

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_unet.jobs import Score, Scored
from napari_unet.session import CANDIDATE_NAMES


@pytest.fixture
def case(painted, qtbot, tmp_path, blobs):
    """Objects in a stack, in a project, with scores, advice and a message."""
    case = painted(show=True, image=np.stack([blobs] * 5))
    case.viewer.window.resize(1280, 800)
    case.dock.paint.objects.click()
    layer = case.state.book.new_annotation()
    for plane in (0, 4):
        layer.data_setitem((np.array([plane] * 4), np.arange(4) + 30, np.arange(4)), 2)
        layer.data_setitem((np.array([plane] * 4), np.arange(4) + 80, np.arange(4)), 1)
    qtbot.waitUntil(lambda: case.state.can_learn)
    keeper = case.state.project
    keeper.create(tmp_path / "nuclei of the third plate.unet-project")
    qtbot.waitUntil(lambda: keeper.is_named and keeper.saved_s is not None)
    session = case.state.session
    score = Score(0.87, n_px=123_456, n_strokes=1_234)
    scores = dict.fromkeys(CANDIDATE_NAMES, score)
    reason = "The random forest scores higher, but does not count as clearly better."
    session.apply(Scored(scores, "fine-tuned+forest", reason, 50, 9.0, False))
    session.advice = "Strokes of 'object' come out as background: paint a few more. "
    session.say(
        "The prediction of the whole image was stopped; what is done stays. " * 2
    )
    return case


def test_objects_in_a_stack_fit(case, qtbot):
    dock = case.dock
    dock.refresh()
    QApplication.processEvents()
    for w in (
        dock.offer,
        dock.layers,
        dock.paint,
        dock.tip,
        dock.learning,
        dock.overlay,
        dock.message,
        dock.project,
    ):
        print(
            type(w).__name__,
            w.isVisible(),
            w.minimumSizeHint().height(),
            w.sizeHint().height(),
            w.geometry(),
        )
    print(dock.minimumSizeHint(), dock.size(), case.dock.window().size())
    case.viewer.window.screenshot("/tmp/w/y_left_small.png", flash=False)
    assert dock.minimumSizeHint().height() <= 700
