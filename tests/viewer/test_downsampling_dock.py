"""Downsampling in the settings, and pyramids among the layers."""

import numpy as np
import pytest
from conftest import paint_both

from napari_unet.config import LearnerConfig
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.coarse import CoarseStack, Pyramid
from napari_unet.widgets.settings import SettingsDock


@pytest.fixture
def case(painted, qtbot):
    """The dock on painted blobs, and the settings beside it."""
    made = painted()
    made.settings = SettingsDock(made.viewer)
    qtbot.addWidget(made.settings)
    return made


def test_the_form_offers_what_there_is_and_says_when_to_use_it(case):
    widget = case.settings.form.widgets["downsampling"]
    assert widget.choices == (1, 2, 4, 8)
    assert widget.value == 1
    assert widget.label == "Downsampling"
    assert "slides" in widget.tooltip
    widget.value = 4
    case.settings.apply.click()
    (config,) = case.live.inbox.calls("set_config")[-1]
    assert config == LearnerConfig(downsampling=4)


def test_object_sizes_on_offer_are_those_of_the_image(case):
    combo = case.dock.layers.objects
    texts = lambda: [combo.itemText(i) for i in range(1, combo.count())]  # noqa: E731
    assert texts() == ["up to 50 px", "up to 200 px", "larger than 200 px"]
    case.state.set_config(LearnerConfig(downsampling=4))
    case.dock.refresh()
    assert texts() == ["up to 200 px", "up to 800 px", "larger than 800 px"]
    combo.activated.emit(2)
    assert case.state.n_scales == 2


def test_a_multiscale_layer_is_learned_with_its_levels(open_dock, blobs, qtbot):
    case = open_dock()
    levels = [blobs, blobs[::2, ::2], blobs[::4, ::4]]
    case.viewer.add_image(levels, multiscale=True, name="slide")
    layer = case.state.book.new_annotation()
    paint_both(layer)
    qtbot.waitUntil(lambda: case.state.can_learn)
    image = case.state.book.current.channels.pixels
    assert case.live.inbox.calls("annotate")[-1][1] is image
    assert case.state.book.current.channels.pixels is image
    assert isinstance(image, Pyramid)
    assert CoarseStack(PlaneStack(image), 4).n_read == 1
    assert np.array_equal(image[10:20], blobs[10:20])
