"""Features at annotated pixels: what the instant stage is fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.annotation.annotations import AnnotatedImage, AnnotationSet
from napari_unet.inference.tiles import Tile
from napari_unet.learning.candidates import FeatureCache, Network

__all__ = ["Samples", "collect_samples"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Group:
    """Samples ``rows`` lie in one tile at pixels ``yx`` (n, 2) of its plane."""

    image: AnnotatedImage
    plane: int
    tile: Tile
    rows: NDArray[np.intp]
    yx: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Samples:
    """n annotated pixels with their class, stroke, fold, weight and features.

    Attributes
    ----------
    values
        Class values; ``targets`` (n,) are indices into them.
    strokes, folds
        Shape (n,), number of the pixel's stroke, and its fold.
    weights
        Shape (n,). A stroke counts with the square root of its length, so that a long
        one does not drown the others; classes have the same sum.
    network, filters
        Features, shapes (n, F) and (n, G).
    groups
        Where the samples are.
    """

    values: tuple[int, ...]
    targets: NDArray[np.intp]
    strokes: NDArray[np.intp]
    folds: NDArray[np.intp]
    weights: Floats
    network: Floats
    filters: Floats
    groups: tuple[Group, ...]

    def in_tiles(self, tile_px: int) -> Samples:
        """Return the same samples, dealt to other tiles."""
        groups = [
            group
            for old in self.groups
            for group in _tiles(old.image, old.plane, old.yx, old.rows, tile_px)
        ]
        return replace(self, groups=tuple(groups))


def collect_samples(
    annotations: AnnotationSet,
    network: Network,
    cache: FeatureCache,
    *,
    n_levels: int,
    tile_px: int,
    max_px: int,
) -> Samples:
    """Read the features at the annotated pixels, or at an even part of them.

    Tiles that have not changed since the last call come out of the cache.
    """
    values = annotations.values
    cap = max(4, max_px // max(1, len(annotations.strokes)))
    columns: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("targets", "strokes", "folds", "weights")
    }
    places: dict[tuple[str, int], list[NDArray[np.int32]]] = {}
    owners: dict[tuple[str, int], list[NDArray[np.intp]]] = {}
    images = {image.key: image for image in annotations.images}
    n = 0
    for number, (image, stroke) in enumerate(annotations.strokes):
        size = min(cap, stroke.n_px)
        yx = stroke.yx[np.linspace(0, stroke.n_px - 1, size).astype(int)]
        columns["targets"].append(np.full(size, values.index(stroke.value)))
        columns["strokes"].append(np.full(size, number))
        columns["folds"].append(np.full(size, stroke.fold))
        columns["weights"].append(np.full(size, np.sqrt(stroke.n_px) / size))
        places.setdefault((image.key, stroke.plane), []).append(yx)
        owners.setdefault((image.key, stroke.plane), []).append(np.arange(n, n + size))
        n += size
    groups = [
        group
        for (key, plane), parts in places.items()
        for group in _tiles(
            images[key],
            plane,
            np.concatenate(parts),
            np.concatenate(owners[key, plane]),
            tile_px,
        )
    ]
    targets = np.concatenate(columns["targets"])
    weights = np.concatenate(columns["weights"]).astype(np.float32)
    for index in range(len(values)):
        weights[targets == index] /= weights[targets == index].sum()
    features = [_read(group, network, cache, n_levels) for group in groups]
    order = np.argsort(np.concatenate([group.rows for group in groups]))
    return Samples(
        values=values,
        targets=targets,
        strokes=np.concatenate(columns["strokes"]),
        folds=np.concatenate(columns["folds"]),
        weights=weights,
        network=np.concatenate([f[0] for f in features])[order],
        filters=np.concatenate([f[1] for f in features])[order],
        groups=tuple(groups),
    )


def _tiles(
    image: AnnotatedImage,
    plane: int,
    yx: NDArray[np.int32],
    rows: NDArray[np.intp],
    tile_px: int,
) -> Iterator[Group]:
    """Deal pixels of a plane to the tiles of the grid."""
    height, width = image.source.stack.plane_shape
    cells, owner = np.unique(yx // tile_px, axis=0, return_inverse=True)
    for number, (row, column) in enumerate(cells):
        y, x = int(row) * tile_px, int(column) * tile_px
        tile = Tile(y, min(y + tile_px, height), x, min(x + tile_px, width))
        mine = owner.ravel() == number
        yield Group(image, plane, tile, rows[mine], yx[mine])


def _read(
    group: Group, network: Network, cache: FeatureCache, n_levels: int
) -> tuple[Floats, Floats]:
    """Return network (n, F) and filter features (n, G) of a group's pixels."""
    source, plane, tile, yx = group.image.source, group.plane, group.tile, group.yx

    def sample() -> tuple[Floats, Floats]:
        maps = cache.maps(network, source, plane, tile, n_levels)
        with torch.inference_mode():
            deep = maps.sample(torch.from_numpy(yx.astype(np.int64))).cpu().numpy()
        filters = cache.filters(source, plane, tile)
        local = yx - (tile.y0, tile.x0)
        return deep, np.ascontiguousarray(filters[:, local[:, 0], local[:, 1]].T)

    pixels = yx.tobytes()
    result: tuple[Floats, Floats] = cache.get(
        ("samples", network.uid, n_levels, source.uid, plane, tile, pixels),
        sample,
        lambda pair: pair[0].nbytes + pair[1].nbytes + len(pixels),
    )
    return result
