"""Icons are whole on screens of every density, and docks grow with their letters."""

import numpy as np
import pytest
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QLabel, QPushButton, QScrollArea

from napari_unet.widgets import _icons
from napari_unet.widgets._icons import pixmap
from napari_unet.widgets._open import open_dock


def drawn_part(name, ratio):
    """Return how much of an icon's picture is covered, 0..1."""
    image = pixmap(name, "#ffffff", 16, ratio).toImage()
    image = image.convertToFormat(QImage.Format.Format_Alpha8)
    rows = [
        [image.pixelColor(x, y).alpha() for x in range(image.width())]
        for y in range(image.height())
    ]
    return np.mean(rows) / 255


@pytest.mark.parametrize("name", [*_icons._FILLED, *_icons._STROKED])
@pytest.mark.parametrize("ratio", [1.25, 2.0])
def test_an_icon_fills_its_picture_at_every_density(qapp, name, ratio):
    assert drawn_part(name, ratio) == pytest.approx(drawn_part(name, 1.0), abs=0.04)


@pytest.fixture
def large_letters(qapp):
    """Return a function that enlarges what a widget writes by a third."""

    def enlarge(widget):
        sheet = widget.styleSheet()
        widget.setStyleSheet(sheet + "\n* { font-size: 12pt; }")
        QApplication.processEvents()

    return enlarge


@pytest.mark.parametrize(
    "title", ["Interactive segmentation", "Project", "Proofread", "Settings"]
)
def test_no_button_is_cut_with_large_letters(painted, large_letters, title):
    case = painted(show=True)
    case.viewer.window.resize(1280, 800)
    dock = open_dock(case.viewer, title)
    large_letters(dock)
    case.viewer.window.resize(1280, 800)
    QApplication.processEvents()
    buttons = [b for b in dock.findChildren(QPushButton) if b.isVisible()]
    assert buttons
    cut = [b.text() for b in buttons if b.width() < b.minimumSizeHint().width()]
    assert cut == []


def test_no_caption_of_the_settings_is_cut(painted):
    case = painted(show=True)
    dock = open_dock(case.viewer, "Settings")
    QApplication.processEvents()
    captions = [c for c in dock.form.native.findChildren(QLabel) if c.text()]
    assert len(captions) > 10
    cut = [c.text() for c in captions if c.width() < c.sizeHint().width()]
    assert cut == []
    area = dock.findChild(QScrollArea)
    assert dock.form.native.width() <= area.viewport().width()
