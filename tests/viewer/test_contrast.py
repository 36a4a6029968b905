"""Texts can be read in both themes: the palette's colours, and what is really drawn."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtGui import QColor, QImage
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QLineEdit,
    QStyle,
    QStyleOptionButton,
)

from napari_unet.widgets._style import palette_of

TEXT, DISABLED = 4.5, 3.0  # WCAG 2.2, 1.4.3


def luminance(colour):
    """Return the relative luminance, 0 to 1, of 8-bit colours (..., 3)."""
    parts = np.asarray(colour) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ (0.2126, 0.7152, 0.0722)


def contrast(one, other):
    light, dark = np.maximum(one, other), np.minimum(one, other)
    return (light + 0.05) / (dark + 0.05)


def of(name):
    return luminance(QColor(name).getRgb()[:3])


def drawn_contrast(dock, widget, box=None):
    """Return the contrast of a widget's text: its farthest pixel from its ground."""
    box = box or widget.rect()
    sheet = QImage(dock.size(), QImage.Format.Format_RGB32)
    sheet.fill(QColor(palette_of(dock.state.viewer()).background))
    dock.render(sheet)
    image = sheet.copy(box.translated(widget.mapTo(dock, QPoint(0, 0))))
    pixels = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
    rows = pixels.reshape(image.height(), image.bytesPerLine())
    bgr = rows[:, : 4 * image.width()].reshape(image.height(), -1, 4)[..., :3]
    shades = luminance(bgr[2:-2, 2:-2, ::-1])
    ground = np.median(shades)
    return float(contrast(shades, ground).max())


def text_box(check_box):
    """Return where a check box has its text, without the mark."""
    option = QStyleOptionButton()
    check_box.initStyleOption(option)
    contents = QStyle.SubElement.SE_CheckBoxContents
    return check_box.style().subElementRect(contents, option, check_box)


@pytest.fixture(params=["dark", "light"])
def case(request, open_dock):
    case = open_dock(show=True)
    case.viewer.theme = request.param
    case.dock.refresh()
    return case


def test_the_palette_has_contrast_wherever_a_text_stands(case):
    palette = palette_of(case.viewer)
    for ground in (palette.background, palette.card):
        for name in ("text", "muted", "warning", "error"):
            if (name, ground) == ("warning", palette.card):
                continue  # stands on the background alone
            found = contrast(of(getattr(palette, name)), of(ground))
            assert found >= TEXT, (name, ground)
        assert contrast(of(palette.disabled), of(ground)) >= DISABLED
    for accent in (palette.accent, palette.accent_hover):
        assert contrast(of(accent), of("#ffffff")) >= TEXT


def test_what_is_disabled_can_be_read(case):
    dock = case.dock
    buttons = [
        dock.learning.learn,
        dock.learning.update_now,
        dock.overlay.predict,
        dock.overlay.filled,
        dock.overlay.outline,
    ]
    names = dock.classes.findChildren(QLineEdit)
    assert len(names) == 2
    for widget in (*buttons, *names):
        assert not widget.isEnabled()
        assert drawn_contrast(dock, widget) >= DISABLED
    for box in dock.findChildren(QCheckBox):
        assert not box.isEnabled()
        assert drawn_contrast(dock, box, text_box(box)) >= DISABLED


def test_a_chosen_class_can_be_read(case, blobs):
    case.viewer.add_image(blobs)
    case.state.book.new_annotation()
    case.dock.refresh()
    QApplication.processEvents()  # the layout is done by events
    chosen = next(r for r in case.dock.classes.rows if r.property("chosen"))
    for widget in (chosen.name, chosen.painted, chosen.key):
        assert drawn_contrast(case.dock, widget) >= TEXT
