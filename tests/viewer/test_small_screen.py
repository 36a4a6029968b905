"""The dock fits 320 x 700 px also where it has most to show."""

from itertools import combinations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtWidgets import QApplication, QLabel, QPushButton

from napari_unet.jobs import Score, Scored
from napari_unet.session import CANDIDATE_NAMES
from napari_unet.widgets._open import open_dock


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
    session.say("The whole image was not predicted to its end; the rest stays. " * 2)
    return case


def test_objects_in_a_stack_fit(case, qtbot):
    dock = case.dock
    dock.refresh()
    QApplication.processEvents()
    assert dock.minimumSizeHint().height() <= 700
    assert dock.minimumSizeHint().width() <= 320
    # what has no room is told
    assert dock.message.text().endswith("…")
    assert dock.message.toolTip() == case.state.session.message
    assert case.state.session.reason in dock.learning.card.toolTip()
    # nothing lies over anything else
    pieces = [*dock.findChildren(QLabel), *dock.findChildren(QPushButton)]
    shown = [piece for piece in pieces if piece.isVisible() and piece.text()]
    assert len(shown) > 20
    places = [QRect(w.mapTo(dock, QPoint()), w.size()) for w in shown]
    overlaps = [
        (shown[a].text(), shown[b].text())
        for a, b in combinations(range(len(shown)), 2)
        if places[a].intersects(places[b])
    ]
    assert overlaps == []


def test_elsewhere_all_of_it_is_shown(case):
    dock = case.dock
    dock.refresh()
    dock.paint.strokes.click()
    case.state.objects.set_on(False)
    case.state.session.say("A sentence. " * 20)
    dock.refresh()
    QApplication.processEvents()
    assert dock.message.text() == case.state.session.message
    assert dock.message.toolTip() == ""
    assert dock.learning.reason.isVisible()
    assert dock.paint.between.text().startswith("Fill between planes")


def test_docks_of_napari_s_menu_share_one_stack_of_tabs(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    main, _ = viewer.window.add_plugin_dock_widget("napari-unet")
    docks = [main]
    for title in ("Project", "Proofread", "Measurements", "Learning curves"):
        # as the menus Layers and Plugins do it
        dock, _ = viewer.window.add_plugin_dock_widget("napari-unet", title)
        docks.append(dock)
    *beside, curves = docks
    qtbot.waitUntil(lambda: len(window.tabifiedDockWidgets(main)) == len(beside) - 1)
    below = Qt.DockWidgetArea.BottomDockWidgetArea
    qtbot.waitUntil(lambda: window.dockWidgetArea(curves) == below)
    assert window.minimumSizeHint().height() <= 800
    assert main.windowTitle() == "Interactive segmentation"
    (title,) = [i for i in main.titleBarWidget().findChildren(QLabel) if i.text()]
    assert title.text() == main.windowTitle()
    assert "Interactive segmentation (napari-unet)" in viewer.window.dock_widgets


def test_a_dock_that_was_moved_stays_there(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    window = viewer.window._qt_window
    viewer.window.add_plugin_dock_widget("napari-unet")
    dock, widget = viewer.window.add_plugin_dock_widget("napari-unet", "Proofread")
    qtbot.waitUntil(lambda: not widget._placing.isActive())
    left = Qt.DockWidgetArea.LeftDockWidgetArea
    window.addDockWidget(left, dock)
    open_dock(viewer, "Proofread")
    qtbot.wait(20)
    assert window.dockWidgetArea(dock) == left
