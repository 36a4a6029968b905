"""What to paint once learning works: what the strokes do not cover yet, in words.

One sentence at a time, and none where nothing stands out: advice that is always there
is not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from napari_unet.annotation.advice import name_class
from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.jobs import Score

__all__ = ["advise_variety"]

_FEW, _TIMES_MORE = 2, 4
_MIN_STROKES = 3
"""Of every class, before anything is said of planes or scores: first things first."""
_MIN_PLANES = 3
_WEAK_IOU = 0.5


def advise_variety(
    annotations: AnnotationSet, score: Score | None, names: Mapping[int, str]
) -> str:
    """Return what to paint next, '' where strokes are spread well enough.

    Said is, in this order: that a class has at most two strokes, and another one four
    times as many; that all strokes are in one plane of a stack; that a class is wrong
    on most of its strokes that were held out. Nothing is said of annotated objects.
    """
    if annotations.of_objects or not annotations.strokes:
        return ""
    counts = Counter(stroke.value for _, stroke in annotations.strokes)
    rare, n_rare = min(counts.items(), key=lambda item: (item[1], item[0]))
    common, n_common = max(counts.items(), key=lambda item: (item[1], -item[0]))
    if n_rare <= _FEW and n_common >= _TIMES_MORE * n_rare:
        strokes = "stroke" if n_rare == 1 else "strokes"
        return (
            f"Only {n_rare} {strokes} of {name_class(rare, names)} against {n_common} "
            f"of {name_class(common, names)}: paint more of it, where it looks "
            "different."
        )
    if n_rare < _MIN_STROKES:
        return ""
    return _advise_planes(annotations) or _advise_weak(score, names)


def _advise_planes(annotations: AnnotationSet) -> str:
    planes = {(image.key, stroke.plane) for image, stroke in annotations.strokes}
    stack = annotations.images[0].source.stack
    if len(planes) > 1 or stack.n_planes < _MIN_PLANES:
        return ""
    return (
        f"All strokes are on one of {stack.n_planes} planes: paint on another one, far "
        "from it, where the overlay is wrong."
    )


def _advise_weak(score: Score | None, names: Mapping[int, str]) -> str:
    if score is None or not score.iou:
        return ""
    value, iou = min(score.iou.items(), key=lambda item: (item[1], item[0]))
    if iou >= _WEAK_IOU:
        return ""
    return (
        f"{name_class(value, names)} is often taken for something else (held-out IoU "
        f"{iou:.2f}): paint more of it, and of what is beside it, along the border."
    )
