"""Whether a window can open here, asked in a process of its own.

Where Qt cannot start, it aborts the process that tried.
"""

from __future__ import annotations

import os
import subprocess
import sys

__all__ = ["ask", "has_screen", "window_system"]

_OPEN = "import qtpy.QtWidgets as w; a = w.QApplication([]); print(a.platformName())"


def has_screen() -> bool:
    """Whether there seems to be a screen."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def window_system() -> str | None:
    """Return where Qt opens windows, such as ``"xcb"``; None if it cannot."""
    return ask(_OPEN)


def ask(code: str) -> str | None:
    """Return what Python code prints in a fresh process; None if it fails."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
