"""Private copies of annotations, and what a layer must hold to be one."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels

from napari_unet.annotation.strokes import MAX_CLASSES, check_n_classes
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.errors import AnnotationError
from napari_unet.widgets._layers import ROLE

__all__ = ["class_names_of", "fault_of", "snapshot"]

_MAX_VALUE = 65535


def fault_of(layer: Labels, mode: AnnotationMode = "strokes") -> str:
    """Say why a layer's values cannot be learned in a mode, or ``""``.

    Numbers of objects are no classes, say: cheap beside making a row for each of them.
    """
    try:
        _dtype_of(TiledLabels.of(layer.data), layer.name, mode)
    except AnnotationError as error:
        return str(error)
    return ""


def snapshot(
    layer: Labels,
    previous: TiledLabels | None = None,
    mode: AnnotationMode = "strokes",
) -> TiledLabels | None:
    """Copy what is painted for the job, or return None when it is as before.

    Of what was never painted on nothing is copied, nor does it take memory or time: a
    slide of 40,000 px a side is looked through in a few frames.

    Returns
    -------
    TiledLabels of uint8 or uint16, the layer's shape

    Raises
    ------
    AnnotationError
        If a value is negative or above 65535, or there are too many classes.
    """
    data = TiledLabels.of(layer.data)
    if previous is not None and previous.is_same(data):
        return None
    return data.astype(_dtype_of(data, layer.name, mode))


def class_names_of(layer: Labels) -> dict[int, str]:
    """Return the class names that a sample wrote into its layer's metadata."""
    names = layer.metadata.get(f"{ROLE} classes", {})
    return {int(value): str(name) for value, name in names.items()}


def _dtype_of(data: TiledLabels, name: str, mode: AnnotationMode) -> Any:
    """Return the smallest type that holds the values, or raise AnnotationError."""
    low, high = data.min(), data.max()
    if low < 0 or high > _MAX_VALUE:
        what = "classes" if mode == "strokes" else "background and the objects"
        raise AnnotationError(
            f"the annotation '{name}' holds the value {low if low < 0 else high}; use "
            f"0 for unlabelled and 1, 2, ... for the {what}"
        )
    if (
        mode == "strokes" and high > MAX_CLASSES
    ):  # only then can there be too many: most never count
        is_there = np.zeros(high + 1, bool)
        for tile in data.tiles.values():
            is_there[tile] = True
        check_n_classes(int(np.count_nonzero(is_there[1:])))
    return np.uint8 if high <= 255 else np.uint16
