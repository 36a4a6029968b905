"""Our layers lie on the image to the pixel, and stay there."""

import numpy as np
import pint
import pytest
from conftest import paint_both
from napari.components import ViewerModel
from napari.layers import Image

from napari_unet.jobs import TilePredicted
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._layers import guess_image_axes, image_axes_choices
from napari_unet.widgets._snapshot import snapshot
from napari_unet.widgets._tips import tip_text
from napari_unet.widgets._view import VisibleField, visible_field

RNG = np.random.default_rng(0)
AFFINE = np.array([[0.9, 0.1, 5.0], [-0.2, 1.1, -3.0], [0, 0, 1]])
PLACES = {
    "plain": {},
    "scale": {"scale": (0.5, 0.25)},
    "translate": {"scale": (2, 3), "translate": (10, -7)},
    "rotate": {"scale": (0.5, 0.5), "rotate": 30, "translate": (4, 4)},
    "shear": {"shear": [0.2], "scale": (1.5, 1.5)},
    "affine": {"affine": AFFINE, "scale": (0.3, 0.3)},
    "units": {"scale": (0.2, 0.2), "units": ("um", "um"), "axis_labels": ("y", "x")},
}


def annotated(image, axes=None):
    """Return an image of a viewer model with both of our layers."""
    viewer = ViewerModel()
    viewer.add_layer(image)
    entry = AnnotatedImage(image, axes or guess_image_axes(image), lambda: None)
    entry.make_annotation(viewer.layers)
    entry.make_prediction(viewer.layers)
    return viewer, entry


def corners(layer, shape):
    """Return where the corners of a plane lie in the world."""
    first = (0,) * (layer.ndim - 2)
    height, width = shape[-2:]
    points = [(0, 0), (height - 1, 0), (0, width - 1), (height / 3, width / 7)]
    return np.array([layer.data_to_world((*first, *p))[-2:] for p in points])


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", [(33, 47), (64, 64), (1, 90)])
def test_layers_lie_on_the_image(place, shape):
    image = Image(RNG.random(shape), rgb=False, **PLACES[place])
    _, entry = annotated(image)
    for layer in (entry.annotation, entry.prediction):
        assert layer.data.shape == shape
        assert layer.data.dtype == np.uint8
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        assert np.allclose(corners(layer, shape), corners(image, shape))


def test_layers_follow_the_image():
    image = Image(RNG.random((3, 40, 50)))
    _, entry = annotated(image)
    image.scale = (2, 0.5, 0.5)
    image.translate = (1, 2, 3)
    image.rotate = np.eye(3)[[0, 2, 1]] * [1, 1, -1]
    image.units = ("um", "um", "um")
    image.axis_labels = ("z", "y", "x")
    for layer in (entry.annotation, entry.prediction):
        assert np.allclose(layer.scale, image.scale)
        assert layer.units == (pint.Unit("um"),) * 3
        assert layer.axis_labels == ("z", "y", "x")
        assert np.allclose(corners(layer, (3, 40, 50)), corners(image, (3, 40, 50)))


def test_rgb_image():
    image = Image(RNG.integers(0, 255, (31, 45, 3), np.uint8), rgb=True, scale=(2, 2))
    _, entry = annotated(image)
    assert entry.axes == "YXC"
    assert entry.prediction.data.shape == (31, 45)
    assert np.allclose(corners(entry.prediction, (31, 45)), corners(image, (31, 45)))


@pytest.mark.parametrize("axes", ["CYX", "CZYX", "ZCYX"])
def test_a_channel_axis_is_dropped(axes):
    shape = (2, 30, 40) if len(axes) == 3 else (2, 5, 30, 40)
    ndim = len(axes)
    image = Image(
        np.zeros(shape),
        scale=np.arange(1, ndim + 1),
        translate=np.arange(ndim),
        rgb=False,
    )
    _, entry = annotated(image, axes)
    keep = [i for i, a in enumerate(axes) if a != "C"]
    assert entry.prediction.data.shape == tuple(shape[i] for i in keep)
    assert np.allclose(entry.prediction.scale, np.array(image.scale)[keep])
    assert np.allclose(entry.prediction.translate, np.array(image.translate)[keep])
    assert np.allclose(corners(entry.prediction, shape), corners(image, shape))


