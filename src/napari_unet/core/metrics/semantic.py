"""Scores of labels against the truth: confusion matrix, IoU and Dice per class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_unet.core.metrics._checks import (
    as_labels,
    check_same_shape,
    known_pixels,
)
from napari_unet.errors import ImageError

__all__ = ["confusion_matrix", "dice_per_class", "evaluate", "iou_per_class"]

_MAX_CLASSES = 1000  # beyond, somebody compares instances, and the matrix explodes


def confusion_matrix(
    truth: np.ndarray,
    prediction: np.ndarray,
    values: Sequence[int],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Count how often each true value was predicted as each value.

    Parameters
    ----------
    truth : numpy.ndarray
        Any shape, integer. Pixels with a value that is not in ``values`` are left out.
    prediction : numpy.ndarray
        Of the same shape, integer.
    values : sequence of int
        The n values to count, in the order of rows and columns.
    weights : numpy.ndarray, optional
        Of the same shape: how much each pixel counts, at least 0. None: once.

    Returns
    -------
    numpy.ndarray
        (n, n), float64; rows are the truth, columns the prediction.

    Raises
    ------
    ImageError
        If shapes differ, a type is not integer, ``values`` repeat, or a predicted value
        is not in ``values`` (leaving such a pixel out would flatter the score).
    """
    truth, prediction = as_labels(truth, "truth"), as_labels(prediction, "prediction")
    check_same_shape(truth, prediction, "truth and prediction")
    order = np.argsort(np.asarray(values, dtype=np.int64), kind="stable")
    ordered = np.asarray(values, dtype=np.int64)[order]
    n = len(ordered)
    if n == 0 or (np.diff(ordered) == 0).any():
        raise ImageError(f"class values must be given, each once; got {list(values)}.")
    if n > _MAX_CLASSES:
        raise ImageError(
            f"{n} different values are too many for classes (at most {_MAX_CLASSES}); "
            "compare class labels, not instances."
        )
    rows, is_known = _places(truth.ravel(), ordered)
    columns, is_predictable = _places(prediction.ravel()[is_known], ordered)
    if not is_predictable.all():
        wrong = prediction.ravel()[is_known][~is_predictable][0]
        raise ImageError(
            f"the prediction holds the value {wrong}, not one of {list(values)}."
        )
    per_px = None
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        check_same_shape(truth, weights, "truth and weights")
        per_px = weights.ravel()[is_known]
    flat = np.bincount(order[rows[is_known]] * n + order[columns], per_px, n * n)
    return flat.reshape(n, n).astype(np.float64)


def iou_per_class(matrix: np.ndarray) -> np.ndarray:
    """Return each class's intersection over union (Jaccard index).

    Parameters
    ----------
    matrix : numpy.ndarray
        (n, n), of :func:`confusion_matrix`.

    Returns
    -------
    numpy.ndarray
        (n,), float64, 0..1; NaN for a class that is in neither truth nor prediction.
    """
    hits, total = np.diag(matrix), matrix.sum(0) + matrix.sum(1)
    return _ratio(hits, total - hits)


def dice_per_class(matrix: np.ndarray) -> np.ndarray:
    """Return each class's Dice coefficient (F1 score).

    Parameters
    ----------
    matrix : numpy.ndarray
        (n, n), of :func:`confusion_matrix`.

    Returns
    -------
    numpy.ndarray
        (n,), float64, 0..1; NaN for a class that is in neither truth nor prediction.
    """
    return _ratio(2 * np.diag(matrix), matrix.sum(0) + matrix.sum(1))


def evaluate(
    prediction: np.ndarray, truth: np.ndarray, *, ignore: int | None = None
) -> dict[str, Any]:
    """Score labels against the truth.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        Any shape, the same for both, integer.
    ignore : int, optional
        Value of the truth whose pixels are left out, such as 0 for unlabelled. Where
        it is *predicted* on a known pixel, that pixel counts as missed, but the value
        is no class of its own.

    Returns
    -------
    dict
        ``"classes"``: for each value in truth or prediction a dict with ``"iou"`` and
        ``"dice"`` (0..1) and ``"n_px"`` (pixels of the truth); ``"mean_iou"`` and
        ``"mean_dice"``: means over these classes, each counting the same; ``"n_px"``:
        pixels compared. Python numbers only, fit for JSON.

    Raises
    ------
    ImageError
        If shapes differ, a type is not integer, or no pixel is left to compare.
    """
    prediction, truth = known_pixels(prediction, truth, ignore)
    values = [int(v) for v in np.union1d(np.unique(truth), np.unique(prediction))]
    matrix = confusion_matrix(truth, prediction, values)
    iou, dice, n_px = iou_per_class(matrix), dice_per_class(matrix), matrix.sum(1)
    classes = {
        value: {"iou": float(iou[i]), "dice": float(dice[i]), "n_px": int(n_px[i])}
        for i, value in enumerate(values)
        if value != ignore
    }
    return {
        "classes": classes,
        "mean_iou": float(np.mean([c["iou"] for c in classes.values()])),
        "mean_dice": float(np.mean([c["dice"] for c in classes.values()])),
        "n_px": int(truth.size),
    }


def _places(array: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each value is in ``ordered``, and whether it is there at all."""
    places = np.searchsorted(ordered, array).clip(max=len(ordered) - 1)
    return places, ordered[places] == array


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    result = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
