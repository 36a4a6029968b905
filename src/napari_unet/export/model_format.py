"""In which formats a model can leave, and by which suffix each is known; no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from napari_unet.errors import ConfigError

__all__ = ["MODEL_SUFFIXES", "ModelFormat", "model_format_of"]

ModelFormat = Literal["bioimageio", "onnx", "torch", "safetensors"]
MODEL_SUFFIXES: dict[ModelFormat, str] = {
    "bioimageio": ".zip",
    "onnx": ".onnx",
    "torch": ".pt2",
    "safetensors": ".safetensors",
}
"""Formats and the suffixes of their files."""


def model_format_of(
    path: str | os.PathLike[str], format: ModelFormat | None
) -> tuple[ModelFormat, Path]:
    """Return the format of a file to write, and its path with the suffix.

    Raises
    ------
    ConfigError
        If there is no such format, or the suffix is that of another one.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    named = {known: name for name, known in MODEL_SUFFIXES.items()}
    if format is not None and format not in MODEL_SUFFIXES:
        raise ConfigError(
            f"there is no format '{format}': choose one of {', '.join(MODEL_SUFFIXES)}"
        )
    if format is None:
        if suffix not in named:
            raise ConfigError(
                f"{path} has the suffix '{suffix}', which tells no format: use one of "
                f"{', '.join(named)}, or name the format"
            )
        return named[suffix], path
    wanted = MODEL_SUFFIXES[format]
    if suffix == wanted:
        return format, path
    if suffix in named:
        raise ConfigError(
            f"{path} has the suffix of another format than {format}: take {wanted}"
        )
    return format, path.with_name(path.name + wanted)
