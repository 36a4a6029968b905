"""What every score asks of its two label arrays."""

from __future__ import annotations

import numpy as np

from napari_unet.errors import ImageError

__all__ = ["as_labels", "check_same_shape", "known_pixels"]


def as_labels(array: np.ndarray, name: str) -> np.ndarray:
    """Return an array of integers, or raise."""
    array = np.asarray(array)
    if array.dtype.kind not in "biu":
        raise ImageError(f"the {name} must hold integers (labels), not {array.dtype}.")
    return array


def check_same_shape(a: np.ndarray, b: np.ndarray, what: str) -> None:
    """Raise if two arrays differ in shape."""
    if a.shape != b.shape:
        raise ImageError(f"{what} differ in shape: {a.shape} and {b.shape}.")


def known_pixels(
    prediction: np.ndarray, truth: np.ndarray, ignore: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return checked labels, without the pixels whose truth is ``ignore``."""
    prediction, truth = as_labels(prediction, "prediction"), as_labels(truth, "truth")
    check_same_shape(prediction, truth, "prediction and truth")
    if ignore is not None:
        is_known = truth != ignore
        prediction, truth = prediction[is_known], truth[is_known]
    if truth.size == 0:
        left = "" if ignore is None else f": all are {ignore}, which is ignored"
        raise ImageError(f"the truth has no pixel to compare{left}.")
    return prediction, truth
