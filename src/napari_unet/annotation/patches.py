"""Training patches, centred on strokes, with every annotated class in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.annotations import AnnotatedImage, AnnotationSet
from napari_unet.annotation.border_weights import border_weights, label_objects
from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.strokes import HELD_OUT_FOLD, Stroke
from napari_unet.annotation.tiled import Cell, corner_of, neighbour_groups
from napari_unet.core.losses import IGNORE_INDEX
from napari_unet.core.source import ImageSource

__all__ = ["Border", "Patch", "PatchSampler"]


@dataclass(frozen=True, eq=False)
class Patch:
    """``image`` (C, H, W) normalised; ``target`` (H', W') int64 class indices.

    With planes around, the image is a slab (C, 2k + 1, H, W) with the target's plane in
    its middle. H' = H unless the network is unpadded; then the target is the centre.
    ``border`` (H', W') is the border weight of each pixel, None unless the sampler has
    a border.
    """

    image: NDArray[np.float32]
    target: NDArray[np.int64]
    border: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Border:
    """The border weights that patches are to have: see `border_weights`."""

    w0: float
    sigma_px: float


class PatchSampler:
    """Draws patches around strokes that are not held out.

    Classes take turns, so that a batch of at least K patches holds every annotated
    class; within a class every stroke is as likely as any other, however long it is.

    Parameters
    ----------
    annotations
        What is painted.
    values
        Class value of each network output, in order.
    image_px, target_px
        Sides of a patch and of the part of it that has targets (px).
    rng
        Source of all random choices.
    border
        Border weights of the patches, between objects that are not held out: those that
        were annotated, or else the connected parts of each class but the background.
    keeps_inside
        Whether targets lie inside the image where they fit, and in its middle where
        they do not.
    planes_around
        Planes k on each side of a target that its patch shows.

    Attributes
    ----------
    turn
        How many patches were drawn, which tells whose turn it is.
    """

    def __init__(
        self,
        annotations: AnnotationSet,
        values: tuple[int, ...],
        image_px: int,
        target_px: int,
        rng: np.random.Generator,
        border: Border | None = None,
        keeps_inside: bool = False,
        planes_around: int = 0,
    ) -> None:
        self._planes_around = planes_around
        self.image_px, self.target_px = image_px, target_px
        self._rng, self._border, self._keeps_inside = rng, border, keeps_inside
        self._border_maps: dict[tuple[str, int], list[_Part]] = {}
        self._lookup = np.full(65_536, IGNORE_INDEX, np.int64)
        self._lookup[list(values)] = np.arange(len(values))
        self._classes: list[list[tuple[AnnotatedImage, Stroke]]] = []
        for value in annotations.values:
            members = [pair for pair in annotations.strokes if pair[1].value == value]
            kept = [pair for pair in members if pair[1].fold != HELD_OUT_FOLD]
            self._classes.append(kept or members)
        self._held_out = {
            (image.key, plane): _pixels(image, plane)
            for image in annotations.images
            for plane in {s.plane for s in image.strokes if s.fold == HELD_OUT_FOLD}
        }
        self.turn = 0

    def draw(self) -> Patch:
        """Draw one patch around a pixel of the class whose turn it is."""
        strokes = self._classes[self.turn % len(self._classes)]
        self.turn += 1
        image, stroke = strokes[self._rng.integers(len(strokes))]
        y, x = stroke.yx[self._rng.integers(stroke.n_px)]
        # the pixel that was drawn need not be the very centre
        reach = self.target_px // 3
        y += self._rng.integers(-reach, reach + 1)
        x += self._rng.integers(-reach, reach + 1)
        if self._keeps_inside:
            height, width = image.source.stack.plane_shape
            y, x = self._inside(y, height), self._inside(x, width)
        half = self.image_px // 2
        pixels = self._read(image.source, stroke.plane, int(y) - half, int(x) - half)
        corner = (int(y) - self.target_px // 2, int(x) - self.target_px // 2)
        target = self._target(image, stroke.plane, corner)
        if self._border is None:
            return Patch(pixels, target)
        weights = np.zeros(target.shape, np.float32)
        for part in self._border_map(image, stroke.plane):
            np.maximum(weights, part.cut(corner, self.target_px), out=weights)
        return Patch(pixels, target, weights)

    def _read(
        self, source: ImageSource, plane: int, y: int, x: int
    ) -> NDArray[np.float32]:
        """Read a patch's pixels from a corner on."""
        box = y, y + self.image_px, x, x + self.image_px
        if not self._planes_around:
            return source.read(plane, *box)
        return source.read_slab(plane, 1, self._planes_around, box)

    def _inside(self, centre: int, n: int) -> int:
        """Return the centre of a target that lies inside an axis of n px."""
        side, half = self.target_px, self.target_px // 2
        if side >= n:
            return (n - side) // 2 + half
        return min(max(centre, half), n - side + half)

    def _target(
        self, image: AnnotatedImage, plane: int, corner: tuple[int, int]
    ) -> NDArray[np.int64]:
        """Cut the targets from a corner on; beyond the border nothing is labelled."""
        side = self.target_px
        target = np.full((side, side), IGNORE_INDEX, np.int64)
        shape = image.source.stack.plane_shape
        there, here = _overlap(corner, side, shape)
        target[here] = self._lookup[image.annotation.read(plane, there)]
        hidden = self._held_out.get((image.key, plane))
        if hidden is not None:
            local = hidden - corner
            local = local[((local >= 0) & (local < side)).all(axis=1)]
            target[local[:, 0], local[:, 1]] = IGNORE_INDEX
        return target

    def _border_map(self, image: AnnotatedImage, plane: int) -> list[_Part]:
        """Return a plane's border weights where it is annotated, once computed."""
        key = (image.key, plane)
        if key not in self._border_maps:
            self._border_maps[key] = [
                self._border_part(image, plane, group)
                for group in neighbour_groups(image.annotation.cells.get(plane, ()))
            ]
        return self._border_maps[key]

    def _border_part(
        self, image: AnnotatedImage, plane: int, group: Sequence[Cell]
    ) -> _Part:
        """Compute the border weights around neighbouring tiles."""
        assert self._border is not None
        box, painted = (image.objects or image.annotation).part(plane, group)
        hidden = self._held_out.get((image.key, plane))
        if hidden is not None:  # where they lie is not to be learned either
            local = hidden - corner_of(box)
            local = local[((local >= 0) & (local < painted.shape)).all(axis=1)]
            painted[local[:, 0], local[:, 1]] = 0
        objects = (
            np.where(painted > BACKGROUND, painted, 0)
            if image.objects is not None
            else label_objects(painted)
        )
        weights = border_weights(objects, self._border.w0, self._border.sigma_px)
        return _Part(corner_of(box), weights)


