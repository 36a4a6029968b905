"""A predictor that looks at a coarser image, for labels of the full one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_unet.core.source import ImageSource
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.tiles import Tile

__all__ = ["Enlarged", "with_rim"]

Floats = NDArray[np.float32]
_RIM_PX = 1  # as far as linear interpolation reaches


@dataclass(frozen=True, eq=False)
class Enlarged:
    """Predicts with another predictor at a fraction of the resolution.

    Tiles and probabilities are those of the full image. Probabilities are enlarged
    linearly, before a class is chosen, so that outlines are smooth; a coarse pixel lies
    exactly on its block. Each tile is computed with the neighbours that it is
    interpolated with: there are no seams.

    Attributes
    ----------
    inner
        Predicts the coarse image.
    factor
        Pixels of the image, along Y and X, for one that ``inner`` sees.
    """

    inner: Predictor
    factor: int

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.inner.name

    @property
    def values(self) -> tuple[int, ...]:
        """Class values, in the order of the probabilities."""
        return self.inner.values

    @property
    def generation(self) -> int:
        """Number of the model that it is part of."""
        return self.inner.generation

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.inner.device

    @property
    def planes_around(self) -> int:
        """How many planes above and below a plane it looks at."""
        return self.inner.planes_around

    def without_cache(self) -> Enlarged:
        """Return the same, which keeps no features: for tiles that are seen once."""
        return Enlarged(self.inner.without_cache(), self.factor)

    def on(self, device: torch.device) -> Enlarged:
        """Return the same on another device, with weights and a cache of its own."""
        return Enlarged(self.inner.on(device), self.factor)

    def planes_at_once(self, source: ImageSource, tile_px: int) -> int:
        """Return how many planes are best asked for one after the other."""
        coarse = source.coarsened(self.factor)
        return self.inner.planes_at_once(coarse, -(-tile_px // self.factor))

    def window(self, source: ImageSource, tile: Tile) -> tuple[ImageSource, Tile]:
        """Return the coarse image, and the rectangle of it, that it reads."""
        coarse = source.coarsened(self.factor)
        return self.inner.window(coarse, self._within(coarse, tile))

    def probabilities(
        self, source: ImageSource, plane: int, tile: Tile, n_planes: int = 1
    ) -> Floats:
        """Return shape (K, h, w); ``source`` may be the coarse image, ``tile`` not."""
        coarse = source.coarsened(self.factor)
        part = self._within(coarse, tile)
        found = self.inner.probabilities(coarse, plane, part, n_planes)
        enlarged = F.interpolate(
            torch.from_numpy(found)[None],
            scale_factor=self.factor,
            mode="bilinear",
            align_corners=False,
        )[0]
        y, x = tile.y0 - part.y0 * self.factor, tile.x0 - part.x0 * self.factor
        height, width = tile.shape
        return enlarged[:, y : y + height, x : x + width].numpy()

    def _within(self, coarse: ImageSource, tile: Tile) -> Tile:
        """Return the coarse tile that a tile is interpolated from."""
        n = self.factor
        part = Tile(tile.y0 // n, -(-tile.y1 // n), tile.x0 // n, -(-tile.x1 // n))
        return with_rim(part, coarse)


def with_rim(tile: Tile, source: ImageSource) -> Tile:
    """Return a tile of a coarse image with its neighbours; of the full one, itself.

    Who asks for the features of a tile as it is predicted finds them in the cache.
    """
    if source.stack.factor == 1:
        return tile
    height, width = source.stack.plane_shape
    return tile.grown(_RIM_PX).common(Tile(0, height, 0, width))
