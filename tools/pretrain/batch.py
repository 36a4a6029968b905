"""Batches: episodes of one size as tensors, padded to the same number of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from tools.pretrain.episodes import Episode

__all__ = ["Batch", "collate"]


@dataclass(frozen=True, eq=False)
class Batch:
    """E episodes with crops of side S, at most N support pixels and K classes each.

    Attributes
    ----------
    images
        (E, 2, 3, S, S), half precision: the image with strokes, and the other one.
    truths
        (E, 2, S, S), int8, class index from 0; -1 is unknown.
    yx, targets, weights
        Support pixels (E, N, 2), classes (E, N), weights (E, N); the padding has
        weight 0.
    n_classes, n_strokes
        (E,): classes that have strokes, and strokes in all.
    """

    images: Tensor
    truths: Tensor
    yx: Tensor
    targets: Tensor
    weights: Tensor
    n_classes: Tensor
    n_strokes: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        moved = {
            f.name: getattr(self, f.name).to(device, non_blocking=True)
            for f in fields(self)
        }
        return Batch(**moved)


def collate(episodes: Sequence[Episode]) -> Batch:
    """Put episodes of one size together."""
    n = max(len(episode.yx) for episode in episodes)

    def padded(name: str) -> Tensor:
        arrays = [getattr(episode, name) for episode in episodes]
        rest = ((0, 0),) * (arrays[0].ndim - 1)
        return torch.from_numpy(
            np.stack([np.pad(a, ((0, n - len(a)), *rest)) for a in arrays])
        )

    return Batch(
        images=torch.from_numpy(
            np.stack([e.images.astype(np.float16) for e in episodes])
        ),
        truths=torch.from_numpy(np.stack([e.truths.astype(np.int8) for e in episodes])),
        yx=padded("yx"),
        targets=padded("targets"),
        weights=padded("weights"),
        n_classes=torch.tensor([e.n_classes for e in episodes]),
        n_strokes=torch.tensor([e.n_strokes for e in episodes]),
    )