@dataclass(frozen=True, eq=False)
class _Part:
    """Weights of a rectangle of a plane; 0 around it."""

    corner: tuple[int, int]
    weights: NDArray[np.float32]

    def cut(self, corner: tuple[int, int], side: int) -> NDArray[np.float32]:
        """Return the square (side, side) of the plane from a corner on."""
        result = np.zeros((side, side), np.float32)
        local = (corner[0] - self.corner[0], corner[1] - self.corner[1])
        there, here = _overlap(local, side, self.weights.shape)
        result[here] = self.weights[there]
        return result


def _overlap(
    corner: tuple[int, int], side: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a square lies in an array of that shape, and that in the square."""
    spans = [
        (min(max(at, 0), n), max(min(at + side, n), 0))
        for at, n in zip(corner, shape, strict=True)
    ]
    there = tuple(slice(*span) for span in spans)
    here = tuple(
        slice(start - at, stop - at)
        for (start, stop), at in zip(spans, corner, strict=True)
    )
    return (there[0], there[1]), (here[0], here[1])


def _pixels(image: AnnotatedImage, plane: int) -> NDArray[np.int32]:
    """All held-out pixels of a plane, shape (n, 2)."""
    return np.concatenate(
        [s.yx for s in image.strokes if s.plane == plane and s.fold == HELD_OUT_FOLD]
    )
