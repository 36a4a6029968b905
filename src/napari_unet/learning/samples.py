"""Annotated pixels and their features: what the instant stage is fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.annotation.annotations import AnnotatedImage, AnnotationSet
from napari_unet.inference.enlarged import with_rim
from napari_unet.inference.tiles import Tile
from napari_unet.learning.candidates import FeatureCache, Network

__all__ = ["Samples", "balance", "collect_samples"]

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
    """n annotated pixels with their class, stroke, bundle, fold and weight.

    Attributes
    ----------
    values
        Class values; ``targets`` (n,) are indices into them.
    strokes, folds
        Shape (n,), number of the pixel's stroke, and its fold.
    bundles
        Shape (n,), number of what is held out together: the stroke, or all objects that
        touch, in one image.
    weights
        Shape (n,). A stroke counts with the square root of its length, so that a long
        one does not drown the others; classes have the same sum.
    groups
        Where the samples are, by tile.
    is_of_objects
        Whether the classes are the targets of annotated objects.
    """

    values: tuple[int, ...]
    targets: NDArray[np.intp]
    strokes: NDArray[np.intp]
    bundles: NDArray[np.intp]
    folds: NDArray[np.intp]
    weights: Floats
    groups: tuple[Group, ...]
    is_of_objects: bool = False

    def of_network(self, network: Network, cache: FeatureCache) -> Floats:
        """Return a network's features, shape (n, F)."""
        return self._gather(lambda group: _read_network(group, network, cache))

    def of_filters(self, cache: FeatureCache) -> Floats:
        """Return the filter features, shape (n, G)."""
        return self._gather(lambda group: _read_filters(group, cache))

    def _gather(self, read: Callable[[Group], Floats]) -> Floats:
        """Return each group's features, in the order of the samples."""
        parts = [read(group) for group in self.groups]
        result = np.empty((len(self.targets), parts[0].shape[1]), np.float32)
        for group, part in zip(self.groups, parts, strict=True):
            result[group.rows] = part
        return result

    def only(self, groups: tuple[Group, ...]) -> Samples:
        """Return the samples that lie in some of the tiles."""
        rows = np.sort(np.concatenate([group.rows for group in groups]))
        moved = tuple(
            replace(group, rows=np.searchsorted(rows, group.rows)) for group in groups
        )
        return replace(
            self,
            targets=self.targets[rows],
            strokes=self.strokes[rows],
            bundles=self.bundles[rows],
            folds=self.folds[rows],
            weights=balance(self.weights[rows], self.targets[rows]),
            groups=moved,
        )

    def count_strokes(self, rows: NDArray[np.bool_] | slice = slice(None)) -> int:
        """Return how many strokes some of the samples belong to."""
        return len(np.unique(self.strokes[rows]))

    def count_bundles(self, rows: NDArray[np.bool_] | slice = slice(None)) -> int:
        """Return how many strokes they belong to; objects that touch count as one.

        What is held out together is one piece of evidence, however many parts it has.
        """
        return len(np.unique(self.bundles[rows]))

    def in_tiles(self, tile_px: int) -> Samples:
        """Return the same samples, dealt to other tiles."""
        groups = [
            group
            for old in self.groups
            for group in _tiles(old.image, old.plane, old.yx, old.rows, tile_px)
        ]
        return replace(self, groups=tuple(groups))


def collect_samples(
    annotations: AnnotationSet, *, tile_px: int, max_px: int
) -> Samples:
    """Return the annotated pixels, or an even part of each stroke's, by tile."""
    values = annotations.values
    cap = max(4, max_px // max(1, len(annotations.strokes)))
    columns: dict[str, list[NDArray[np.generic]]] = {
        name: [] for name in ("targets", "strokes", "bundles", "folds", "weights")
    }
    places: dict[tuple[str, int], list[NDArray[np.int32]]] = {}
    owners: dict[tuple[str, int], list[NDArray[np.intp]]] = {}
    images = {image.key: image for image in annotations.images}
    bundles: dict[tuple[str, int], int] = {}
    n = 0
    for number, (image, stroke) in enumerate(annotations.strokes):
        size = min(cap, stroke.n_px)
        yx = stroke.yx[np.linspace(0, stroke.n_px - 1, size).astype(int)]
        columns["targets"].append(np.full(size, values.index(stroke.value)))
        columns["strokes"].append(np.full(size, number))
        together = image.key, stroke.bundle or -1 - number  # without one: alone
        bundle = bundles.setdefault(together, len(bundles))
        columns["bundles"].append(np.full(size, bundle))
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
    return Samples(
        values=values,
        targets=targets,
        strokes=np.concatenate(columns["strokes"]),
        bundles=np.concatenate(columns["bundles"]),
        folds=np.concatenate(columns["folds"]),
        weights=balance(weights, targets),
        groups=tuple(groups),
        is_of_objects=annotations.of_objects,
    )


def balance(weights: Floats, targets: NDArray[np.intp]) -> Floats:
    """Return weights (n,) with the same sum for each class of the targets (n,)."""
    weights = weights.copy()
    for index in np.unique(targets):
        weights[targets == index] /= weights[targets == index].sum()
    return weights


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
        tile = with_rim(tile, image.source)
        mine = owner.ravel() == number
        yield Group(image, plane, tile, rows[mine], yx[mine])


def _read_network(group: Group, network: Network, cache: FeatureCache) -> Floats:
    source, plane, tile = group.image.source, group.plane, group.tile

    def sample() -> Floats:
        maps = cache.maps(network, source, plane, tile)
        with torch.inference_mode():
            return (
                maps.sample(torch.from_numpy(group.yx.astype(np.int64))).cpu().numpy()
            )

    return _remember(cache, ("network", network.uid), group, sample)


def _read_filters(group: Group, cache: FeatureCache) -> Floats:
    source, plane, tile = group.image.source, group.plane, group.tile

    def sample() -> Floats:
        filters = cache.filters(source, plane, tile)
        local = group.yx - (tile.y0, tile.x0)
        return np.ascontiguousarray(filters[:, local[:, 0], local[:, 1]].T)

    return _remember(cache, ("filters",), group, sample)


def _remember(
    cache: FeatureCache,
    what: tuple[str | int, ...],
    group: Group,
    sample: Callable[[], Floats],
) -> Floats:
    """Return a group's features (n, F) out of the cache, or sample them."""
    pixels = group.yx.tobytes()
    result: Floats = cache.get(
        ("samples", *what, group.image.source.uid, group.plane, group.tile, pixels),
        sample,
        lambda features: features.nbytes + len(pixels),
    )
    return result
