"""The differentiable twin of the instant stage: prior and ridge head.

What happens when a person paints happens here in each episode, and the loss flows back
through the closed-form solution into the network (Bertinetto et al. 2019,
arXiv:1805.08136).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

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

    def of(self, n_strokes: Tensor) -> tuple[Tensor, Tensor]:
        """Return ridge strength and temperature (E,) for so many strokes (E,)."""
        size = n_strokes.float().log()
        strength = torch.exp(self.strength[0] + self.strength[1] * size)
        temperature = torch.exp(self.temperature[0] + self.temperature[1] * size)
        return strength, temperature


def ridge(
    features: Tensor, one_hot: Tensor, weights: Tensor, strength: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve weighted ridge regressions onto one-hot targets, in their dual form.

    Parameters
    ----------
    features
        (E, N, F), scaled by the prior.
    one_hot
        Targets (E, N, K).
    weights
        (E, N); the sum is 1 for each of the E, and 0 leaves a pixel out.
    strength
        (E,), added to the diagonal of the weighted Gram matrix.

    Returns
    -------
    Tensor, Tensor
        Weights (E, F, K) and bias (E, K).
    """
    mean = torch.einsum("en,enf->ef", weights, features)
    share = torch.einsum("en,enk->ek", weights, one_hot)
    root = weights.sqrt()[..., None]
    centred = (features - mean[:, None]) * root
    gram = centred @ centred.mT
    gram = gram + strength[:, None, None] * torch.eye(gram.shape[-1]).to(gram)
    # what cannot be factored becomes nan, and the step is left out
    factor, info = torch.linalg.cholesky_ex(gram)
    factor = factor.masked_fill((info > 0)[:, None, None], torch.nan)
    solution = torch.cholesky_solve((one_hot - share[:, None]) * root, factor)
    beta = centred.mT @ solution
    return beta, share - torch.einsum("ef,efk->ek", mean, beta)
