"""Regions declared complete: drawn as shapes, taken with the annotation."""

import numpy as np
import pytest
from conftest import wait_for_drawing
from napari.layers import Image

from napari_unet.widgets._regions import Regions
from napari_unet.widgets._tips import tip_text

BOX = np.array([[10, 20], [10, 60], [50, 60], [50, 20]], float)


@pytest.fixture
def objects(open_dock, blobs, qtbot):
    """Return a function that opens the dock with one object painted."""

    def make(show=False):
        case = open_dock(show=show)
        case.viewer.add_image(blobs, name="blobs", scale=(2, 2), translate=(5, 7))
        case.dock.refresh()
        case.dock.paint.objects.click()
        case.layer = case.state.book.new_annotation()
        case.layer.data_setitem(tuple(np.nonzero(blobs[:60, :60] > 100)), 2)
        qtbot.waitUntil(lambda: case.state.classes.get(2).n_strokes == 1)
        return case

    return make


def _last_complete(case):
    return case.live.inbox.calls("annotate")[-1][4]


def test_a_region_is_drawn_with_the_mouse_and_makes_it_learn(
    objects, qtbot, canvas_stroke
):
    case = objects(show=True)
    assert not case.state.can_learn
    case.dock.refresh()
    case.dock.objects.complete.click()
    layer = case.state.book.current.regions.layer
    assert case.viewer.layers.selection.active == layer
    np.testing.assert_array_equal(layer.scale, (2, 2))
    np.testing.assert_array_equal(layer.translate, (5, 7))
    wait_for_drawing(case.viewer, qtbot)
    corners = [layer.data_to_world(p) for p in ((10, 10), (30, 40), (60, 70))]
    canvas_stroke(case.viewer, corners)
    qtbot.waitUntil(lambda: case.state.can_learn)
    mask = _last_complete(case)
    rows, columns = np.nonzero(mask)
    for found, wanted in (
        (rows.min(), 10),
        (rows.max(), 60),
        (columns.min(), 10),
        (columns.max(), 70),
    ):
        assert abs(int(found) - wanted) <= 2
    assert mask.all(axis=1).sum() == 0
    case.dock.refresh()
    assert case.dock.objects.background.painted.text() == "1 region"
    case.state.brush.select_next()
    assert case.viewer.layers.selection.active == case.layer
    case.dock.objects.complete.click()
    assert case.state.book.current.regions.layer is layer  # made once


def test_changing_and_removing_a_region_is_heard(objects, qtbot):
    case = objects()
    layer = case.state.book.complete_region()
    layer.add_rectangles([BOX])
    qtbot.waitUntil(lambda: _last_complete(case) is not None)
    assert _last_complete(case).sum() == 41 * 41
    qtbot.waitUntil(lambda: case.state.can_learn)
    assert "complete region" not in tip_text(case.state)
    layer.data = [BOX + 5]
    qtbot.waitUntil(lambda: not _last_complete(case)[10, 20])
    assert _last_complete(case)[55, 65]
    n_sent = len(case.live.inbox.calls("annotate"))
    layer.refresh()
    case.state.painting.take()
    assert len(case.live.inbox.calls("annotate")) == n_sent  # nothing has changed
    layer.selected_data = {0}
    layer.remove_selected()
    qtbot.waitUntil(lambda: _last_complete(case) is None)
    qtbot.waitUntil(lambda: not case.state.can_learn)
    layer.add_rectangles([BOX])
    qtbot.waitUntil(lambda: case.state.can_learn)
    case.viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not case.state.can_learn)
    assert case.state.book.current.regions.layer is None
    assert case.state.book.complete_region() in case.viewer.layers


def test_regions_count_for_objects_alone(objects, qtbot):
    case = objects()
    layer = case.state.book.complete_region()
    layer.add_rectangles([BOX])
    qtbot.waitUntil(lambda: _last_complete(case) is not None)
    case.state.set_mode("strokes")
    assert not layer.visible
    assert case.state.book.complete_region() is None
    case.state.book.new_annotation().paint((60, 60), 1)
    qtbot.waitUntil(lambda: case.state.classes.get(1).n_px > 0)
    assert _last_complete(case) is None
    case.state.set_mode("objects")
    assert layer.visible
    qtbot.waitUntil(lambda: _last_complete(case) is not None)


def test_other_axes_keep_the_regions(open_dock):
    case = open_dock()
    case.viewer.add_image(np.zeros((3, 40, 40)), name="stack")
    case.state.set_mode("objects")
    case.state.book.new_annotation()
    layer = case.state.book.complete_region()
    case.state.book.choose_axes("TYX")
    assert case.state.book.current.regions.layer is layer


# -- shapes as pixels ------------------------------------------------------------------


@pytest.fixture
def regions():
    """Return a function that makes the regions of an image of zeros."""

    def make(shape=(64, 80), axes="YX"):
        from napari.components import LayerList

        made = Regions(Image(np.zeros(shape), rgb=False), axes, lambda: None)
        return made, made.make(LayerList())

    return make


def test_no_shape_is_no_mask(regions):
    made, layer = regions()
    assert made.mask() is None
    layer.add_paths([BOX])  # has no area
    assert made.mask() is None
    assert made.n == 0


def test_rectangle_polygon_and_ellipse(regions):
    made, layer = regions()
    layer.add_rectangles([BOX])
    assert np.asarray(made.mask()).sum() == 41 * 41
    assert made.mask() is made.mask()
    layer.data = []
    layer.add_polygons([np.array([[0, 0], [0, 40], [40, 0]])])
    mask = np.asarray(made.mask())
    assert mask[5, 5]
    assert not mask[35, 35]
    layer.data = []
    layer.add_ellipses([BOX])
    mask = np.asarray(made.mask())
    assert mask[30, 40]
    assert not mask[11, 21]
    assert mask.sum() == pytest.approx(np.pi * 20 * 20, rel=0.03)
    layer.add_rectangles([BOX + 10])
    assert made.n == 2


def test_what_reaches_beyond_the_image_is_cut_off(regions):
    made, layer = regions()
    layer.add_rectangles([BOX - 30])
    mask = np.asarray(made.mask())
    assert mask[:21, :31].all()
    assert mask.sum() == 21 * 31


def test_a_region_counts_in_its_own_plane(regions):
    made, layer = regions((4, 64, 80), "ZYX")
    layer.add_rectangles([np.insert(BOX, 0, 2, axis=1)])
    mask = np.asarray(made.mask())
    assert mask[2].sum() == 41 * 41
    assert not mask[[0, 1, 3]].any()


def test_channels_have_no_plane_of_their_own(regions):
    made, layer = regions((3, 64, 80), "CYX")
    assert layer.ndim == 2
    layer.add_rectangles([BOX])
    assert made.mask().shape == (64, 80)
