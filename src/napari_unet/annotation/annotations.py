"""Annotations of one or many images, as immutable versions.

Whoever paints makes a new `AnnotationSet`; whoever learns holds on to the one it has
and takes the newer one between two steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.strokes import (
    HELD_OUT_FOLD,
    Stroke,
    check_n_classes,
    deal_folds,
    find_strokes,
)
from napari_unet.core.source import ImageSource
from napari_unet.errors import AnnotationError

__all__ = ["AnnotatedImage", "AnnotationSet", "check_annotation"]

MAX_VALUE = 65_535


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its strokes; ``annotation`` has the image's spatial shape."""

    source: ImageSource
    annotation: NDArray[np.integer]
    strokes: tuple[Stroke, ...]

    @property
    def key(self) -> str:
        """Name of the image."""
        return self.source.key

    def plane(self, plane: int) -> NDArray[np.integer]:
        """Return the annotation of one plane, shape (Y, X)."""
        part: NDArray[np.integer] = self.annotation[self.source.stack.index(plane)]
        return part


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """All annotated images; ``version`` grows with each change."""

    version: int = 0
    images: tuple[AnnotatedImage, ...] = ()

    @cached_property
    def strokes(self) -> tuple[tuple[AnnotatedImage, Stroke], ...]:
        """Every stroke with its image."""
        return tuple((image, s) for image in self.images for s in image.strokes)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Class values that are painted somewhere, ascending."""
        return tuple(sorted({stroke.value for _, stroke in self.strokes}))

    @property
    def n_px(self) -> int:
        """Annotated pixels in all."""
        return sum(stroke.n_px for _, stroke in self.strokes)

    def with_image(
        self,
        source: ImageSource,
        annotation: NDArray[np.integer],
        n_folds: int,
        remembered: Mapping[str, int] | None = None,
    ) -> AnnotationSet:
        """Return a newer set in which this image has this annotation.

        Folds are dealt over all images together, stable for strokes that stay;
        ``remembered`` has folds by stroke signature, from a model file.

        Raises
        ------
        AnnotationError
            If there are more classes than a network can have.
        """
        stack = source.stack
        found = [
            stroke
            for plane in range(stack.n_planes)
            if annotation[stack.index(plane)].any()
            for stroke in find_strokes(annotation[stack.index(plane)], plane)
        ]
        before = next((i.strokes for i in self.images if i.key == source.key), ())
        others = [image for image in self.images if image.key != source.key]
        elsewhere = [stroke for image in others for stroke in image.strokes]
        check_n_classes(len({stroke.value for stroke in found + elsewhere}))
        mine = deal_folds(found, n_folds, before, elsewhere, remembered)
        images = (
            [*others, AnnotatedImage(source, annotation, mine)] if found else others
        )
        return AnnotationSet(self.version + 1, _trained_on(images))

    def without(self, key: str) -> AnnotationSet:
        """Return a newer set without an image."""
        images = [image for image in self.images if image.key != key]
        return AnnotationSet(self.version + 1, _trained_on(images))

    def require_two_classes(self) -> None:
        """Raise an `AnnotationError` that says what to paint until two are painted."""
        advice = advise_missing_class(self.values)
        if advice:
            raise AnnotationError(advice)


def name_class(value: int, names: Mapping[int, str]) -> str:
    """Return a class's name for a sentence, in quotes, or its number."""
    if value in names:
        return f"'{names[value]}'"
    return "background (1)" if value == 1 else f"class {value}"


def _trained_on(images: list[AnnotatedImage]) -> tuple[AnnotatedImage, ...]:
    """Return images of whose every class at least one stroke is not held out."""
    strokes = [stroke for image in images for stroke in image.strokes]
    missing = {s.value for s in strokes} - {
        s.value for s in strokes if s.fold != HELD_OUT_FOLD
    }
    result = []
    for image in images:
        mine = list(image.strokes)
        for number, stroke in enumerate(mine):
            if stroke.value in missing:
                mine[number] = replace(stroke, fold=1)
                missing.remove(stroke.value)
        result.append(replace(image, strokes=tuple(mine)))
    return tuple(result)


def advise_missing_class(
    values: tuple[int, ...], names: Mapping[int, str] | None = None
) -> str:
    """Return what to paint while fewer than two classes are painted, else ''."""
    if not values:
        return "Nothing is painted yet: paint a stroke on an object and one beside it."
    if values == (1,):
        return "Only background (1) is painted: now paint a stroke on an object (2)."
    if len(values) == 1:
        return (
            f"Only {name_class(values[0], names or {})} is painted: now paint a stroke "
            "of another class, such as background (1)."
        )
    return ""


def check_annotation(
    annotation: NDArray[np.generic], spatial_shape: tuple[int, ...]
) -> NDArray[np.integer]:
    """Return a private, read-only copy of an annotation that fits its image.

    Raises
    ------
    AnnotationError
        If it is not of integers (bool is taken as 0 and 1), has another shape than the
        image, or holds negative values or values above 65,535.
    """
    array: NDArray[Any] = np.asarray(annotation)
    if array.shape != spatial_shape:
        raise AnnotationError(
            f"the annotation has the shape {array.shape}, but the image needs "
            f"{spatial_shape}"
        )
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise AnnotationError(
            f"the annotation has the dtype {array.dtype}: use integers, 0 unlabelled, "
            "1 background, 2 and up the classes"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > MAX_VALUE:
        wrong = low if low < 0 else high
        raise AnnotationError(
            f"the annotation holds the value {wrong}: use 0 for unlabelled, 1 for "
            f"background and 2 to {MAX_VALUE} for the classes"
        )
    frozen: NDArray[np.integer] = array.astype(np.uint8 if high < 256 else np.uint16)
    frozen.flags.writeable = False
    return frozen
