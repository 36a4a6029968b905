"""Candidates: what can turn a tile into class probabilities, and their shared cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.head import HeadPrior, RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.core.start import to_bundled_channels
from napari_unet.core.unet import UNet
from napari_unet.inference.filters import REACH_PX, compute_filters
from napari_unet.inference.maps import (
    TileMaps,
    compute_maps,
    compute_slab_maps,
    planes_at_once,
    reach_px,
)
from napari_unet.inference.tiles import Tile
from napari_unet.learning.forest import Forest

__all__ = [
    "Blend",
    "FeatureCache",
    "ForestCandidate",
    "Network",
    "RidgeCandidate",
]

Floats = NDArray[np.float32]
_uids = count(1)


class FeatureCache:
    """Keeps the features of the tiles used last, within a budget of bytes."""

    def __init__(self, max_bytes: int = 600 * 2**20) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def __reduce__(self) -> tuple[type[FeatureCache], tuple[int]]:
        return FeatureCache, (self.max_bytes,)  # to other processes it goes empty

    def get(
        self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]
    ) -> Any:
        """Return what ``make`` gave under this key, calling it only when needed."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key][0]
        value = make()
        self._put(key, value, size(value))
        return value

    def _put(self, key: Hashable, value: Any, n_bytes: int) -> None:
        if n_bytes <= self.max_bytes:
            self._items[key] = (value, n_bytes)
            self.n_bytes += n_bytes
        while self.n_bytes > self.max_bytes:
            _, (_, freed) = self._items.popitem(last=False)
            self.n_bytes -= freed

    def clear(self) -> None:
        """Give all memory back."""
        self._items.clear()
        self.n_bytes = 0

    def filters(self, source: ImageSource, plane: int, tile: Tile) -> Floats:
        """Return the filter features of a tile, shape (G, h, w)."""
        result: Floats = self.get(
            ("filters", source.uid, plane, tile),
            lambda: compute_filters(source, plane, tile),
            lambda features: features.nbytes,
        )
        return result

    def maps(
        self,
        network: Network,
        source: ImageSource,
        plane: int,
        tile: Tile,
        n_planes: int = 1,
    ) -> TileMaps:
        """Return a network's maps of a tile.

        Where they are not known, they are computed together with those of the
        ``n_planes - 1`` planes above, which will be asked for next.
        """

        def key(number: int) -> Hashable:
            return ("maps", network.uid, source.uid, number, tile)

        if n_planes > 1 and key(plane) not in self._items:
            slab = compute_slab_maps(
                network.unet,
                source,
                plane,
                n_planes,
                tile,
                network.n_levels,
                network.n_scales,
            )
            planes = source.stack.planes_along_z(plane, 0, n_planes)
            for number, maps in zip(planes, slab, strict=True):
                if key(number) not in self._items:
                    self._put(key(number), maps, maps.n_bytes)
            return slab[0]
        result: TileMaps = self.get(
            key(plane),
            lambda: compute_maps(
                network.unet, source, plane, tile, network.n_levels, network.n_scales
            ),
            lambda maps: maps.n_bytes,
        )
        return result


@dataclass(frozen=True, eq=False)
class Network:
    """A network with frozen weights, as the head sees it.

    Attributes
    ----------
    unet
        The network.
    n_levels, n_scales
        Which of its maps feed the head: the finest levels, at full, half, ... size.
    prior
        What pretraining found out about the head; None for random weights.
    uid
        Names these weights in the cache.
    """

    unet: UNet
    n_levels: int
    n_scales: int
    prior: HeadPrior | None = None
    uid: int = field(default_factory=lambda: next(_uids))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.unet.parameters()).device

    def on(self, device: torch.device) -> Network:
        """Return a copy of the weights on a device."""
        unet = deepcopy(self.unet).to(device)
        return self.with_weights(unet.to(memory_format=unet.memory_format))  # type: ignore[call-overload]

    @property
    def n_features(self) -> int:
        """Features of a pixel: of all maps, and the image's channels."""
        config = self.unet.config
        of_maps = self.n_scales * sum(config.channels[: self.n_levels])
        return of_maps + config.in_channels

    def trust(self, n_scales: int) -> Floats | None:
        """Return how much each feature is trusted, shape (F,).

        Features of scales beyond the first ``n_scales`` are not trusted at all. None:
        nothing is known, and they are to be standardised.
        """
        if self.prior is None or not self.prior.covers(self.n_levels):
            return None
        n_channels = self.unet.config.in_channels
        mixing = to_bundled_channels(n_channels, self.prior.sizes[-1])
        factors = self.prior.scale(self.n_levels, self.n_scales, mixing.numpy())
        return np.where(self.columns(n_scales), factors, np.float32(0))

    def columns(self, n_scales: int) -> NDArray[np.bool_]:
        """Return which features (F,) a network `at_scales` has."""
        config = self.unet.config
        per_scale = sum(config.channels[: self.n_levels])
        kept = np.ones(self.n_features, bool)
        kept[n_scales * per_scale : self.n_scales * per_scale] = False
        return kept

    def at_scales(self, n_scales: int) -> Network:
        """Return the same weights, of which the head sees fewer scales."""
        if n_scales == self.n_scales:
            return self
        return Network(self.unet, self.n_levels, n_scales, self.prior)

    def with_weights(self, unet: UNet) -> Network:
        """Return other weights with the same maps and prior.

        The network may see the planes around, as long as its channels are the same.
        """
        return Network(unet, self.n_levels, self.n_scales, self.prior)


