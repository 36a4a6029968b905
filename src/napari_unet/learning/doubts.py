"""What can be learned from, but hardly to any purpose: said before the long work."""

from __future__ import annotations

from collections import Counter

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.config import LearnerConfig
from napari_unet.jobs import Notice
from napari_unet.learning.images import anisotropy_learned

__all__ = ["Doubts", "find_doubt"]

_MANY_VALUES = 20
"""Nobody names so many classes; crowded images have as many objects."""
_SEVERAL_VALUES = 10
"""From here on, one mark for each value speaks for objects."""


def find_doubt(annotations: AnnotationSet) -> str:
    """Say what is suspicious about images or annotations, and what to do; else ''."""
    for image in annotations.images:
        if image.source.normaliser.is_flat:
            shape = image.source.stack.spatial_shape
            return (
                f"The annotated image of {' × '.join(map(str, shape))} px has the same "
                "value everywhere, so nothing can tell classes apart in it: check that "
                "it is the right image."
            )
    return _find_numbered(annotations)


def _find_numbered(annotations: AnnotationSet) -> str:
    n_marks = Counter(stroke.value for _, stroke in annotations.strokes)
    n_values = len(n_marks)
    is_numbered = n_values >= _SEVERAL_VALUES and max(n_marks.values()) == 1
    if n_values > _MANY_VALUES or is_numbered:
        return (
            f"The {n_values} values of the annotation look like numbers of objects, "
            "not classes: give all objects of a kind one value (1 background, 2 "
            "objects), or train with --annotation-mode objects."
        )
    return ""


def _find_far_planes(annotations: AnnotationSet, config: LearnerConfig) -> str:
    if config.dimensions != "3d" or not annotations.images:
        return ""
    start = config.unet_config(1, 2)
    seen = anisotropy_learned(annotations)
    if config.trained_config(start, seen) != start:
        return ""
    # in pixels of the image as it was given
    distance = config.voxel_anisotropy or seen * config.downsampling
    limit = 2 ** (config.depth + 1) * config.downsampling
    return (
        f"Planes lie {distance:.3g} pixels apart, and from {limit} on '3d' cannot see "
        "them together: each is learned by itself, as with '2d'; choose '2.5d' to see "
        "the next planes all the same."
    )


class Doubts:
    """Tells each doubt once, when it arises."""

    def __init__(self) -> None:
        self._told = ""

    def news(self, annotations: AnnotationSet, config: LearnerConfig) -> list[Notice]:
        """Return what was not told yet."""
        # far planes are a choice, and must not stand before what to paint next
        doubt = find_doubt(annotations) or _find_far_planes(annotations, config)
        is_new = doubt not in ("", self._told)
        self._told = doubt
        return [Notice(doubt, "caution")] if is_new else []
