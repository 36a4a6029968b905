"""At 320 px nothing is cut without a sign: it wraps, or has "…" and a tooltip."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QLabel, QPushButton

from napari_unet.jobs import Score, Scored
from napari_unet.session import CANDIDATE_NAMES
from napari_unet.widgets._classes import Counted
from napari_unet.widgets._eliding import ElidingCombo, ElidingLabel, WrappingLabel

LONG = "2026-11-03 plate 7 well C04 DAPI 40x"


def squeeze(dock, height_px=700):
    dock.resize(320, height_px)
    dock.refresh()
    QApplication.sendPostedEvents()  # the layout is done by events


@pytest.fixture
def case(painted, qtbot):
    case = painted(show=True)
    qtbot.waitUntil(lambda: case.state.session.overlay_time_s is not None)
    case.viewer.layers["blobs"].name = LONG
    case.layer.name = f"{LONG} annotation"
    case.state.classes.rename(2, "vesicle in a dividing cell")
    score = Score(0.87, n_px=123_456, n_strokes=1_234)
    scores = dict.fromkeys(CANDIDATE_NAMES, score)
    reason = "The random forest scores higher, but does not count as clearly better."
    chosen = "fine-tuned+forest"
    case.state.session.apply(Scored(scores, chosen, reason, 50, 9.0, False))
    squeeze(case.dock)
    return case


def test_names_are_shortened_in_the_middle_and_told_in_full(case):
    for combo, name in (
        (case.dock.layers.image, LONG),
        (case.dock.layers.annotation, f"{LONG} annotation"),
    ):
        start, end = combo.shown_text.split("…")
        assert name.startswith(start)
        assert name.endswith(end)
        assert name in combo.toolTip()
        assert "layer" in combo.toolTip()  # and what it is for


def test_a_name_that_fits_is_left_alone(case):
    case.viewer.layers[LONG].name = "cells"
    squeeze(case.dock)
    assert case.dock.layers.image.shown_text == "cells"


def test_a_shortened_line_has_the_rest_as_a_tooltip(case):
    device = case.dock.device
    device.setText("a graphics card with a very long name, of 3 that are there")
    assert "…" in device.shown_text
    assert device.toolTip() == device.text()
    device.setText("CPU")
    assert (device.shown_text, device.toolTip()) == ("CPU", "")


def test_usual_classes_are_shown_whole(painted):
    case = painted(show=True)
    key, counts = case.state.book.current.key, {1: (815, 4), 2: (809, 4)}
    case.state.classes.set_counts(Counted(key, counts))
    squeeze(case.dock)
    row = case.dock.classes.rows[0]
    assert row.name.text() == "background"
    assert row.painted.shown_text == "815 px, 4 strokes"


def test_large_counts_keep_their_figures(painted):
    case = painted(show=True)
    case.state.classes.rename(2, "dividing cell")
    key, counts = case.state.book.current.key, {1: (123_658, 8), 2: (13_596, 14)}
    case.state.classes.set_counts(Counted(key, counts))
    squeeze(case.dock)
    painted_labels = [row.painted for row in case.dock.classes.rows]
    assert [widget.shown_text for widget in painted_labels] == [
        "123,658 px · 8",
        "13,596 px · 14",
    ]
    assert painted_labels[1].toolTip() == "13,596 px, 14 strokes"


def test_counts_are_worded_alike(painted):
    case = painted(show=True)
    counts = {1: (123_658, 18), 2: (401, 5)}
    case.state.classes.set_counts(Counted(case.state.book.current.key, counts))
    squeeze(case.dock)
    long, short = (row.painted for row in case.dock.classes.rows)
    assert (long.shown_text, short.shown_text) == ("123,658 px · 18", "401 px · 5")
    assert short.toolTip() == "401 px, 5 strokes"
    counts = {1: (815, 4), 2: (401, 5)}
    case.state.classes.set_counts(Counted(case.state.book.current.key, counts))
    squeeze(case.dock)
    assert (long.shown_text, short.shown_text) == (
        "815 px, 4 strokes",
        "401 px, 5 strokes",
    )


def test_a_long_class_name_is_shortened_until_it_is_edited(case, qtbot):
    name = case.dock.classes.rows[1].name
    assert "…" in name.text()
    assert "vesicle in a dividing cell" in name.toolTip()
    name.edit()
    assert name.text() == "vesicle in a dividing cell"
    name.setText("lumen")
    qtbot.keyClick(name, Qt.Key.Key_Return)
    assert case.state.classes.names[2] == "lumen"
    assert name.text() == "lumen"
    assert "lumen" not in name.toolTip()


def test_nothing_is_cut_without_a_sign(case):
    for widget in case.dock.findChildren(QLabel):
        if not widget.isVisible():
            continue
        if isinstance(widget, ElidingLabel):
            drawn_px = widget.fontMetrics().horizontalAdvance(widget.shown_text)
            assert drawn_px <= widget.contentsRect().width(), widget.shown_text
            continue
        if widget.wordWrap():
            assert widget.height() >= widget.heightForWidth(widget.width())
        assert widget.width() >= widget.minimumSizeHint().width(), widget.text()
    for combo in case.dock.findChildren(QComboBox):
        assert isinstance(combo, ElidingCombo)
    for button in case.dock.findChildren(QPushButton):
        assert button.width() >= button.sizeHint().width(), button.text()


def test_a_low_dock_squeezes_no_line(case):
    sentence = "Strokes of 'vesicle' come out as background: paint a few more of them. "
    case.state.session.advice = 3 * sentence
    case.state.session.say(2 * sentence)
    squeeze(case.dock, 400)
    QApplication.processEvents()  # the longer texts claim their room
    labels = case.dock.findChildren(WrappingLabel)
    assert sum(sentence in widget.text() for widget in labels) == 2
    for widget in labels:
        if widget.isVisible():
            assert widget.height() >= widget.heightForWidth(widget.width())


def test_the_card_says_name_and_score_once(case):
    card = case.dock.learning.card
    texts = [widget.text() for widget in card.findChildren(QLabel)]
    assert sum("fine-tuned network and forest" in text.lower() for text in texts) == 1
    assert sum("123,456 px" in text for text in texts) == 1


def test_keys_are_written_out(case):
    dock = case.dock
    assert [row.key.text() for row in dock.classes.rows] == ["Ctrl+1", "Ctrl+2"]
    texts = [widget.text() for widget in dock.paint.findChildren(QLabel)]
    assert texts.index("Q") == texts.index("next class") + 1
    assert "Ctrl +" not in texts
