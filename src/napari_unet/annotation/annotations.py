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

from napari_unet.annotation.advice import (
    advise_missing_class,
    advise_missing_objects,
)
from napari_unet.annotation.object_sizes import (
    ObjectSizes,
    object_sizes,
    smallest_object_px,
)
from napari_unet.annotation.object_strokes import find_object_strokes
from napari_unet.annotation.objects import (
    BACKGROUND,
    object_targets,
    shown_value,
    shown_values,
)
from napari_unet.annotation.strokes import (
    HELD_OUT_FOLD,
    Stroke,
    bundles_of,
    check_n_classes,
    deal_folds,
    find_strokes,
)
from napari_unet.config import AnnotationMode
from napari_unet.core.source import ImageSource
from napari_unet.errors import AnnotationError

__all__ = [
    "AnnotatedImage",
    "AnnotationSet",
    "check_annotation",
    "check_complete",
]

MAX_VALUE = 65_535


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its strokes.

    ``annotation`` has the image's spatial shape: the targets, where objects are
    annotated. Then ``objects`` has their ids, as they were painted, and ``sizes`` how
    large they are; else both are None.
    ``has_complete`` tells whether a part of it is completely annotated.
    """

    source: ImageSource
    annotation: NDArray[np.integer]
    strokes: tuple[Stroke, ...]
    objects: NDArray[np.integer] | None = None
    sizes: ObjectSizes | None = None
    has_complete: bool = False

    @property
    def key(self) -> str:
        """Name of the image."""
        return self.source.key

    def plane(self, plane: int) -> NDArray[np.integer]:
        """Return the annotation of one plane, shape (Y, X)."""
        part: NDArray[np.integer] = self.annotation[self.source.stack.index(plane)]
        return part

    def ids(self, plane: int) -> NDArray[np.integer]:
        """Return the ids of one plane's annotated objects, shape (Y, X)."""
        assert self.objects is not None
        part: NDArray[np.integer] = self.objects[self.source.stack.index(plane)]
        return part

    def shown(self, where: tuple[int | slice, ...]) -> NDArray[np.integer]:
        """Return a part of the annotation with the values that predictions have."""
        part: NDArray[np.integer] = self.annotation[where]
        return part if self.objects is None else shown_value(part)

    @cached_property
    def n_objects(self) -> int:
        """Annotated objects; 0 where classes are annotated."""
        if self.objects is None:
            return 0
        # each stroke lies in one object
        ids = {
            int(self.ids(stroke.plane)[tuple(stroke.yx[0])])
            for stroke in self.strokes
            if stroke.value != BACKGROUND
        }
        return len(ids)


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """All annotated images; ``version`` grows with each change.

    ``mode`` tells what is annotated: ``"strokes"``, values are classes; ``"objects"``,
    values from 2 on are ids of objects, and the classes are those of
    `napari_unet.annotation.objects`.
    """

    version: int = 0
    images: tuple[AnnotatedImage, ...] = ()
    mode: AnnotationMode = "strokes"

    @cached_property
    def strokes(self) -> tuple[tuple[AnnotatedImage, Stroke], ...]:
        """Every stroke with its image."""
        return tuple((image, s) for image in self.images for s in image.strokes)

    @cached_property
    def values(self) -> tuple[int, ...]:
        """Values that are to be learned, ascending; of annotated objects, targets."""
        return tuple(sorted({stroke.value for _, stroke in self.strokes}))

    @property
    def of_objects(self) -> bool:
        """Whether objects are annotated, and values are targets."""
        return self.mode == "objects"

    @property
    def shown_values(self) -> tuple[int, ...]:
        """What users see of `values`, ascending."""
        return self.shown(self.values)

    def shown(self, values: tuple[int, ...]) -> tuple[int, ...]:
        """Return the values, ascending, that predictions have for some of `values`."""
        return shown_values(values) if self.of_objects else values

    @property
    def n_objects(self) -> int:
        """Annotated objects in all."""
        return sum(image.n_objects for image in self.images)

    @cached_property
    def smallest_object_px(self) -> int | None:
        """How small an object may be (px), from the annotated ones; None: too few."""
        return smallest_object_px(i.sizes for i in self.images if i.sizes is not None)

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
        complete: NDArray[np.bool_] | None = None,
    ) -> AnnotationSet:
        """Return a newer set in which this image has this annotation.

        Folds are dealt over all images together, stable for strokes that stay;
        ``remembered`` has folds by stroke signature, from a model file. Where
        ``complete``, what is unlabelled is background.

        Raises
        ------
        AnnotationError
            If there are more classes than a network can have.
        """
        image = AnnotatedImage(source, annotation, ())
        if self.of_objects:
            targets = object_targets(annotation, complete)
            sizes = object_sizes(annotation, complete, source.stack.spatial_axes)
            image = replace(image, annotation=targets, objects=annotation, sizes=sizes)
        elif complete is not None:
            filled = np.where(complete & (annotation == 0), BACKGROUND, annotation)
            image = replace(image, annotation=filled.astype(annotation.dtype))
        found = _find_strokes(image)
        before = next((i.strokes for i in self.images if i.key == source.key), ())
        others = [image for image in self.images if image.key != source.key]
        elsewhere = [stroke for image in others for stroke in image.strokes]
        check_n_classes(len({stroke.value for stroke in found + elsewhere}))
        mine = deal_folds(found, n_folds, before, elsewhere, remembered)
        has_complete = complete is not None and bool(complete.any())
        image = replace(image, strokes=mine, has_complete=has_complete)
        return self._newer([*others, image] if found else others)

    def without(self, key: str) -> AnnotationSet:
        """Return a newer set without an image."""
        return self._newer([image for image in self.images if image.key != key])

    def _newer(self, images: list[AnnotatedImage]) -> AnnotationSet:
        images = _trained_on(images)
        return replace(self, version=self.version + 1, images=tuple(images))

    @property
    def can_be_learned(self) -> bool:
        """Whether there are two classes to tell apart."""
        return not self.advise_missing()

    def advise_missing(self, names: Mapping[int, str] | None = None) -> str:
        """Return what to paint while there is too little to learn from, else ''."""
        if self.of_objects:
            # where cells fill everything, there is a border to learn and no background
            is_filled = any(image.has_complete for image in self.images)
            return advise_missing_objects(self.values, is_filled)
        return advise_missing_class(self.values, names)

    def require_two_classes(self) -> None:
        """Raise an `AnnotationError` that says what to paint until two are painted."""
        advice = self.advise_missing()
        if advice:
            raise AnnotationError(advice)


