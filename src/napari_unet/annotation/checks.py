"""Whether what somebody painted fits its image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.errors import AnnotationError

__all__ = ["MAX_VALUE", "check_annotation", "check_complete"]

MAX_VALUE = 65_535


def check_annotation(
    annotation: TiledLabels | NDArray[np.generic],
    spatial_shape: tuple[int, ...],
    mode: AnnotationMode = "strokes",
) -> TiledLabels:
    """Return a private copy of what is painted, if it fits its image.

    ``mode`` tells what its values from 2 on are, for the words of an error.

    Raises
    ------
    AnnotationError
        If it is not of integers (bool is taken as 0 and 1), has another shape than the
        image, or holds negative values or values above 65,535.
    """
    array: Any = annotation
    if not hasattr(array, "shape") or not hasattr(array, "dtype"):
        array = np.asarray(array)
    shape = tuple(int(n) for n in array.shape)
    if shape != spatial_shape:
        raise AnnotationError(
            f"the annotation has the shape {shape}, but the image needs {spatial_shape}"
        )
    what = "objects" if mode == "objects" else "classes"
    if np.dtype(array.dtype).kind not in "biu":
        raise AnnotationError(
            f"the annotation has the dtype {array.dtype}: use integers, 0 unlabelled, "
            f"1 background, 2 and up the {what}"
        )
    labels = TiledLabels.of(array)
    low, high = labels.lowest, labels.highest
    if low < 0 or high > MAX_VALUE:
        wrong = low if low < 0 else high
        raise AnnotationError(
            f"the annotation holds the value {wrong}: use 0 for unlabelled, 1 for "
            f"background and 2 to {MAX_VALUE} for the {what}"
            + (f", at most {MAX_VALUE - 1} of them" if mode == "objects" else "")
        )
    return labels.astype(np.uint8 if high < 256 else np.uint16)


def check_complete(
    complete: TiledLabels | NDArray[Any] | None, spatial_shape: tuple[int, ...]
) -> TiledLabels | None:
    """Return where an annotation is complete, as bool that fits the image.

    Raises
    ------
    AnnotationError
        If it has another shape than the image.
    """
    if complete is None:
        return None
    array: Any = complete if hasattr(complete, "shape") else np.asarray(complete)
    shape = tuple(int(n) for n in array.shape)
    if shape != spatial_shape:
        raise AnnotationError(
            f"the completely annotated part has the shape {shape}, but the image "
            f"needs {spatial_shape}"
        )
    return TiledLabels.of(array).astype(bool)
