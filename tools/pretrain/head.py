"""The differentiable twin of the instant stage: prior and ridge head.

What happens when a person paints happens here in each episode, and the loss flows back
through the closed-form solution into the network (Bertinetto et al. 2019,
arXiv:1805.08136).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Prior", "ridge"]


class Prior(nn.Module):
    """What training finds out about the head besides the network.

    ``log_scale`` (F,) weighs the features before the ridge fit; ridge strength and
    temperature are exp(a + b log(number of strokes)).
    """

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        start = torch.cat(
            [torch.full((n,), -0.5 * math.log(n * len(sizes))) for n in sizes]
        )
        self.log_scale = nn.Parameter(start)
        self.strength = nn.Parameter(torch.tensor([math.log(0.05), -0.3]))
        self.temperature = nn.Parameter(torch.tensor([math.log(6.0), 0.0]))

    def of(self, n_strokes: int) -> tuple[Tensor, Tensor]:
        """Return ridge strength and temperature for so many strokes."""
        size = math.log(n_strokes)
        strength = torch.exp(self.strength[0] + self.strength[1] * size)
        temperature = torch.exp(self.temperature[0] + self.temperature[1] * size)
        return strength, temperature


def ridge(
    features: Tensor, targets: Tensor, weights: Tensor, n_classes: int, strength: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve weighted ridge regression onto one-hot targets, in its dual form.

    Parameters
    ----------
    features
        (n, F), scaled by the prior.
    targets, weights
        (n,); the weights' sum is 1.
    n_classes
        K.
    strength
        Added to the diagonal of the weighted Gram matrix.

    Returns
    -------
    Tensor, Tensor
        Weights (F, K) and bias (K,).
    """
    one_hot = F.one_hot(targets, n_classes).to(features.dtype)
    mean, share = weights @ features, weights @ one_hot
    root = weights.sqrt()[:, None]
    centred = (features - mean) * root
    gram = centred @ centred.T
    gram = gram + strength * torch.eye(len(gram), device=gram.device)
    solution = torch.linalg.solve(gram, (one_hot - share) * root)
    beta = centred.T @ solution
    return beta, share - mean @ beta
