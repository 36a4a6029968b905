"""The model: every candidate fitted to one annotation, and the one that is chosen."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count

from napari_unet.core.head import RidgeHead
from napari_unet.errors import ConfigError
from napari_unet.inference.predictor import Predictor
from napari_unet.learning.candidates import (
    Blend,
    FeatureCache,
    ForestCandidate,
    Network,
    RidgeCandidate,
)
from napari_unet.learning.forest import Forest
from napari_unet.learning.gate import NETWORK_SHARE, ORDER
from napari_unet.learning.scoring import Tuned

__all__ = ["Model"]

_generations = count(1)


@dataclass(frozen=True, eq=False)
class Model:
    """What predicts: fitted candidates and the name of the chosen one.

    The forest is missing until it is fitted, after the first overlay.
    ``generation`` is a new number whenever predictions may differ.
    """

    values: tuple[int, ...]
    start: Network
    head: RidgeHead
    forest: Forest | None
    tuned: Tuned | None
    chosen: str
    cache: FeatureCache
    generation: int = field(default_factory=lambda: next(_generations))

    @property
    def n_channels(self) -> int:
        """Channels of the images that it was fitted to."""
        return self.start.unet.config.in_channels

    def using(self, tuned: Tuned | None, chosen: str) -> Model:
        """Return the model with another choice; itself when nothing changes."""
        is_shown = chosen.startswith("fine-tuned")
        is_same = chosen == self.chosen and (tuned is self.tuned or not is_shown)
        generation = self.generation if is_same else next(_generations)
        return replace(self, tuned=tuned, chosen=chosen, generation=generation)

    def with_head(self, head: RidgeHead) -> Model:
        """Return the model with another closed-form head."""
        is_shown = "instant" in self.chosen
        generation = next(_generations) if is_shown else self.generation
        return replace(self, head=head, generation=generation)

    def predictor(self, name: str | None = None) -> Predictor:
        """Return the chosen candidate, or the one of that name.

        Raises
        ------
        ConfigError
            If there is no such candidate, or it is not trained yet.
        """
        name = self.chosen if name is None else name
        if name not in ORDER:
            raise ConfigError(
                f"there is no candidate '{name}': choose one of {', '.join(ORDER)}"
            )
        is_ready = self.tuned is not None and self.tuned.head is not None
        if name.startswith("fine-tuned") and not is_ready:
            raise ConfigError("no network is fine-tuned yet: call fine_tune first")
        first, _, second = name.partition("+")
        if first == "forest":
            return self._forest()
        network = self._network(first)
        if not second:
            return network
        return Blend(network, self._forest(), NETWORK_SHARE, self.generation)

    def _forest(self) -> ForestCandidate:
        assert self.forest is not None
        return ForestCandidate(self.forest, self.values, self.cache, self.generation)

    def _network(self, name: str) -> RidgeCandidate:
        network, head, cache = self.start, self.head, self.cache
        if name == "fine-tuned":
            assert self.tuned is not None
            assert self.tuned.head is not None
            network, head, cache = (
                self.tuned.network,
                self.tuned.head,
                self.tuned.cache,
            )
        return RidgeCandidate(network, head, self.values, cache, self.generation, name)