def _find_strokes(image: AnnotatedImage) -> list[Stroke]:
    """Find the strokes of all planes."""
    found: list[Stroke] = []
    for plane in range(image.source.stack.n_planes):
        part = image.plane(plane)
        if not part.any():
            continue
        if image.objects is None:
            found += find_strokes(part, plane)
        else:
            n_bundles = max((stroke.bundle for stroke in found), default=0)
            found += find_object_strokes(image.ids(plane), part, plane, n_bundles)
    return found


def _trained_on(images: list[AnnotatedImage]) -> list[AnnotatedImage]:
    """Return images of whose every class at least one stroke is not held out."""
    strokes = [stroke for image in images for stroke in image.strokes]
    missing = {s.value for s in strokes} - {
        s.value for s in strokes if s.fold != HELD_OUT_FOLD
    }
    result = []
    for image in images:
        mine = list(image.strokes)
        for members in bundles_of(mine):
            if missing & {mine[i].value for i in members}:
                missing -= {mine[i].value for i in members}
                for i in members:
                    mine[i] = replace(mine[i], fold=1)
        result.append(replace(image, strokes=tuple(mine)))
    return result


def check_annotation(
    annotation: NDArray[np.generic],
    spatial_shape: tuple[int, ...],
    mode: AnnotationMode = "strokes",
) -> NDArray[np.integer]:
    """Return a private, read-only copy of an annotation that fits its image.

    ``mode`` tells what its values from 2 on are, for the words of an error.

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
    what = "objects" if mode == "objects" else "classes"
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise AnnotationError(
            f"the annotation has the dtype {array.dtype}: use integers, 0 unlabelled, "
            f"1 background, 2 and up the {what}"
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > MAX_VALUE:
        wrong = low if low < 0 else high
        raise AnnotationError(
            f"the annotation holds the value {wrong}: use 0 for unlabelled, 1 for "
            f"background and 2 to {MAX_VALUE} for the {what}"
            + (f", at most {MAX_VALUE - 1} of them" if mode == "objects" else "")
        )
    frozen: NDArray[np.integer] = array.astype(np.uint8 if high < 256 else np.uint16)
    frozen.flags.writeable = False
    return frozen


def check_complete(
    complete: NDArray[Any] | None, spatial_shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Return where an annotation is complete, as bool that fits the image.

    Raises
    ------
    AnnotationError
        If it has another shape than the image.
    """
    if complete is None:
        return None
    array: NDArray[Any] = np.asarray(complete)
    if array.shape != spatial_shape:
        raise AnnotationError(
            f"the completely annotated part has the shape {array.shape}, but the image "
            f"needs {spatial_shape}"
        )
    return np.asarray(array != 0)