def test_axes_follow_the_labels_of_the_layer():
    image = Image(np.zeros((4, 30, 40)), axis_labels=("c", "y", "x"), rgb=False)
    assert image_axes_choices(image)[0] == "CYX"
    assert guess_image_axes(Image(np.zeros((4, 30, 40)), rgb=False)) == "ZYX"


def test_multiscale_image_is_annotated_at_full_resolution():
    full = RNG.random((80, 60))
    image = Image([full, full[::2, ::2]], multiscale=True, scale=(0.5, 0.5))
    _, entry = annotated(image)
    assert entry.channels.pixels.levels[0] is full  # it knows of the coarser one
    assert entry.annotation.data.shape == (80, 60)
    assert np.allclose(corners(entry.prediction, (80, 60)), corners(image, (80, 60)))


def test_new_layers_leave_the_selection_alone():
    image = Image(np.zeros((40, 40)))
    viewer, entry = annotated(image)
    viewer.layers.remove(entry.prediction)
    entry.drop_prediction()
    viewer.layers.selection.active = entry.annotation
    entry.make_prediction(viewer.layers)
    assert viewer.layers.selection.active is entry.annotation
    order = list(viewer.layers)
    assert order.index(entry.prediction) < order.index(entry.annotation)


def test_prediction_is_not_editable_and_re_used(painted, qtbot):
    case = painted()
    entry = case.state.book.current
    layer, array = entry.prediction, entry.prediction.data
    assert not layer.editable
    for spot in ((60, 60), (70, 20)):
        n_taken = case.state.session.annotation_version
        case.layer.paint(spot, 1)
        qtbot.waitUntil(lambda n=n_taken: case.state.session.annotation_version > n)
    assert entry.prediction is layer
    assert layer.data is array
    assert not layer.editable
    assert [i.name for i in case.viewer.layers].count("blobs prediction") == 1


def test_values_above_255_widen_the_prediction_once():
    _, entry = annotated(Image(np.zeros((20, 20))))
    tile = TilePredicted("k", (), 0, 0, np.full((20, 20), 300, np.uint16), "x", 1)
    assert entry.write(tile)
    assert entry.prediction.data.dtype == np.uint16
    assert not entry.prediction.editable
    assert (entry.prediction.data == 300).all()


@pytest.mark.parametrize(
    ("index", "y", "shape"), [((0,), 0, (20, 20)), ((), 15, (20, 20)), ((), 0, (9, 30))]
)
def test_tiles_that_do_not_fit_are_ignored(index, y, shape):
    _, entry = annotated(Image(np.zeros((20, 20))))
    tile = TilePredicted("k", index, y, 0, np.ones(shape, np.uint8), "x", 1)
    assert not entry.write(tile)
    assert not entry.prediction.data.any()


def test_complete_only_with_every_tile_of_one_generation():
    _, entry = annotated(Image(np.zeros((2, 20, 20)), rgb=False))

    def write(plane, generation):
        labels = np.ones((20, 20), np.uint8)
        entry.write(TilePredicted("k", (plane,), 0, 0, labels, "x", generation))

    write(0, 1)
    assert not entry.is_complete
    write(1, 2)
    assert not entry.is_complete
    write(0, 2)
    assert entry.is_complete
    entry.outdate()
    assert not entry.is_complete


def test_snapshot_is_private_frozen_and_only_made_when_needed():
    _, entry = annotated(Image(np.zeros((20, 20))))
    first = snapshot(entry.annotation)
    assert snapshot(entry.annotation, first) is None
    entry.annotation.paint((5, 5), 2)
    second = snapshot(entry.annotation, first)
    assert second is not None
    assert not first.any()
    with pytest.raises(ValueError, match="read-only"):
        second.tiles[0, 0, 0][0, 0] = 1


