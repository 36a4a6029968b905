"""Scores of labels against the truth.

`semantic`: IoU and Dice per class. `instances`: label images with one id per object.
`em`: cells that thin membranes part, as in the ISBI 2012 challenge (`warping` belongs
to it). Each has one function that returns a dict of plain numbers, and its parts are
public too. SciPy and scikit-image are loaded by those scores only that need them.
"""

from napari_unet.core.metrics.em import (
    evaluate_em,
    rand_and_information,
    thin_membrane,
)
from napari_unet.core.metrics.instances import (
    IOU_THRESHOLDS,
    Overlaps,
    aggregated_jaccard,
    average_precision,
    evaluate_instances,
    n_matches,
    overlaps,
    panoptic_quality,
    seg_score,
)
from napari_unet.core.metrics.semantic import (
    confusion_matrix,
    dice_per_class,
    evaluate,
    iou_per_class,
)
from napari_unet.core.metrics.warping import warp

__all__ = [
    "IOU_THRESHOLDS",
    "Overlaps",
    "aggregated_jaccard",
    "average_precision",
    "confusion_matrix",
    "dice_per_class",
    "evaluate",
    "evaluate_em",
    "evaluate_instances",
    "iou_per_class",
    "n_matches",
    "overlaps",
    "panoptic_quality",
    "rand_and_information",
    "seg_score",
    "thin_membrane",
    "warp",
]
