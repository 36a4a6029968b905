"""Colours and the style sheet of our docks, taken from napari's theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtGui import QColor

__all__ = ["Palette", "palette_of", "style_sheet"]

ACCENT = "#0072B2"
"""The palette's blue: white text on it reads well (5.2 : 1) in both themes."""


@dataclass(frozen=True)
class Palette:
    """Colours as ``"#rrggbb"``.

    Every text has a contrast of 4.5 : 1 or more wherever it stands, and what is
    disabled 3 : 1 (WCAG 2.2, 1.4.3, which asks nothing of the latter).
    """

    background: str
    card: str
    line: str
    text: str
    muted: str
    disabled: str
    accent: str
    accent_hover: str
    warning: str
    error: str
    advice: str
    is_dark: bool


def _mix(a: str, b: str, share: float) -> str:
    """Return a colour between two: share 0 gives ``a``, 1 gives ``b``."""
    first, second = QColor(a), QColor(b)
    parts = [
        round(x + (y - x) * share)
        for x, y in zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    ]
    return QColor(*parts).name()


def palette_of(viewer: Any) -> Palette:
    """Return the colours that go with the viewer's theme."""
    theme = get_theme(viewer.theme)

    def colour(name: str) -> str:
        return QColor(*getattr(theme, name).as_rgb_tuple()[:3]).name()

    background, text = colour("background"), colour("text")
    is_dark = theme.type == "dark"
    return Palette(
        background=background,
        card=_mix(background, text, 0.055),
        line=_mix(background, text, 0.16),
        text=text,
        muted=_mix(background, text, 0.74),
        disabled=_mix(background, text, 0.6),
        accent=ACCENT,
        accent_hover=_mix(ACCENT, "#000000", 0.14),
        warning="#E69F00" if is_dark else "#854E00",
        error="#FF7B72" if is_dark else "#B3261E",
        advice="#56B4E9" if is_dark else "#00588A",
        is_dark=is_dark,
    )


def style_sheet(palette: Palette) -> str:
    """Return the style sheet of a dock; napari's own stays in force for the rest."""
    parts = (_texts, _frames, _buttons, _disabled)  # the last one wins
    return "".join(part(palette) for part in parts)


def _texts(p: Palette) -> str:
    return f"""
    QLabel[part="muted"] {{ color: {p.muted}; }}
    QLabel[part="caption"] {{ color: {p.muted}; font-weight: 600; }}
    QLabel[part="key"] {{
        color: {p.muted}; border: 1px solid {_mix(p.background, p.text, 0.26)};
        border-radius: 3px;
        padding: 0px 4px;
    }}
    QLabel[part="strong"] {{ font-weight: 600; }}
    QLabel[level="info"] {{ color: {p.muted}; }}
    QLabel[level="advice"] {{ color: {p.text}; }}
    QLabel[level="warning"] {{ color: {p.warning}; }}
    QLabel[level="error"] {{ color: {p.error}; }}
    """


def _frames(p: Palette) -> str:
    return f"""
    QFrame[part="card"] {{ background-color: {p.card}; border-radius: 6px; }}
    QFrame[part="card"] QLabel, QFrame[part="card"] QWidget[part="clear"] {{
        background-color: transparent;
    }}
    QFrame[part="tip"] {{
        background-color: {_mix(p.background, p.advice, 0.14)}; border-radius: 6px;
    }}
    QFrame[part="tip"] QLabel {{ background-color: transparent; }}
    QFrame[part="row"] {{ background-color: transparent; border-radius: 4px; }}
    QFrame[part="row"][chosen="true"] {{
        background-color: {_mix(p.card, p.text, 0.08)};
    }}
    QFrame[part="page"] {{
        background-color: {p.background}; border: 1px solid {p.line};
    }}
    QFrame[part="line"] {{ background-color: {p.line}; }}
    QListView {{ background-color: {p.card}; border: 0px; border-radius: 6px; }}
    QProgressBar {{
        background-color: {p.line}; border: 0px; border-radius: 2px;
        min-height: 4px; max-height: 4px;
    }}
    QProgressBar::chunk {{ background-color: {p.accent}; border-radius: 2px; }}
    QLineEdit[part="name"] {{
        background-color: transparent; min-height: 16px; padding: 0px 2px;
        border-radius: 3px;
    }}
    QLineEdit[part="name"]:focus {{ background-color: {p.background}; }}
    """


def _buttons(p: Palette) -> str:
    return f"""
    QPushButton {{ padding: 5px 6px; border-radius: 4px; }}
    QPushButton[part="primary"] {{
        background-color: {p.accent}; color: #ffffff; font-weight: 600;
    }}
    QPushButton[part="primary"]:hover {{ background-color: {p.accent_hover}; }}
    QPushButton[part="flat"], QToolButton {{
        background-color: transparent; padding: 3px; border-radius: 4px; border: 0px;
    }}
    QPushButton[part="flat"]:hover, QToolButton:hover {{
        background-color: {p.line};
    }}
    QPushButton[part="entry"] {{
        background-color: transparent; border: 0px; padding: 4px; text-align: left;
    }}
    QPushButton[part="entry"]:hover {{ background-color: {p.line}; }}
    QPushButton[part="left"] {{
        border-top-right-radius: 0px; border-bottom-right-radius: 0px;
    }}
    QPushButton[part="right"] {{
        border-top-left-radius: 0px; border-bottom-left-radius: 0px;
    }}
    QPushButton[part="left"]:checked, QPushButton[part="right"]:checked {{
        background-color: {p.accent}; color: #ffffff;
    }}
    QToolButton::menu-indicator {{ image: none; }}
    """


def _disabled(p: Palette) -> str:
    """Napari's own colour of what is disabled can hardly be read (2 : 1)."""
    return f"""
    QLabel:disabled, QLabel[part]:disabled, QLineEdit:disabled, QCheckBox:disabled,
    QComboBox:disabled {{ color: {p.disabled}; }}
    QPushButton:disabled, QPushButton[part="primary"]:disabled,
    QPushButton[part="left"]:checked:disabled,
    QPushButton[part="right"]:checked:disabled {{
        background-color: {p.card}; color: {p.disabled}; border: 1px solid {p.line};
    }}
    QPushButton[part="flat"]:disabled {{
        background-color: transparent; border: 0px;
    }}
    """
