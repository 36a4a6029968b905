"""The paper's border weights as a layer."""

import numpy as np
import pytest

from napari_unet.annotation.border_weights import border_weights
from napari_unet.jobs import ObjectsFound


def _weights(case):
    return [i for i in case.viewer.layers if i.name.endswith("border weights")]


@pytest.fixture
def found(painted, qtbot):
    """The dock with two found objects, four pixels apart."""
    case = painted()
    case.state.objects.set_on(True)
    entry = case.state.book.current
    case.ids = np.zeros(entry.shape, np.uint16)
    case.ids[20:50, 20:50], case.ids[20:50, 54:80] = 1, 2
    event = ObjectsFound(entry.key, (), 0, 0, case.ids, 2, 1, is_whole=True)
    case.state.apply(event)
    return case


def test_the_gap_between_objects_is_shown_as_the_loss_weighs_it(found, qtbot):
    found.dock.border_weights.show()
    qtbot.waitUntil(lambda: _weights(found) != [], timeout=30_000)
    (layer,) = _weights(found)
    np.testing.assert_allclose(layer.data, border_weights(found.ids))
    assert layer.data[35, 51:53].min() > 5
    entry = found.state.book.current
    assert entry.image.name == "blobs"  # the new layer is no image to work on
    assert layer not in found.state.book.image_choices()
    assert found.viewer.layers.selection.active == entry.annotation


def test_asked_again_it_is_renewed_in_place(found, qtbot):
    found.dock.border_weights.show()
    qtbot.waitUntil(lambda: _weights(found) != [], timeout=30_000)
    (layer,) = _weights(found)
    data = found.state.book.current.objects.data
    data[:, 50:] = 0
    found.dock.border_weights.show()
    qtbot.waitUntil(lambda: not layer.data.any(), timeout=30_000)
    assert _weights(found) == [layer]


def test_without_objects_a_sentence_says_what_to_do(painted, qtbot):
    case = painted()
    case.dock.border_weights.show()
    case.dock.refresh()
    assert "paint objects" in case.dock.message.text()
    assert not _weights(case)


def test_a_plane_of_a_stack_lies_where_it_was_looked_at(painted, qtbot):
    volume = np.full((3, 96, 128), 20, np.uint8)
    volume[:, 20:50, 20:50] = 200
    case = painted(image=volume)
    case.state.objects.set_on(True)
    entry = case.state.book.current
    case.viewer.dims.set_point(0, 2)
    entry.objects.data[2, 20:50, 20:50], entry.objects.data[2, 20:50, 54:80] = 1, 2
    case.dock.border_weights.show()
    qtbot.waitUntil(lambda: _weights(case) != [], timeout=30_000)
    (layer,) = _weights(case)
    assert layer.data.shape == (1, 96, 128)
    assert layer.data_to_world((0, 0, 0))[0] == 2
