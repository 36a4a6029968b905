"""Filling in between painted planes: offered for stacks, one step to take back."""

import numpy as np
import pytest

from napari_unet.widgets._keys import KEYS


@pytest.fixture
def stack(open_dock, blobs, qtbot):
    """Return a viewer with a stack of five planes, painted in the first and last."""
    case = open_dock()
    case.viewer.add_image(np.stack([blobs] * 5), name="stack")
    case.dock.refresh()
    case.layer = case.state.book.new_annotation()
    case.layer.data_setitem(np.nonzero(blobs[None] > 100), 2)
    case.layer.data_setitem((np.array([2]), np.array([30]), np.array([30])), 1)
    return case


def _paint_last(case, blobs):
    _, y, x = np.nonzero(blobs[None] > 100)
    case.layer.data_setitem((np.full(len(y), 4), y, x), 2)


def test_it_fills_in_and_ctrl_z_takes_it_back(stack, blobs, qtbot):
    button = stack.dock.paint.between
    assert button.isVisibleTo(stack.dock)
    _paint_last(stack, blobs)
    stack.state.painting.take()
    stack.dock.refresh()
    assert button.isEnabled()
    before = stack.layer.data.copy()
    n_before = len(stack.layer._undo_history)
    button.click()
    qtbot.waitUntil(lambda: (stack.layer.data != before).any())
    after = stack.layer.data
    assert ((after[1:4] == 2) == (blobs > 100)).sum(axis=(1, 2)).tolist() == [
        *(blobs.size, blobs.size - 1, blobs.size)
    ]
    assert after[2, 30, 30] == 1
    np.testing.assert_array_equal(after[[0, 4]], before[[0, 4]])
    assert len(stack.layer._undo_history) == n_before + 1
    assert "Ctrl+Z takes them back" in stack.state.session.message
    # the job hears of it as of any stroke
    qtbot.waitUntil(lambda: stack.state.book.current.copy.n_px == (after > 0).sum())
    stack.layer.undo()
    np.testing.assert_array_equal(stack.layer.data, before)


def test_it_says_why_it_cannot(stack, blobs, qtbot):
    button = stack.dock.paint.between
    stack.layer.undo()  # the mark in the middle
    stack.state.painting.take()
    stack.dock.refresh()
    assert not button.isEnabled()
    assert "Paint in two planes" in button.toolTip()
    # shapes that do not overlap
    stack.layer.data_setitem((np.array([4]), np.array([5]), np.array([5])), 2)
    before = stack.layer.data.copy()
    handler = next(
        f
        for key, f in stack.viewer.__wrapped__.keymap.items()
        if str(key) == KEYS["between"]
    )
    handler(stack.viewer)
    qtbot.waitUntil(lambda: "no shape overlaps" in stack.state.session.message)
    np.testing.assert_array_equal(stack.layer.data, before)


def test_what_is_painted_meanwhile_stays(stack, blobs, qtbot):
    _paint_last(stack, blobs)
    stack.state.fill_between()
    spot = tuple(np.array([i]) for i in (1, 30, 30))
    stack.layer.data_setitem(spot, 1)
    qtbot.waitUntil(lambda: stack.layer.data[3].any())
    assert stack.layer.data[1, 30, 30] == 1


def test_it_is_not_offered_without_planes(open_dock, blobs):
    case = open_dock()
    case.viewer.add_image(blobs)
    case.dock.refresh()
    assert not case.dock.paint.between.isVisibleTo(case.dock)
    case.state.fill_between()  # the key does nothing
