"""Several image layers as the channels of one image."""

import numpy as np
import pytest
from conftest import paint_both

RNG = np.random.default_rng(0)


@pytest.fixture
def case(open_dock, blobs):
    """The dock on an image in three layers, beside one of another size."""
    case = open_dock()
    case.viewer.add_image(RNG.random((40, 40)), name="small")
    for name in ("nuclei", "membranes", "dye"):
        case.viewer.add_image(blobs.copy(), name=name)
    case.viewer.layers.selection.active = case.viewer.layers["nuclei"]
    case.dock.refresh()
    case.button = case.dock.layers.channels
    return case


def _menu(case):
    case.button.menu().aboutToShow.emit()
    return {action.text(): action for action in case.button.menu().actions()}


def _told(case):
    """Return the names of the layers whose arrays were sent last, and the axes."""
    _, image, _, axes, _ = case.live.inbox.calls("annotate")[-1]
    arrays = getattr(image, "arrays", (image,))
    names = [
        layer.name
        for array in arrays
        for layer in case.state.book.image_choices()
        if layer.data is array
    ]
    return names, axes


def _paint(case, qtbot):
    paint_both(case.state.book.new_annotation())
    qtbot.waitUntil(lambda: case.state.can_learn)
    qtbot.waitUntil(lambda: _overlay(case).any())
    _overlay(case)[:] = 0


def _overlay(case):
    return case.state.book.current.prediction.data


def test_only_layers_of_the_same_size_are_on_offer(case):
    assert case.button.text() == "1 channel"
    assert not case.button.isHidden()
    assert [text for text in _menu(case) if text] == [
        "All 3 layers of this size",
        "'nuclei' alone",
        "membranes",
        "dye",
    ]
    case.viewer.layers.selection.active = case.viewer.layers["small"]
    case.dock.refresh()
    assert case.button.isHidden()


def test_checked_layers_are_learned_from_together(case, qtbot):
    _paint(case, qtbot)
    assert _told(case) == (["nuclei"], "YX")
    n_resets = len(case.live.inbox.calls("reset"))
    _menu(case)["dye"].trigger()
    qtbot.waitUntil(lambda: _told(case) == (["nuclei", "dye"], "CYX"))
    assert len(case.live.inbox.calls("reset")) == n_resets + 1
    case.dock.refresh()
    assert case.button.text() == "2 channels"
    assert _menu(case)["dye"].isChecked()
    _menu(case)["All 3 layers of this size"].trigger()
    qtbot.waitUntil(lambda: _told(case)[0] == ["nuclei", "membranes", "dye"])
    qtbot.waitUntil(lambda: {1, 2} <= set(np.unique(_overlay(case)).tolist()))
    _menu(case)["membranes"].trigger()
    qtbot.waitUntil(lambda: _told(case)[0] == ["nuclei", "dye"])
    _menu(case)["'nuclei' alone"].trigger()
    qtbot.waitUntil(lambda: _told(case) == (["nuclei"], "YX"))


def test_the_array_stays_the_same_while_she_paints(case, qtbot):
    _paint(case, qtbot)
    case.state.book.channels.choose(case.state.book.channels.choices())
    qtbot.waitUntil(lambda: len(_told(case)[0]) == 3)
    first = case.live.inbox.calls("annotate")[-1]
    case.state.book.current.annotation.paint((60, 60), 2)
    qtbot.waitUntil(lambda: case.live.inbox.calls("annotate")[-1] is not first)
    assert case.live.inbox.calls("annotate")[-1][1] is first[1]


def test_selecting_a_channel_stays_with_the_image(case, qtbot):
    case.state.book.channels.choose(case.state.book.channels.choices())
    case.viewer.layers.selection.active = case.viewer.layers["dye"]
    assert case.state.book.current.image.name == "nuclei"
    case.viewer.layers.selection.active = case.viewer.layers["small"]
    assert case.state.book.current.image.name == "small"


def test_a_channel_that_goes_is_said(case, qtbot):
    _paint(case, qtbot)
    case.state.book.channels.choose(case.state.book.channels.choices())
    qtbot.waitUntil(lambda: len(_told(case)[0]) == 3)
    case.viewer.layers.remove("dye")
    assert "'dye' was a channel of 'nuclei'" in case.state.session.message
    qtbot.waitUntil(lambda: _told(case)[0] == ["nuclei", "membranes"])


def test_a_channel_of_another_shape_is_a_channel_no_more(case, qtbot):
    _paint(case, qtbot)
    case.state.book.channels.choose(case.state.book.channels.choices())
    qtbot.waitUntil(lambda: len(_told(case)[0]) == 3)
    case.viewer.layers["membranes"].data = np.ones((96, 128))
    qtbot.waitUntil(lambda: _told(case)[0] == ["nuclei", "membranes", "dye"])
    case.viewer.layers["membranes"].data = np.ones((9, 9))
    qtbot.waitUntil(lambda: _told(case)[0] == ["nuclei", "dye"])


def test_other_axes_and_colours_have_no_further_channels(open_dock):
    case = open_dock()
    for name in ("one", "two"):
        case.viewer.add_image(RNG.random((3, 40, 40)), name=name)
    assert len(case.state.book.channels.choices()) == 1
    case.state.book.choose_axes("CYX")
    assert case.state.book.channels.choices() == []


def test_only_layers_that_lie_on_the_image_are_on_offer(case, blobs):
    place = {"scale": (2, 2), "translate": (5, 0)}
    case.viewer.add_image(blobs.copy(), name="beside", **place)
    case.viewer.layers.selection.active = case.viewer.layers["nuclei"]
    names = [layer.name for layer in case.state.book.channels.choices()]
    assert names == ["membranes", "dye"]
    case.viewer.layers["dye"].translate = (1, 0)
    assert len(case.state.book.channels.choices()) == 1
    for name in ("nuclei", "dye"):
        for what, value in place.items():
            setattr(case.viewer.layers[name], what, value)
    names = [layer.name for layer in case.state.book.channels.choices()]
    assert names == ["dye", "beside"]


@pytest.mark.parametrize("is_painted", [False, True])
def test_another_shape_of_the_image_has_no_channels(case, qtbot, is_painted):
    if is_painted:
        _paint(case, qtbot)
    case.state.book.channels.choose(case.state.book.channels.choices())
    case.viewer.layers["nuclei"].data = np.ones((50, 60))
    assert "'membranes', 'dye': no channel" in case.state.session.message or is_painted
    assert case.state.book.current.channels.layers == ()
    case.dock.refresh()
    assert case.button.isHidden()


def test_an_image_of_other_channels_is_left_out(case, qtbot):
    case.viewer.layers.selection.active = case.viewer.layers["small"]
    layer = case.state.book.new_annotation()
    layer.paint((5, 5), 1)
    layer.paint((30, 30), 2)
    qtbot.waitUntil(lambda: case.state.can_learn)
    small = case.state.book.current.key
    case.viewer.layers.selection.active = case.viewer.layers["nuclei"]
    case.state.book.channels.choose(case.state.book.channels.choices())
    assert "'small' is left out" in case.state.session.message
    assert (small,) in case.live.inbox.calls("forget")
    assert layer.data.any()
