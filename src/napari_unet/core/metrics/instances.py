"""Scores of label images with one id per object, from one sparse table of overlaps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_unet.core.metrics._checks import known_pixels
from napari_unet.core.metrics._contingency import contingency
from napari_unet.errors import ImageError

__all__ = [
    "IOU_THRESHOLDS",
    "Overlaps",
    "aggregated_jaccard",
    "average_precision",
    "evaluate_instances",
    "n_matches",
    "overlaps",
    "panoptic_quality",
    "seg_score",
]

IOU_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
"""0.5, 0.55 .. 0.95, as in the Data Science Bowl 2018 and COCO."""


@dataclass(frozen=True)
class Overlaps:
    """Sizes of true and predicted objects, and which of them share pixels.

    Parameters
    ----------
    true_px, predicted_px : numpy.ndarray
        (n_true,) and (n_predicted,), int64: pixels of each object, in the order in
        which the objects first appear in the image (last axis fastest).
    true, predicted : numpy.ndarray
        (n_pairs,), int64: indices of the objects of each pair that overlaps.
    shared_px : numpy.ndarray
        (n_pairs,), int64: pixels that the pair shares, at least 1.
    """

    true_px: np.ndarray
    predicted_px: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    shared_px: np.ndarray

    @property
    def n_true(self) -> int:
        """Number of true objects."""
        return len(self.true_px)

    @property
    def n_predicted(self) -> int:
        """Number of predicted objects."""
        return len(self.predicted_px)

    @property
    def union_px(self) -> np.ndarray:
        """(n_pairs,), int64: pixels that either object of a pair covers."""
        union: np.ndarray = (
            self.true_px[self.true] + self.predicted_px[self.predicted] - self.shared_px
        )
        return union

    @property
    def iou(self) -> np.ndarray:
        """(n_pairs,), float64, above 0, at most 1: intersection over union."""
        iou: np.ndarray = self.shared_px / self.union_px
        return iou


def overlaps(
    prediction: np.ndarray, truth: np.ndarray, *, ignore: int | None = None
) -> Overlaps:
    """Count the pixels of every object and of every pair that overlaps.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        Any shape, the same for both; integers of any type, 0 for the background. An
        object is all pixels of one number, connected or not.
    ignore : int, optional
        Value of the truth whose pixels are left out, as if the image had none there.

    Raises
    ------
    ImageError
        If shapes differ, a type is not integer, a label is negative, or no pixel is
        left to compare.
    """
    for name, array in (("prediction", prediction), ("truth", truth)):
        lowest = np.asarray(array).min(initial=0)
        if lowest < 0:
            raise ImageError(
                f"the {name} holds the label {lowest}; objects are numbered from 1, "
                "and 0 is the background."
            )
    prediction, truth = known_pixels(prediction, truth, ignore)
    table = contingency(truth, prediction)
    rows, true_px = _objects(table.row_labels, table.rows, table.n_px)
    columns, predicted_px = _objects(table.column_labels, table.columns, table.n_px)
    true, predicted = rows[table.rows], columns[table.columns]
    is_pair = (true >= 0) & (predicted >= 0)
    return Overlaps(
        true_px, predicted_px, true[is_pair], predicted[is_pair], table.n_px[is_pair]
    )


def n_matches(overlaps: Overlaps, threshold: float) -> int:
    """Return how many pairs of one true and one predicted object match.

    A pair matches where its IoU is ``threshold`` or more, and each object belongs to
    one pair at most. Above 0.5 that cannot be otherwise; at and below it, the largest
    possible number of pairs is taken (Hopcroft-Karp), as in StarDist.
    """
    is_hit = overlaps.iou >= threshold
    n_hits = int(np.count_nonzero(is_hit))
    if threshold > 0.5 or n_hits == 0:
        return n_hits
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    places = overlaps.true[is_hit], overlaps.predicted[is_hit]
    shape = overlaps.n_true, overlaps.n_predicted
    graph = csr_array((np.ones(n_hits, np.int8), places), shape=shape)
    return int(np.count_nonzero(maximum_bipartite_matching(graph) >= 0))


def average_precision(overlaps: Overlaps, threshold: float) -> float:
    """Return TP / (TP + FP + FN), 0..1; NaN where neither image has an object.

    The measure of the Data Science Bowl 2018 (Caicedo et al. 2019,
    doi:10.1038/s41592-019-0612-7) and of StarDist. No curve of confidences is behind
    it: labels have none. See `n_matches` for what counts as TP.
    """
    n_hits = n_matches(overlaps, threshold)
    return _ratio(n_hits, overlaps.n_true + overlaps.n_predicted - n_hits)


def panoptic_quality(overlaps: Overlaps) -> tuple[float, float, float]:
    """Return PQ, SQ and RQ, each 0..1, of all objects as one class.

    Kirillov et al. 2019 (arXiv:1801.00868): SQ is the mean IoU of the pairs whose IoU
    is above 0.5, RQ is TP / (TP + FP/2 + FN/2), PQ their product. If nothing matches,
    SQ is 0, so that the product holds; where neither image has an object, all are NaN.
    """
    iou = overlaps.iou
    iou = iou[iou > 0.5]
    rq = _ratio(2 * len(iou), overlaps.n_true + overlaps.n_predicted)
    if math.isnan(rq):
        return rq, rq, rq
    sq = float(iou.mean()) if len(iou) else 0.0
    return sq * rq, sq, rq


def seg_score(overlaps: Overlaps) -> float:
    """Return SEG, 0..1: the mean IoU over true objects; NaN where there are none.

    The Cell Tracking Challenge (Maska et al. 2014, doi:10.1093/bioinformatics/btu080):
    a true object is compared with the predicted one that covers more than half of it,
    and counts 0 without such a one. Objects predicted where nothing is cost nothing.
    """
    is_majority = 2 * overlaps.shared_px > overlaps.true_px[overlaps.true]
    return _ratio(float(overlaps.iou[is_majority].sum()), overlaps.n_true)


def aggregated_jaccard(overlaps: Overlaps) -> float:
    """Return AJI, 0..1; NaN where neither image has an object.

    Kumar et al. 2017 (doi:10.1109/TMI.2017.2677499), as in the program that the
    authors gave to the MoNuSeg challenge: every true object takes the predicted one of
    highest IoU, which several may take (AJI+ forbids that); a true object that meets
    none, and each predicted object that nobody took, add their pixels to the union. Of
    equal IoUs, the predicted object that appears first in the image is taken (there:
    the one of the lowest number, so that renumbering could change the score).
    """
    # by true object, the best pair first; the table is sorted by appearance
    order = np.lexsort((overlaps.predicted, -overlaps.iou, overlaps.true))
    met, first = np.unique(overlaps.true[order], return_index=True)
    best = order[first]
    is_alone = np.ones(overlaps.n_true, dtype=bool)
    is_alone[met] = False
    is_unused = np.ones(overlaps.n_predicted, dtype=bool)
    is_unused[overlaps.predicted[best]] = False
    union_px = (
        overlaps.union_px[best].sum()
        + overlaps.true_px[is_alone].sum()
        + overlaps.predicted_px[is_unused].sum()
    )
    return _ratio(int(overlaps.shared_px[best].sum()), int(union_px))


def evaluate_instances(
    prediction: np.ndarray, truth: np.ndarray, *, ignore: int | None = None
) -> dict[str, Any]:
    """Score predicted objects against the true ones.

    Parameters
    ----------
    prediction, truth : numpy.ndarray
        Any shape, such as (Y, X) or (Z, Y, X), the same for both; integers of any type,
        0 for the background, another number for each object.
    ignore : int, optional
        Value of the truth whose pixels are left out of both images, such as that of a
        region that nobody annotated. An object that lies in there altogether is none.

    Returns
    -------
    dict
        ``"seg"``, ``"pq"``, ``"sq"``, ``"rq"``, ``"ap50"``, ``"ap"`` (a dict from the
        threshold to the value, 0.5 to 0.95), ``"map"`` (its mean), ``"f1_50"`` and
        ``"aji"``, all 0..1, and the counts ``"n_true"`` and ``"n_predicted"``. Python
        numbers only, fit for JSON. The functions of the same names say what each is.
        Where neither image has an object, there is nothing to find and nothing found:
        all are NaN, which a mean over images leaves out, as 0 would punish and 1 would
        flatter. Objects in one image only: 0, but SEG is NaN without true objects.

    Raises
    ------
    ImageError
        If shapes differ, a type is not integer, a label is negative, or no pixel is
        left to compare.
    """
    table = overlaps(prediction, truth, ignore=ignore)
    pq, sq, rq = panoptic_quality(table)
    precisions = {
        threshold: average_precision(table, threshold) for threshold in IOU_THRESHOLDS
    }
    n_objects = table.n_true + table.n_predicted
    return {
        "seg": seg_score(table),
        "pq": pq,
        "sq": sq,
        "rq": rq,
        "ap50": precisions[0.5],
        "ap": precisions,
        "map": sum(precisions.values()) / len(precisions),
        "f1_50": _ratio(2 * n_matches(table, 0.5), n_objects),
        "aji": aggregated_jaccard(table),
        "n_true": table.n_true,
        "n_predicted": table.n_predicted,
    }


def _objects(
    labels: np.ndarray, places: np.ndarray, n_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each label's object (-1 for the background), and each object's pixels."""
    is_object = labels != 0
    numbers = np.where(is_object, np.cumsum(is_object) - 1, -1)
    sizes = np.zeros(len(labels), dtype=np.int64)
    np.add.at(sizes, places, n_px)
    return numbers, sizes[is_object]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
