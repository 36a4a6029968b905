"""Candidates: what can turn a tile into class probabilities, and their shared cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unet.core.head import RidgeHead, softmax
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.filters import compute_filters
from napari_unet.inference.maps import TileMaps, compute_maps
from napari_unet.inference.tiles import Tile
from napari_unet.learning.forest import Forest

__all__ = [
    "Blend",
    "FeatureCache",
    "ForestCandidate",
    "Network",
    "NetworkCandidate",
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

    def get(
        self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]
    ) -> Any:
        """Return what ``make`` gave under this key, calling it only when needed."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key][0]
        value = make()
        n_bytes = size(value)
        if n_bytes <= self.max_bytes:
            self._items[key] = (value, n_bytes)
            self.n_bytes += n_bytes
        while self.n_bytes > self.max_bytes:
            _, (_, freed) = self._items.popitem(last=False)
            self.n_bytes -= freed
        return value

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
        self, network: Network, source: ImageSource, plane: int, tile: Tile, n: int
    ) -> TileMaps:
        """Return the network's ``n`` finest maps of a tile."""
        result: TileMaps = self.get(
            ("maps", network.uid, n, source.uid, plane, tile),
            lambda: compute_maps(network.unet, source, plane, tile, n),
            lambda maps: maps.n_bytes,
        )
        return result


@dataclass(frozen=True, eq=False)
class Network:
    """A network with frozen weights; ``uid`` names these weights in the cache."""

    unet: UNet
    uid: int = field(default_factory=lambda: next(_uids))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.unet.parameters()).device


@dataclass(frozen=True, eq=False)
class RidgeCandidate:
    """The closed-form head on the network's features and the image."""

    network: Network
    head: RidgeHead
    values: tuple[int, ...]
    n_levels: int
    cache: FeatureCache
    generation: int = 0
    name: str = "instant"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    def probabilities(self, source: ImageSource, plane: int, tile: Tile) -> Floats:
        """Return shape (K, h, w)."""
        maps = self.cache.maps(self.network, source, plane, tile, self.n_levels)
        with torch.inference_mode():
            return maps.project(self.head).softmax(dim=0).cpu().numpy()


@dataclass(frozen=True, eq=False)
class NetworkCandidate:
    """The fine-tuned network with its own head.

    ``outputs`` are the class values of its channels, of which ``values`` are in use.
    """

    network: Network
    outputs: tuple[int, ...]
    values: tuple[int, ...]
    cache: FeatureCache
    generation: int = 0
    name: str = "fine-tuned"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.network.device

    def probabilities(self, source: ImageSource, plane: int, tile: Tile) -> Floats:
        """Return shape (K, h, w)."""
        maps = self.cache.maps(self.network, source, plane, tile, 1)
        channels = [self.outputs.index(value) for value in self.values]
        with torch.inference_mode():
            logits = self.network.unet.head(maps.finest()[None])[0][channels]
            result: Floats = logits.softmax(dim=0).cpu().numpy()
            return result

    def at_pixels(
        self, source: ImageSource, plane: int, tile: Tile, yx: NDArray[np.integer]
    ) -> Floats:
        """Return probabilities (n, K) at pixels (n, 2) of the plane within the tile."""
        maps = compute_maps(self.network.unet, source, plane, tile, 1)
        channels = [self.outputs.index(value) for value in self.values]
        weight = self.network.unet.head.weight[:, :, 0, 0]
        bias = self.network.unet.head.bias
        assert bias is not None
        with torch.inference_mode():
            features = maps.sample(torch.from_numpy(yx.astype(np.int64)))
            logits = features[:, : weight.shape[1]] @ weight.T + bias
        return softmax(logits[:, channels].cpu().numpy())


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

    def probabilities(self, source: ImageSource, plane: int, tile: Tile) -> Floats:
        """Return shape (K, h, w)."""
        filters = self.cache.filters(source, plane, tile)
        flat = filters.reshape(len(filters), -1).T
        result = self.forest.probabilities(flat).T
        return np.ascontiguousarray(result).reshape(-1, *tile.shape)


@dataclass(frozen=True, eq=False)
class Blend:
    """The plain mean of other candidates' probabilities."""

    parts: Sequence[RidgeCandidate | NetworkCandidate | ForestCandidate]
    generation: int = 0

    @property
    def name(self) -> str:
        """The parts' names, joined by '+'."""
        return "+".join(part.name for part in self.parts)

    @property
    def values(self) -> tuple[int, ...]:
        """Class values, in the order of the probabilities."""
        return self.parts[0].values

    @property
    def device(self) -> torch.device:
        """Where its first part computes."""
        return self.parts[0].device

    def probabilities(self, source: ImageSource, plane: int, tile: Tile) -> Floats:
        """Return shape (K, h, w)."""
        total = self.parts[0].probabilities(source, plane, tile).copy()
        for part in self.parts[1:]:
            total += part.probabilities(source, plane, tile)
        total /= np.float32(len(self.parts))
        return total