@pytest.mark.parametrize("place", ["plain", "translate", "units"])
def test_visible_field_agrees_with_what_is_drawn(make_napari_viewer, qtbot, place):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(RNG.random((300, 400)), **PLACES[place])
    layer = viewer.add_labels(np.zeros((300, 400), np.uint8), **PLACES[place])
    viewer.scene.camera.zoom *= 3
    field = visible_field(viewer, layer)
    expected = (field.y0, field.x0), (field.y1, field.x1)
    # the layer's own corners are renewed on drawing
    qtbot.waitUntil(lambda: np.allclose(layer.corner_pixels, expected, atol=2))
    assert field.y1 - field.y0 < 290


def test_visible_field_follows_the_slider(make_napari_viewer):
    viewer = make_napari_viewer()
    place = {"scale": (3, 1, 1), "translate": (10, 0, 0)}
    viewer.add_image(np.zeros((7, 60, 70)), rgb=False, **place)
    layer = viewer.add_labels(np.zeros((7, 60, 70), np.uint8), **place)
    viewer.dims.set_current_step(0, 5)
    assert visible_field(viewer, layer).index == (5,)
    viewer.dims.ndisplay = 3
    assert visible_field(viewer, layer) is None


def test_out_of_sight_is_no_field(make_napari_viewer):
    viewer = make_napari_viewer()
    layer = viewer.add_labels(np.zeros((60, 70), np.uint8))
    viewer.scene.camera.center = (0, 1e5, 1e5)
    assert visible_field(viewer, layer) is None


def test_of_a_large_field_the_middle_is_kept():
    field = VisibleField((3,), 0, 4000, 100, 1100)
    assert field.middle(4000 * 1000) is field
    middle = field.middle(1000 * 1000)
    assert middle == VisibleField((3,), 1000, 3000, 350, 850, True)


def test_a_slide_that_is_all_in_sight_is_predicted_in_its_middle(
    open_dock, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_unet.widgets._view.LIVE_PX", 48 * 64)
    case = open_dock()
    case.viewer.add_image(np.random.default_rng(0).random((96, 128)))
    paint_both(case.state.book.new_annotation())
    qtbot.waitUntil(lambda: case.state.can_learn)

    def looked_at():
        return [call[0] for call in case.live.inbox.calls("show") if call[0]]

    qtbot.waitUntil(lambda: looked_at() != [])
    request = looked_at()[-1]
    assert (request.y0, request.y1, request.x0, request.x1) == (24, 72, 32, 96)
    qtbot.waitUntil(lambda: "zoom in" in tip_text(case.state))
    case.viewer.scene.camera.zoom *= 4
    qtbot.waitUntil(lambda: "zoom in" not in tip_text(case.state))


def test_a_volume_gets_the_plane_that_is_looked_at(painted, qtbot):
    volume = np.full((4, 96, 128), 20, np.uint8)
    volume[:, 20:50, 20:50] = 200
    case = painted(image=volume)
    entry = case.state.book.current
    assert entry.axes == "ZYX"
    case.viewer.dims.set_current_step(0, 2)
    expected = np.where(volume[2] > 100, 2, 1)
    qtbot.waitUntil(lambda: np.array_equal(entry.prediction.data[2], expected))
    assert not entry.prediction.data[3].any()


def test_reading_the_axes_as_channels_starts_with_new_layers(open_dock, qtbot):
    case = open_dock()
    image = np.zeros((2, 96, 128), np.uint8)
    image[:, 20:50, 20:50] = 200
    case.viewer.add_image(image, name="two", rgb=False)
    case.state.book.choose_axes("CYX")
    layer = case.state.book.new_annotation()
    assert layer.data.shape == (96, 128)
    paint_both(layer)
    qtbot.waitUntil(lambda: case.state.can_learn)
    assert case.live.inbox.calls("annotate")[-1][3] == "CYX"
