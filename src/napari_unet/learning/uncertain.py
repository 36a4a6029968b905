"""What is known of a model's uncertainty: maps for the overlay, means to rank by."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.tiled import TILE_PX, TiledLabels
from napari_unet.config import UncertaintyMeasure
from napari_unet.core.source import ImageSource
from napari_unet.inference.predict import Store, predict_planes
from napari_unet.inference.prediction import Prediction
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.regions import BLOCK_PX, block_means, highest_region
from napari_unet.inference.tiles import Tile, plan_tiles
from napari_unet.inference.uncertainty import (
    all_classes,
    disagreement,
    entropy,
    mirrored,
    mirrored_views,
)
from napari_unet.jobs import CancelToken, JobEvent, TilePredicted, UncertaintyMapped

if TYPE_CHECKING:
    from napari_unet.learning.state import State

__all__ = ["Region", "UncertaintyWatch", "survey"]

_STRIDE_PX = 4
"""Every so many pixels are enough for a mean over a block: a tile costs 0.1 ms."""
_PLANES_APART = 2
"""Planes next to each other look alike: so near, one region stands for the others."""
_GOLDEN = 0.618034  # any run of its multiples is spread evenly over 0..1


@dataclass(frozen=True)
class Region:
    """A rectangle of a plane, and how unsure the model is there, 0..1, on average."""

    plane: int
    tile: Tile
    score: float


class UncertaintyWatch:
    """Looks at the tiles that are predicted anyway; keeps a mean for each block.

    Attributes
    ----------
    measure
        How uncertainty is measured.
    wants_maps
        Whether each pixel of it is wanted, for `take_maps`.
    """

    def __init__(self, measure: UncertaintyMeasure = "entropy") -> None:
        self.measure: UncertaintyMeasure = measure
        self.wants_maps = False
        self._maps: list[UncertaintyMapped] = []
        self._means: dict[tuple[str, int], NDArray[np.float32]] = {}
        self._seen_as: dict[tuple[str, int], NDArray[np.int64]] = {}  # generations
        self._taken: list[tuple[str, int, Tile]] = []
        self._generation = -1
        self._mirrored: tuple[int, dict[str, ImageSource]] = (0, {})

    def reset(self) -> None:
        """Forget everything but the wishes."""
        self._maps.clear()
        self._means.clear()
        self._seen_as.clear()
        self._taken.clear()
        self._generation = -1
        self._mirrored = (0, {})

    def measure_by(self, measure: UncertaintyMeasure) -> None:
        """Measure differently from now on."""
        if measure != self.measure:
            self.measure = measure
            self.reset()

    def storing(
        self,
        store: Store | None,
        source: ImageSource,
        predictor: Predictor,
        of_objects: bool,
        *,
        is_asked: bool = False,
    ) -> Store:
        """Return a store that passes tiles on to another one, and looks at them.

        Not at those whose uncertainty has its price, unless maps are wanted or it
        ``is_asked`` for.
        """
        is_free = self.measure == "entropy"

        def look(plane: int, tile: Tile, found: Prediction) -> None:
            if store is not None:
                store(plane, tile, found)
            if is_free or is_asked or self.wants_maps:
                self._look(source, predictor, of_objects, plane, tile, found)

        return look

    def _look(
        self,
        source: ImageSource,
        predictor: Predictor,
        of_objects: bool,
        plane: int,
        tile: Tile,
        found: Prediction,
    ) -> None:
        generation = predictor.generation
        if generation > self._generation:  # who was somewhere may be led there again
            self._generation = generation
            self._taken.clear()
        is_known = self.is_known(source.key, plane, tile, generation)
        if is_known and not self.wants_maps:
            return
        if self.measure == "flips":
            others = mirrored_views(
                predictor, self._mirrors(source), plane, tile, of_objects
            )
            values = disagreement([all_classes(found), *others])
        elif self.wants_maps:
            values = entropy(all_classes(found))
        else:
            values = _sparse_entropy(found)
        self._keep(source, plane, tile, block_means(values), generation)
        if self.wants_maps:
            percent = np.round(values * 100).astype(np.uint8)
            index = source.stack.index(plane)
            self._maps.append(
                UncertaintyMapped(source.key, index, tile.y0, tile.x0, percent)
            )

    def _mirrors(self, source: ImageSource) -> dict[str, ImageSource]:
        if self._mirrored[0] != source.uid:
            self._mirrored = source.uid, {axis: mirrored(source, axis) for axis in "YX"}
        return self._mirrored[1]

    def _keep(
        self,
        source: ImageSource,
        plane: int,
        tile: Tile,
        means: NDArray[np.float32],
        generation: int,
    ) -> None:
        place = source.key, plane
        if place not in self._means:
            shape = tuple(-(-n // BLOCK_PX) for n in source.stack.plane_shape)
            self._means[place] = np.full(shape, np.nan, np.float32)
            self._seen_as[place] = np.full(shape, -1)
        there = self._means[place][_blocks_of(tile)]
        there[:] = means[: there.shape[0], : there.shape[1]]
        self._seen_as[place][_blocks_of(tile)] = generation

    def take_maps(self) -> list[UncertaintyMapped]:
        """Return the maps since the last call."""
        maps, self._maps = self._maps, []
        return maps

    def forget(self, key: str) -> None:
        """Forget what is known of an image."""
        for known in (self._means, self._seen_as):
            for place in [place for place in known if place[0] == key]:
                del known[place]
        self._taken = [taken for taken in self._taken if taken[0] != key]
        if any(source.key == key for source in self._mirrored[1].values()):
            self._mirrored = (0, {})  # which would keep the image

    def is_known(self, key: str, plane: int, tile: Tile, generation: int) -> bool:
        """Whether a tile was seen as this model or a newer one predicts it."""
        seen_as = self._seen_as.get((key, plane))
        if seen_as is None:
            return False
        return bool((seen_as[_blocks_of(tile)] >= generation).all())

    def mean(self, key: str | None = None) -> float | None:
        """Return the mean over all that is known of an image, or of all; or None."""
        parts = [m for (of, _), m in self._means.items() if key in (None, of)]
        known = [part[np.isfinite(part)] for part in parts]
        n = sum(part.size for part in known)
        return sum(float(part.sum(dtype=float)) for part in known) / n if n else None

    def next_region(
        self, key: str, painted: TiledLabels, complete: TiledLabels | None = None
    ) -> Region | None:
        """Return the least certain region of an image that is not annotated.

        None of them is returned a second time until the model changed. What is known of
        an older model counts where there is nothing newer.
        """
        best: Region | None = None
        for (of, plane), means in self._means.items():
            if of != key:
                continue
            blocks = _painted_blocks(painted, complete, plane, means.shape)
            taken = [
                tile
                for k, p, tile in self._taken
                if k == key and abs(p - plane) <= _PLANES_APART
            ]
            height, width = painted.shape[-2:]
            found = highest_region(means, blocks, taken, (height, width))
            if found is not None and (best is None or found[1] > best.score):
                best = Region(plane, *found)
        if best is not None:
            self._taken.append((key, best.plane, best.tile))
        return best


def survey(
    state: State,
    source: ImageSource,
    watch: UncertaintyWatch,
    max_tiles: int,
    token: CancelToken | None,
) -> Generator[JobEvent, None, None]:
    """Let the watch see what it does not know of an image, at most so many tiles.

    They are spread over the image: a coarse look at all of it tells more than a close
    one at its first rows. Yields what `predict_planes` yields, but no tiles: a
    patchwork is no overlay.
    """
    assert state.model is not None
    predictor = state.predictor()
    tiles = sorted(plan_tiles(source.stack.plane_shape, state.tiles.full_px))
    unknown = [
        (plane, tile)
        for plane in range(source.stack.n_planes)
        for tile in tiles
        if not watch.is_known(source.key, plane, tile, predictor.generation)
    ]
    for plane, tile in _spread(unknown, max_tiles):
        of_objects = state.annotations.of_objects
        job = predict_planes(
            predictor,
            source,
            [plane],
            state.tiles.full_px,
            region=tile,
            store=watch.storing(None, source, predictor, of_objects, is_asked=True),
            token=token,
            of_objects=of_objects,
        )
        for event in job:
            if not isinstance(event, TilePredicted):
                yield event


def _blocks_of(tile: Tile) -> tuple[slice, slice]:
    """Return which rows and columns of blocks a tile covers."""
    return (
        slice(tile.y0 // BLOCK_PX, -(-tile.y1 // BLOCK_PX)),
        slice(tile.x0 // BLOCK_PX, -(-tile.x1 // BLOCK_PX)),
    )


def _spread(items: list[Any], n: int) -> list[Any]:
    """Return ``n`` items, spread over the list; all of them where there are no more."""
    if len(items) <= n:
        return items
    places = {int(i * _GOLDEN % 1 * len(items)) for i in range(n)}
    return [items[place] for place in sorted(places)]


def _sparse_entropy(found: Prediction) -> NDArray[np.float32]:
    """Return the entropy of some pixels, each in the place of those around it."""
    height, width = found.probabilities.shape[1:]
    some = slice(None, None, _STRIDE_PX), slice(None, None, _STRIDE_PX)
    border = None if found.border is None else found.border[some]
    thin = Prediction(found.values, found.probabilities[:, *some], border)
    values = entropy(all_classes(thin))
    full = values.repeat(_STRIDE_PX, axis=0).repeat(_STRIDE_PX, axis=1)
    return full[:height, :width]


def _painted_blocks(
    painted: TiledLabels,
    complete: TiledLabels | None,
    plane: int,
    shape: tuple[int, ...],
) -> NDArray[np.bool_]:
    """Return which blocks of a plane hold annotation."""
    blocks = np.zeros(shape, bool)
    n = TILE_PX // BLOCK_PX
    for labels in (painted, complete):
        for row, column in () if labels is None else labels.cells.get(plane, ()):
            assert labels is not None
            tile = labels.tiles[plane, row, column] != 0
            height, width = (-(-size // BLOCK_PX) for size in tile.shape)
            whole = np.zeros((height * BLOCK_PX, width * BLOCK_PX), bool)
            whole[: tile.shape[0], : tile.shape[1]] = tile
            found = whole.reshape(height, BLOCK_PX, width, BLOCK_PX).any(axis=(1, 3))
            y, x = row * n, column * n
            blocks[y : y + height, x : x + width] |= found
    return blocks
