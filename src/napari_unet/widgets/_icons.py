"""Icons drawn in the theme's text colour; small SVG paths on a 24 px grid."""

from __future__ import annotations

from qtpy.QtCore import QByteArray, QRectF, QSize, Qt
from qtpy.QtGui import QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

__all__ = ["icon", "pixmap"]

_FILLED = {
    "learn": "M7 4.5v15l12.5-7.5z",
    "pause": "M6 5h4v14H6zM14 5h4v14h-4z",
    "stop": "M6.5 6.5h11v11h-11z",
    "more": "M5 10a2 2 0 100 4 2 2 0 000-4zM12 10a2 2 0 100 4 2 2 0 000-4z"
    "M19 10a2 2 0 100 4 2 2 0 000-4z",
}
_STROKED = {
    "plus": "M12 5v14M5 12h14",
    "help": "M9.2 9.3a2.9 2.9 0 115 2c-1.2 1-2.1 1.5-2.1 3M12 18v.2"
    "M12 2.8a9.2 9.2 0 100 18.4 9.2 9.2 0 000-18.4",
    "tip": "M9 18h6M10 21h4M12 3a6.2 6.2 0 00-3.6 11.3c.5.4.8 1 .8 1.7h5.6"
    "c0-.7.3-1.3.8-1.7A6.2 6.2 0 0012 3",
    "layers": "M12 3.5L3 8.5l9 5 9-5zM3.5 13l8.5 4.7 8.5-4.7",
    "region": "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4",
    "folder": "M3.5 6.5h6l2 2.5h9v10h-17z",
    "next": "M5 12h13M13 6.5l5.5 5.5-5.5 5.5",
    "check": "M5 12.5l4.5 4.5L19 7.5",
    "warning": "M12 4L2.8 20h18.4zM12 10v4.5M12 17.2v.2",
    "curves": "M4 4v16h16M7.5 15.5c3 0 3-7 6-7s2.5 3 6 1",
    "export": "M12 4v11M7.5 10.5L12 15l4.5-4.5M4.5 19.5h15",
}


def _svg(name: str, colour: str) -> bytes:
    if name in _FILLED:
        paint = f'fill="{colour}"'
        path = _FILLED[name]
    else:
        paint = (
            f'fill="none" stroke="{colour}" stroke-width="2" '
            'stroke-linecap="round" stroke-linejoin="round"'
        )
        path = _STROKED[name]
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    return f'{head}<path {paint} d="{path}"/></svg>'.encode()


def pixmap(name: str, colour: str, size_px: int = 16, ratio: float = 1.0) -> QPixmap:
    """Draw an icon; ``ratio`` is the screen's device pixels per pixel."""
    image = QPixmap(QSize(size_px, size_px) * ratio)
    image.setDevicePixelRatio(ratio)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    # left to itself it takes device pixels, and the icon leaves its picture
    place = QRectF(0, 0, size_px, size_px)
    QSvgRenderer(QByteArray(_svg(name, colour))).render(painter, place)
    painter.end()
    return image


def icon(name: str, colour: str, disabled: str | None = None) -> QIcon:
    """Return an icon sharp on screens of ordinary and of double density."""
    result = QIcon()
    for ratio in (1.0, 2.0):
        result.addPixmap(pixmap(name, colour, 16, ratio))
        if disabled is not None:
            result.addPixmap(pixmap(name, disabled, 16, ratio), QIcon.Mode.Disabled)
    return result
