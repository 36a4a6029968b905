"""Small pieces that the docks are put together from."""

from __future__ import annotations

from typing import TypeVar

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QBoxLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_unet.widgets._eliding import ElidingLabel, TerseLabel, WrappingLabel
from napari_unet.widgets._icons import icon, pixmap
from napari_unet.widgets._style import Palette

__all__ = [
    "Button",
    "TipLine",
    "ToolButton",
    "card",
    "eliding",
    "label",
    "line",
    "row",
    "set_part",
    "sync_property",
    "wrapping",
]

LabelT = TypeVar("LabelT", bound=QLabel)


def sync_property(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at, and let the style see it."""
    if widget.property(name) != value:
        widget.setProperty(name, value)
        style = widget.style()
        if style is not None:
            style.unpolish(widget)
            style.polish(widget)


def set_part(widget: QWidget, part: str) -> None:
    """Say which part a widget plays, for the style sheet."""
    sync_property(widget, "part", part)


def label(text: str = "", part: str = "") -> QLabel:
    """Return a text; ``part``: ``"muted"``, ``"caption"``, ``"strong"``, ``"key"``."""
    return _plain(QLabel(text), part)


def wrapping(text: str = "", part: str = "", n_lines: int = 0) -> WrappingLabel:
    """Return a text on several lines; ``n_lines`` are kept free where it has fewer."""
    return _plain(WrappingLabel(text, n_lines), part)


def _plain(widget: LabelT, part: str) -> LabelT:
    widget.setTextFormat(Qt.TextFormat.PlainText)
    widget.setIndent(0)  # else half a letter, which nothing that measures knows of
    if part:
        set_part(widget, part)
    return widget


def eliding(part: str = "") -> ElidingLabel:
    """Return a line that is shortened where it is too long; ``part`` as in `label`."""
    return _plain(ElidingLabel(), part)


def terse(part: str = "") -> TerseLabel:
    """Return a line with a second, shorter wording; ``part`` as in `label`."""
    return _plain(TerseLabel(), part)


def line() -> QFrame:
    """Return a thin horizontal line."""
    widget = QFrame()
    widget.setFixedHeight(1)
    set_part(widget, "line")
    return widget


def card(spacing: int = 3) -> tuple[QFrame, QVBoxLayout]:
    """Return a slightly raised frame and its layout."""
    frame = QFrame()
    set_part(frame, "card")
    layout = QVBoxLayout(frame)
    layout.setContentsMargins(10, 8, 10, 8)
    layout.setSpacing(spacing)
    return frame, layout


def row(*widgets: QWidget | int, spacing: int = 6) -> QHBoxLayout:
    """Return widgets side by side; a number is the stretch at that place."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    fill(layout, *widgets)
    return layout


def fill(layout: QBoxLayout, *widgets: QWidget | int) -> None:
    """Add widgets to a layout; a number is the stretch at that place."""
    for widget in widgets:
        if isinstance(widget, int):
            layout.addStretch(widget)
        else:
            layout.addWidget(widget)


class Button(QPushButton):
    """A button with one of our icons, which follows the theme, and its key."""

    def __init__(
        self, text: str, icon_name: str = "", part: str = "", key: str = ""
    ) -> None:
        super().__init__()
        self._key = key
        self.set_caption(text)
        self._icon_name = icon_name
        self._palette: Palette | None = None
        self.setIconSize(QSize(14, 14))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        if part:
            set_part(self, part)

    def set_caption(self, text: str) -> None:
        """Show a text, and the key behind it; '' leaves the icon alone."""
        self.setText(f"{text}  {self._key}" if text and self._key else text)

    def set_icon(self, name: str) -> None:
        """Change the icon."""
        if name != self._icon_name:
            self._icon_name = name
            self._draw()

    def set_palette(self, palette: Palette) -> None:
        """Draw the icon in the theme's colours."""
        self._palette = palette
        self._draw()

    def offer(self, is_enabled: bool, tip: str, why_not: str = "") -> None:
        """Enable or disable; a disabled button's tooltip says why."""
        self.setEnabled(is_enabled)
        self.setToolTip(tip if is_enabled or not why_not else why_not)

    def _draw(self) -> None:
        if self._palette is not None and self._icon_name:
            is_primary = self.property("part") == "primary"
            colour = "#ffffff" if is_primary else self._palette.text
            self.setIcon(icon(self._icon_name, colour, self._palette.disabled))


class ToolButton(QToolButton):
    """A flat button that shows only an icon."""

    def __init__(self, icon_name: str, tip: str) -> None:
        super().__init__()
        self._icon_name = icon_name
        self.setToolTip(tip)
        self.setIconSize(QSize(16, 16))
        self.setFixedSize(26, 26)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_palette(self, palette: Palette) -> None:
        """Draw the icon in the theme's colours."""
        self.setIcon(icon(self._icon_name, palette.text, palette.disabled))


class TipLine(QFrame):
    """One sentence of advice beside a lamp; keeps its height while the text changes."""

    def __init__(self) -> None:
        super().__init__()
        set_part(self, "tip")
        self._icon = QLabel()
        self._text = wrapping(n_lines=2)
        layout = row(self._icon, self._text, spacing=8)
        layout.setContentsMargins(9, 7, 9, 7)
        layout.setStretch(1, 1)
        self.setLayout(layout)

    @property
    def text(self) -> str:
        """The sentence."""
        return self._text.text()

    def set_text(self, text: str) -> None:
        """Show another sentence."""
        self._text.setText(text)

    def set_palette(self, palette: Palette) -> None:
        """Draw the lamp in the theme's colours."""
        ratio = self.devicePixelRatioF()
        self._icon.setPixmap(pixmap("tip", palette.advice, 18, ratio))
