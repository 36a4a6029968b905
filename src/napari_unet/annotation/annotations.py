"""Annotations of one or many images, as immutable versions.

Whoever paints makes a new `AnnotationSet`; whoever learns holds on to the one it has
and takes the newer one between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.advice import (
    advise_missing_class,
    advise_missing_objects,
)
from napari_unet.annotation.checks import (
    MAX_VALUE,
    check_annotation,
    check_complete,
)
from napari_unet.annotation.coarse import coarse_annotation
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
    HOLD_OUT_PX,
    Stroke,
    bundled,
    bundles_of,
    check_n_classes,
    deal_folds,
    find_strokes_in,
)
from napari_unet.annotation.tiled import (
    Box,
    Cell,
    TiledLabels,
    corner_of,
    neighbour_groups,
)
from napari_unet.config import AnnotationMode, HoldOut
from napari_unet.core.source import ImageSource
from napari_unet.errors import AnnotationError

__all__ = [
    "MAX_VALUE",
    "AnnotatedImage",
    "AnnotationSet",
    "check_annotation",
    "check_complete",
]


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with its strokes.

    ``source`` is the image as it is learned from, at `AnnotationSet.downsampling`, and
    ``full`` as it was given.
    ``annotation`` has the source's spatial shape: the targets, where objects are
    annotated. Then ``objects`` has their ids, as they were painted, and ``sizes`` how
    large they are; else both are None.
    ``has_complete`` tells whether a part of it is completely annotated.
    """

    source: ImageSource
    full: ImageSource
    annotation: TiledLabels
    strokes: tuple[Stroke, ...]
    objects: TiledLabels | None = None
    sizes: ObjectSizes | None = None
    has_complete: bool = False
    full_px: int | None = None
    """Painted pixels of the full image; None: those of the strokes."""

    @property
    def n_px(self) -> int:
        """Annotated pixels of the image as it was given."""
        if self.full_px is not None:
            return self.full_px
        return sum(stroke.n_px for stroke in self.strokes)

    @property
    def key(self) -> str:
        """Name of the image."""
        return self.source.key

    def shown(self, plane: int, box: Box) -> NDArray[np.integer]:
        """Return a part of the annotation with the values that predictions have."""
        part: NDArray[np.integer] = self.annotation.read(plane, box)
        return part if self.objects is None else shown_value(part)

    @cached_property
    def n_objects(self) -> int:
        """Annotated objects; 0 where classes are annotated."""
        if self.objects is None:
            return 0
        ids: set[int] = set()
        for tile in self.objects.tiles.values():
            ids.update(np.unique(tile[tile > BACKGROUND]).tolist())
        return len(ids)


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """All annotated images; ``version`` grows with each change.

    ``mode`` tells what is annotated: ``"strokes"``, values are classes; ``"objects"``,
    values from 2 on are ids of objects, and the classes are those of
    `napari_unet.annotation.objects`. ``downsampling`` is how many pixels along Y and X
    become one before anything is learned; sizes and counts stay those of the image.
    """

    version: int = 0
    images: tuple[AnnotatedImage, ...] = ()
    mode: AnnotationMode = "strokes"
    downsampling: int = 1

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
        """Annotated pixels in all, of the images as they were given."""
        return sum(image.n_px for image in self.images)

    def with_image(
        self,
        source: ImageSource,
        annotation: TiledLabels | NDArray[np.integer],
        n_folds: int,
        remembered: Mapping[str, int] | None = None,
        complete: TiledLabels | NDArray[np.bool_] | None = None,
        hold_out: HoldOut = "stroke",
    ) -> AnnotationSet:
        """Return a newer set in which this image has this annotation.

        Folds are dealt over all images together, stable for strokes that stay;
        ``remembered`` has folds by stroke signature, from a model file. Where
        ``complete``, what is unlabelled is background. ``hold_out`` is what is held out
        as a whole.

        Raises
        ------
        AnnotationError
            If there are more classes than a network can have.
        """
        painted = TiledLabels.of(annotation)
        region = None if complete is None else TiledLabels.of(complete)
        sizes = full_px = None
        if self.of_objects:
            sizes = object_sizes(painted, region, source.stack.spatial_axes)
        if self.downsampling > 1:
            painted, region, full_px = coarse_annotation(
                painted, region, self.downsampling
            )
        seen = source.coarsened(self.downsampling)
        image = AnnotatedImage(seen, source, painted, (), sizes=sizes, full_px=full_px)
        if self.of_objects:
            targets = _by_group(painted, region, object_targets, np.uint8)
            image = replace(image, annotation=targets, objects=painted)
        elif region is not None:
            filled = _by_group(painted, region, _fill_background, painted.dtype)
            image = replace(image, annotation=filled)
        square_px = HOLD_OUT_PX // self.downsampling
        found = bundled(_find_strokes(image), hold_out, square_px)
        before = next((i.strokes for i in self.images if i.key == source.key), ())
        others = [image for image in self.images if image.key != source.key]
        elsewhere = [stroke for image in others for stroke in image.strokes]
        check_n_classes(len({stroke.value for stroke in found + elsewhere}))
        mine = deal_folds(found, n_folds, before, elsewhere, remembered)
        has_complete = region is not None and region.any()
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


def _by_group(
    painted: TiledLabels,
    complete: TiledLabels | None,
    make: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    dtype: Any,
) -> TiledLabels:
    """Make other labels of what is painted and where it is complete, group by group.

    ``make`` must look no farther than a tile.
    """
    parts = (
        (plane, box, make(part, region))
        for plane, box, part, region in painted.groups_with(complete)
    )
    return TiledLabels.of_parts(painted.shape, dtype, parts)


def _fill_background(
    annotation: NDArray[Any], complete: NDArray[np.bool_]
) -> NDArray[Any]:
    filled: NDArray[Any] = np.where(
        complete & (annotation == 0), BACKGROUND, annotation
    )
    return filled


def _find_strokes(image: AnnotatedImage) -> list[Stroke]:
    """Find the strokes of all planes."""
    found: list[Stroke] = []
    annotation, objects = image.annotation, image.objects
    n_bundles = 0
    for plane, cells in annotation.cells.items():
        if objects is None:
            groups = annotation.groups(plane)
            found += find_strokes_in(
                [(corner_of(b), part) for b, part in groups], plane
            )
            continue
        parts = []
        for group in _with_whole_objects(objects, plane, neighbour_groups(cells)):
            box, ids = objects.part(plane, group)
            targets = annotation.part(plane, group)[1]
            parts.append((corner_of(box), ids, targets))
        mine = find_object_strokes(parts, plane, n_bundles)
        n_bundles = max([n_bundles, *(stroke.bundle for stroke in mine)])
        found += mine
    return found


def _with_whole_objects(
    objects: TiledLabels, plane: int, groups: list[list[Cell]]
) -> list[list[Cell]]:
    """Join groups of tiles that hold parts of one object."""
    owner: dict[int, int] = {}
    joined: dict[int, list[Cell]] = {}
    for number, group in enumerate(groups):
        tiles = (objects.tiles.get((plane, *cell)) for cell in group)
        ids = {int(i) for tile in tiles if tile is not None for i in np.unique(tile)}
        ids -= {0, BACKGROUND}
        earlier = {owner[i] for i in ids if i in owner}
        members = list(group)
        for old in earlier:
            members += joined.pop(old)
        owner |= dict.fromkeys(ids, number)
        owner |= {i: number for i, old in owner.items() if old in earlier}
        joined[number] = members
    return list(joined.values())


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
