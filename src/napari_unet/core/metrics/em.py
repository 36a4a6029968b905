"""Scores of membranes that part cells, as in the ISBI 2012 challenge of EM images.

Arganda-Carreras et al. 2015, Crowdsourcing the creation of image segmentation
algorithms for connectomics, doi:10.3389/fnana.2015.00142. The *foreground* is the
inside of cells.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from napari_unet.core.metrics._checks import known_pixels
from napari_unet.core.metrics._contingency import contingency
from napari_unet.core.metrics.warping import warp
from napari_unet.errors import ImageError

__all__ = ["evaluate_em", "rand_and_information", "thin_membrane"]


def evaluate_em(
    prediction: np.ndarray, truth: np.ndarray, *, membrane: int | None = None
) -> dict[str, Any]:
    """Score predicted membranes against the true ones.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        (Y, X), or (N, Y, X) for N planes that are scored each and averaged, as in the
        challenge; the same shape for both. Integers with two values in all: one for the
        membrane, one for the inside of cells. Cells are the 4-connected regions.
    membrane : int, optional
        Value of the membrane. None: the lower one, as in the challenge, whose labels
        have 0 for membranes.

    Returns
    -------
    dict
        ``"v_rand"`` and ``"v_info"``, 0..1, 1 is best: see `rand_and_information`; the
        membrane of the prediction is thinned before, see `thin_membrane`.
        ``"warping_error"``, 0..1, 0 is best: the part of the pixels that differ from
        the prediction after the truth was warped into it, see `warping.warp`. A
        membrane that lies a little beside costs nothing, a gap or a bridge one pixel or
        more.
        ``"pixel_error"``, 0..1: the part of the pixels that differ.
        ``"foreground_iou"`` and ``"membrane_iou"``, 0..1: IoU of cells and of membrane.
        ``"membrane"``: the value taken for it. Python numbers only, fit for JSON. NaN:
        without a true cell V_Rand and V_Info, and the IoU of what is in neither image.

    Raises
    ------
    ImageError
        If shapes differ, are no planes, a type is not integer, or if there are more or
        fewer values than two (with ``membrane``: more than one other value).
    """
    prediction, truth = known_pixels(prediction, truth, None)
    if truth.ndim not in (2, 3):
        raise ImageError(
            "membranes are scored in planes of shape (Y, X) or (N, Y, X), not "
            f"{truth.shape}."
        )
    membrane = _membrane(prediction, truth, membrane)
    true_cells, cells = truth != membrane, prediction != membrane
    shape = (-1, *truth.shape[-2:])
    planes = [
        _score_plane(*pair)
        for pair in zip(cells.reshape(shape), true_cells.reshape(shape), strict=True)
    ]
    scores: dict[str, Any] = {
        name: _mean([plane[name] for plane in planes]) for name in planes[0]
    }
    return scores | {"membrane": membrane}


def rand_and_information(
    prediction: np.ndarray, truth: np.ndarray
) -> tuple[float, float]:
    """Return V_Rand and V_Info, each 0..1, restricted to the true foreground.

    Both weigh splits and mergers the same (alpha = 1/2). With p_ij the part of the true
    foreground that lies in true cell i and predicted cell j, and s_i, t_j the sums over
    the other index, V_Rand = 2 sum p_ij^2 / (sum s_i^2 + sum t_j^2), and V_Info = 2 I /
    (H(s) + H(t)) with mutual information I and entropies H. Where both entropies are 0,
    one cell is found as one cell, and V_Info is 1.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        The same shape, integer: a number for each cell, 0 for the membrane. Where the
        truth is 0, nothing is counted; each pixel where only the prediction is 0 counts
        as a cell of its own.

    Returns
    -------
    tuple of float
        V_Rand and V_Info. NaN where the truth has no cell.

    Raises
    ------
    ImageError
        If shapes differ or a type is not integer.
    """
    prediction, truth = known_pixels(prediction, truth, None)
    is_cell = truth != 0
    n_px = int(np.count_nonzero(is_cell))
    if n_px == 0:
        return math.nan, math.nan
    table = contingency(truth[is_cell], prediction[is_cell])
    is_single = table.column_labels[table.columns] == 0
    n_single = int(table.n_px[is_single].sum())
    single = np.full(n_single, 1 / n_px)
    part = table.n_px / n_px
    columns = np.bincount(table.columns[~is_single], part[~is_single])
    joint = np.concatenate([part[~is_single], single])
    predicted = np.concatenate([columns, single])
    true = np.bincount(table.rows, part)
    v_rand = 2 * (joint @ joint) / (true @ true + predicted @ predicted)
    h_true, h_predicted = _entropy(true), _entropy(predicted)
    if h_true == h_predicted == 0:
        return float(v_rand), 1.0
    information = h_true + h_predicted - _entropy(joint)
    v_info = 2 * information / (h_true + h_predicted)
    # a difference of sums may miss its bounds by rounding
    return min(float(v_rand), 1.0), min(max(v_info, 0.0), 1.0)


def thin_membrane(cells: np.ndarray) -> np.ndarray:
    """Let cells grow until the membrane between them is one pixel wide.

    As in the challenge: a watershed of the binary image floods the membrane from every
    4-connected cell at the same speed, and leaves a line where two cells meet. Membrane
    that does not part two cells vanishes. Without a cell, all is one region: nothing is
    parted.

    Parameters
    ----------
    cells : numpy.ndarray
        (Y, X), bool: True inside cells.

    Returns
    -------
    numpy.ndarray
        (Y, X), int32: a number for each cell, 0 on the lines.
    """
    from scipy.ndimage import label
    from skimage.segmentation import watershed

    markers, n_cells = label(cells)
    if n_cells == 0:
        return np.ones(cells.shape, dtype=np.int32)
    flat = np.zeros(cells.shape, dtype=np.uint8)
    lines = {"connectivity": 1, "watershed_line": True}
    thinned: np.ndarray = watershed(flat, markers, **lines)  # type: ignore[no-untyped-call]
    return thinned


def _score_plane(cells: np.ndarray, true_cells: np.ndarray) -> dict[str, float]:
    from scipy.ndimage import label

    v_rand, v_info = rand_and_information(thin_membrane(cells), label(true_cells)[0])
    return {
        "v_rand": v_rand,
        "v_info": v_info,
        "warping_error": float(np.mean(warp(true_cells, cells) != cells)),
        "pixel_error": float(np.mean(true_cells != cells)),
        "foreground_iou": _iou(cells, true_cells),
        "membrane_iou": _iou(~cells, ~true_cells),
    }


def _membrane(prediction: np.ndarray, truth: np.ndarray, membrane: int | None) -> int:
    """Return the value of the membrane, or raise unless there are two values."""
    found = {int(v) for v in np.union1d(np.unique(prediction), np.unique(truth))}
    values = found if membrane is None else found | {membrane}
    if len(values) > 2 or (membrane is None and len(values) < 2):
        some = ", ".join(map(str, sorted(found)[:5])) + ", .." * (len(found) > 5)
        beside = "" if membrane is None else f" beside {membrane} for the membrane"
        raise ImageError(
            f"prediction and truth hold the values {some}{beside}; membranes are "
            "scored on two values, one for the membrane and one for the cells."
        )
    return min(values) if membrane is None else membrane


def _entropy(parts: np.ndarray) -> float:
    parts = parts[parts > 0]
    return float(-(parts @ np.log(parts))) + 0.0


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else math.nan


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