@dataclass(frozen=True, eq=False)
class RidgeCandidate:
    """The closed-form head on a network's features and the image."""

    network: Network
    head: RidgeHead
    values: tuple[int, ...]
    cache: FeatureCache
    generation: int = 0
    name: str = "instant"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    @property
    def reach_px(self) -> int:
        """How far around a tile it reads (px)."""
        return reach_px(self.network.unet, self.network.n_scales)

    def window(self, source: ImageSource, tile: Tile) -> tuple[ImageSource, Tile]:
        """Return the image, and the rectangle of it, that it reads."""
        return source, tile.grown(self.reach_px)

    def without_cache(self) -> RidgeCandidate:
        """Return the same, which keeps no features: for tiles that are seen once."""
        return replace(self, cache=FeatureCache(0))

    def on(self, device: torch.device) -> RidgeCandidate:
        """Return the same on another device, with weights and a cache of its own."""
        cache = FeatureCache(self.cache.max_bytes)
        return replace(self, network=self.network.on(device), cache=cache)

    @property
    def planes_around(self) -> int:
        """How many planes above and below a plane the network looks at."""
        return self.network.unet.planes_around

    def planes_at_once(self, source: ImageSource, tile_px: int) -> int:
        """Return how many planes are best asked for one after the other."""
        network, side_px = self.network, min(tile_px, max(source.stack.plane_shape))
        return planes_at_once(
            network.unet,
            side_px,
            network.n_levels,
            network.n_scales,
            self.cache.max_bytes,
        )

    def probabilities(
        self, source: ImageSource, plane: int, tile: Tile, n_planes: int = 1
    ) -> Floats:
        """Return shape (K, h, w)."""
        maps = self.cache.maps(self.network, source, plane, tile, n_planes)
        with torch.inference_mode():
            return maps.project(self.head).softmax(dim=0).cpu().numpy()


@dataclass(frozen=True, eq=False)
class ForestCandidate:
    """The random forest on filter features."""

    forest: Forest
    values: tuple[int, ...]
    cache: FeatureCache
    generation: int = 0
    name: str = "forest"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return torch.device("cpu")

    @property
    def reach_px(self) -> int:
        """How far around a tile it reads (px)."""
        return REACH_PX

    def window(self, source: ImageSource, tile: Tile) -> tuple[ImageSource, Tile]:
        """Return the image, and the rectangle of it, that it reads."""
        return source, tile.grown(self.reach_px)

    def without_cache(self) -> ForestCandidate:
        """Return the same, which keeps no features: for tiles that are seen once."""
        return replace(self, cache=FeatureCache(0))

    def on(self, device: torch.device) -> ForestCandidate:
        """Return the same with a cache of its own; it always computes on the CPU."""
        return replace(self, cache=FeatureCache(self.cache.max_bytes))

    @property
    def planes_around(self) -> int:
        """0: each plane by itself."""
        return 0

    def planes_at_once(self, source: ImageSource, tile_px: int) -> int:
        """Return 1: each plane by itself."""
        return 1

    def probabilities(
        self, source: ImageSource, plane: int, tile: Tile, n_planes: int = 1
    ) -> Floats:
        """Return shape (K, h, w)."""
        filters = self.cache.filters(source, plane, tile)
        flat = filters.reshape(len(filters), -1).T
        result = self.forest.probabilities(flat).T
        return np.ascontiguousarray(result).reshape(-1, *tile.shape)


@dataclass(frozen=True, eq=False)
class Blend:
    """The weighted mean of a network's and the forest's probabilities."""

    network: RidgeCandidate
    forest: ForestCandidate
    share: float
    generation: int = 0

    @property
    def name(self) -> str:
        """Both names, joined by '+'."""
        return f"{self.network.name}+{self.forest.name}"

    @property
    def values(self) -> tuple[int, ...]:
        """Class values, in the order of the probabilities."""
        return self.network.values

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.network.device

    @property
    def reach_px(self) -> int:
        """How far around a tile it reads (px)."""
        return max(self.network.reach_px, self.forest.reach_px)

    def window(self, source: ImageSource, tile: Tile) -> tuple[ImageSource, Tile]:
        """Return the image, and the rectangle of it, that it reads."""
        return source, tile.grown(self.reach_px)

    def without_cache(self) -> Blend:
        """Return the same, which keeps no features: for tiles that are seen once."""
        network, forest = self.network.without_cache(), self.forest.without_cache()
        return replace(self, network=network, forest=forest)

    def on(self, device: torch.device) -> Blend:
        """Return the same on another device, with weights and caches of its own."""
        network, forest = self.network.on(device), self.forest.on(device)
        return replace(self, network=network, forest=forest)

    @property
    def planes_around(self) -> int:
        """How many planes above and below a plane the network looks at."""
        return self.network.planes_around

    def planes_at_once(self, source: ImageSource, tile_px: int) -> int:
        """Return what suits the network."""
        return self.network.planes_at_once(source, tile_px)

    def probabilities(
        self, source: ImageSource, plane: int, tile: Tile, n_planes: int = 1
    ) -> Floats:
        """Return shape (K, h, w)."""
        share = np.float32(self.share)
        result = share * self.network.probabilities(source, plane, tile, n_planes)
        result += (1 - share) * self.forest.probabilities(source, plane, tile)
        return result
