"""Training patches, centred on strokes, with every annotated class in every batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.annotations import AnnotatedImage, AnnotationSet
from napari_unet.annotation.strokes import HELD_OUT_FOLD, Stroke
from napari_unet.core.losses import IGNORE_INDEX

__all__ = ["Patch", "PatchSampler"]


@dataclass(frozen=True, eq=False)
class Patch:
    """``image`` (C, H, W) normalised; ``target`` (H', W') int64 class indices.

    H' = H unless the network is unpadded; then the target is the centre.
    """

    image: NDArray[np.float32]
    target: NDArray[np.int64]


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
    """

    def __init__(
        self,
        annotations: AnnotationSet,
        values: tuple[int, ...],
        image_px: int,
        target_px: int,
        rng: np.random.Generator,
    ) -> None:
        self.image_px, self.target_px = image_px, target_px
        self._rng = rng
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
        self._turn = 0

    def draw(self) -> Patch:
        """Draw one patch around a pixel of the class whose turn it is."""
        strokes = self._classes[self._turn % len(self._classes)]
        self._turn += 1
        image, stroke = strokes[self._rng.integers(len(strokes))]
        y, x = stroke.yx[self._rng.integers(stroke.n_px)]
        # the pixel that was drawn need not be the very centre
        reach = self.target_px // 3
        y += self._rng.integers(-reach, reach + 1)
        x += self._rng.integers(-reach, reach + 1)
        half = self.image_px // 2
        pixels = image.source.read(
            stroke.plane,
            y - half,
            y - half + self.image_px,
            x - half,
            x - half + self.image_px,
        )
        return Patch(pixels, self._target(image, stroke.plane, int(y), int(x)))

    def _target(
        self, image: AnnotatedImage, plane: int, y: int, x: int
    ) -> NDArray[np.int64]:
        """Cut the targets around (y, x); beyond the border nothing is labelled."""
        side = self.target_px
        target = np.full((side, side), IGNORE_INDEX, np.int64)
        painted = image.plane(plane)
        y0, x0 = y - side // 2, x - side // 2
        rows = slice(max(y0, 0), min(y0 + side, painted.shape[0]))
        columns = slice(max(x0, 0), min(x0 + side, painted.shape[1]))
        inside = (
            slice(rows.start - y0, rows.stop - y0),
            slice(columns.start - x0, columns.stop - x0),
        )
        target[inside] = self._lookup[painted[rows, columns]]
        hidden = self._held_out.get((image.key, plane))
        if hidden is not None:
            local = hidden - (y0, x0)
            local = local[((local >= 0) & (local < side)).all(axis=1)]
            target[local[:, 0], local[:, 1]] = IGNORE_INDEX
        return target


def _pixels(image: AnnotatedImage, plane: int) -> NDArray[np.int32]:
    """All held-out pixels of a plane, shape (n, 2)."""
    return np.concatenate(
        [s.yx for s in image.strokes if s.plane == plane and s.fold == HELD_OUT_FOLD]
    )
