"""Batches: episodes of one size as tensors, padded to the same number of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tools.pretrain.episodes import Episode

__all__ = ["Batch", "collate"]


@dataclass(frozen=True, eq=False)
class Batch:
    """E episodes with patches of side S, at most N support pixels and K classes each.

    Attributes
    ----------
    images
        (E, 2, 3, S, S), half precision: the image with strokes, and the other one.
    truths
        (E, 2, S, S), int8, class index from 0; -1 is unknown.
    yx, one_hot, weights
        Support pixels (E, N, 2), their classes (E, N, K) and weights (E, N); the
        padding has weight 0.
    n_classes, n_strokes
        (E,): classes that have strokes, and strokes in all.
    """

    images: Tensor
    truths: Tensor
    yx: Tensor
    one_hot: Tensor
    weights: Tensor
    n_classes: Tensor
    n_strokes: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on another device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def collate(episodes: Sequence[Episode]) -> Batch:
    """Put episodes together, at least one; all have patches of the same size."""
    n = max(len(episode.yx) for episode in episodes)
    n_classes = torch.tensor([episode.n_classes for episode in episodes])

    def padded(name: str) -> Tensor:
        arrays = [getattr(episode, name) for episode in episodes]
        rest = ((0, 0),) * (arrays[0].ndim - 1)
        filled = [np.pad(a, ((0, n - len(a)), *rest)) for a in arrays]
        return torch.from_numpy(np.stack(filled))

    return Batch(
        images=torch.from_numpy(
            np.stack([e.images.astype(np.float16) for e in episodes])
        ),
        truths=torch.from_numpy(np.stack([e.truths.astype(np.int8) for e in episodes])),
        yx=padded("yx"),
        one_hot=F.one_hot(padded("targets"), int(n_classes.max())).float(),
        weights=padded("weights"),
        n_classes=n_classes,
        n_strokes=torch.tensor([episode.n_strokes for episode in episodes]),
    )
