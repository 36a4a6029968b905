"""Draws a row of a list: a picture, two lines of text, and a coloured word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPixmap
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_unet.widgets._style import Palette

__all__ = ["Look", "RowDelegate"]

_EDGE_PX = 6
_GAP_PX = 8
_DOT_PX = 8
_ELIDE = Qt.TextElideMode.ElideMiddle
_LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, eq=False)
class Look:
    """What is drawn of a row."""

    title: str
    title_end: str = ""
    """At the right end of the first line."""
    badge: str = ""
    colour: str = ""
    """Of the dot beside the badge, ``"#rrggbb"``."""
    details: str = ""
    details_end: str = ""
    is_current: bool = False
    tip: str = ""


class RowDelegate(QStyledItemDelegate):
    """Draws a row in the theme's colours."""

    def __init__(self, look: Callable[[Any], Look], picture_px: int) -> None:
        super().__init__()
        self._look, self._picture_px = look, picture_px
        self.pictures: dict[int, QPixmap] = {}
        self.palette: Palette | None = None

    def sizeHint(self, option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        lines = 2 * option.fontMetrics.height() + 12
        return QSize(100, max(lines, self._picture_px + 8))

    def paint(
        self,
        painter: QPainter | None,
        option: QStyleOptionViewItem,
        index: QModelIndex,
    ) -> None:
        row = index.data(Qt.ItemDataRole.UserRole)
        palette = self.palette
        if painter is None or row is None or palette is None:
            return
        look = self._look(row)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_ground(painter, option, look, palette)
        place = option.rect.adjusted(_EDGE_PX, 4, -_EDGE_PX, -4)
        if self._picture_px:
            self._draw_picture(painter, place, row.number, palette)
            place.setLeft(place.left() + self._picture_px + _GAP_PX)
        upper, lower = QRect(place), QRect(place)
        upper.setBottom(place.top() + place.height() // 2)
        lower.setTop(upper.bottom() + 1)
        font = QFont(option.font)
        font.setWeight(QFont.Weight.DemiBold if look.is_current else font.weight())
        painter.setFont(font)
        _draw_line(painter, upper, look.title, look.title_end, palette.text, palette)
        painter.setFont(option.font)
        if look.badge:
            lower = _draw_badge(painter, lower, look, palette)
        muted = palette.muted
        _draw_line(painter, lower, look.details, look.details_end, muted, palette)
        painter.restore()

    def _draw_ground(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        look: Look,
        palette: Palette,
    ) -> None:
        place = option.rect.adjusted(1, 1, -1, -1)
        painter.setPen(Qt.PenStyle.NoPen)
        states = QStyle.StateFlag
        share = 0
        if option.state & states.State_Selected:
            share = 46
        elif option.state & states.State_MouseOver:
            share = 16
        if share:
            ground = QColor(palette.text)
            ground.setAlpha(share)
            painter.setBrush(ground)
            painter.drawRoundedRect(place, 4, 4)
        if look.is_current:
            painter.setBrush(QColor(palette.advice))
            bar = QRect(place.left(), place.top() + 5, 3, place.height() - 10)
            painter.drawRoundedRect(bar, 1.5, 1.5)

    def _draw_picture(
        self, painter: QPainter, place: QRect, number: int, palette: Palette
    ) -> None:
        side = self._picture_px
        top = place.top() + (place.height() - side) // 2
        frame = QRect(place.left(), top, side, side)
        picture = self.pictures.get(number)
        if picture is None:
            painter.setPen(QColor(palette.line))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(frame.adjusted(0, 0, -1, -1), 3, 3)
            return
        ratio = side / max(picture.width(), picture.height())
        size = QSize(
            max(1, round(picture.width() * ratio)),
            max(1, round(picture.height() * ratio)),
        )
        target = QRect(frame.topLeft(), size)
        target.moveCenter(frame.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(target, picture)


def _draw_line(
    painter: QPainter, place: QRect, text: str, end: str, colour: str, palette: Palette
) -> None:
    """Draw a text, shortened where it is too long, and one at the right end."""
    metrics = painter.fontMetrics()
    left = QRect(place)
    if end:
        painter.setPen(QColor(palette.muted))
        painter.drawText(place, _RIGHT, end)
        left.setRight(place.right() - metrics.horizontalAdvance(end) - _GAP_PX)
    painter.setPen(QColor(colour))
    painter.drawText(left, _LEFT, metrics.elidedText(text, _ELIDE, left.width()))


def _draw_badge(painter: QPainter, place: QRect, look: Look, palette: Palette) -> QRect:
    """Draw a dot and a word; return what is left of the line."""
    dot = QRect(0, 0, _DOT_PX, _DOT_PX)
    dot.moveCenter(place.center())
    dot.moveLeft(place.left())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(look.colour))
    painter.drawEllipse(dot)
    rest = QRect(place)
    rest.setLeft(dot.right() + 6)
    painter.setPen(QColor(palette.text))
    painter.drawText(rest, _LEFT, look.badge)
    width = painter.fontMetrics().horizontalAdvance(look.badge)
    rest.setLeft(rest.left() + width + _GAP_PX)
    return rest
