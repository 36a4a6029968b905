"""Keeps napari from crashing in its drawing code after layers were removed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

__all__ = ["keep_shaders"]


def keep_shaders() -> None:
    """Let vispy keep the shader programs of layers that were removed.

    With vispy 0.17 on Mesa, drawing crashed the process (``glDrawArrays``) soon after
    layers had left and others had come, however long one waited between; with programs
    that are not deleted it did not. One takes a few kB, the pixels of a layer are freed
    as before. (napari #7345 and #8471 are of the kind.)
    """
    with suppress(ImportError, AttributeError):  # of another version of vispy
        from vispy.gloo.glir import GlirProgram  # type: ignore[import-untyped]

        GlirProgram.delete = _keep


def _keep(_program: Any) -> None:
    """Delete nothing; the driver does when the window closes."""
