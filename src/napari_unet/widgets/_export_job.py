"""What an export needs besides the dock: the path, the facts of the layer, the job."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from napari.layers import Labels

from napari_unet.errors import FileError
from napari_unet.export import check_label_suffix, write_labels
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["export_job", "export_path", "label_options"]


def export_path(text: str, suffix: str) -> Path:
    """Return the file that a typed text names; ``suffix`` is for one that has none.

    Raises
    ------
    FileError
        If it names no file, a folder, or a format that labels cannot be written to.
    """
    if not text.strip():
        raise FileError("Choose a file first.")
    try:
        path = Path(text.strip()).expanduser()
    except RuntimeError as error:
        raise FileError(
            f"{text} starts with the name of nobody who has a home folder here; "
            "choose another folder"
        ) from error
    if not path.name or os.path.isdir(path):
        raise FileError(f"{path} is a folder; give the name of a file in it")
    if not path.suffix:
        path = path.with_name(f"{path.name}{suffix}")
    check_label_suffix(path)
    return path


def label_options(
    layer: Labels, axes: str | None, names: dict[int, str]
) -> dict[str, Any]:
    """Return what a file should say about a layer beside its pixels."""
    unit = str(layer.units[-1])
    return {
        "axes": axes,
        "scale": tuple(float(s) for s in layer.scale),
        "unit": None if unit == "pixel" else unit,
        "class_names": names,
    }


def export_job(
    token: CancelToken, path: Path, labels: Any, options: dict[str, Any]
) -> Generator[JobEvent, None, Path]:
    """Write a label array; returns the file."""
    yield from ()
    return write_labels(path, labels, **options)
