"""The differentiable twin of the instant stage: hypercolumn features and ridge head.

What happens when a person paints happens here in each episode, and the loss flows back
through the closed-form solution into the network (Bertinetto et al. 2019,
arXiv:1805.08136).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.core.unet import UNet

__all__ = ["Prior", "hypercolumn", "project", "ridge", "sample"]


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


def hypercolumn(
    unet: UNet, images: Tensor, n_levels: int, n_scales: int
) -> list[tuple[Tensor, int]]:
    """Return maps (B, C, h, w) with their cell size (px), finest first, image last.

    The network sees the image at full, half, quarter ... size with the same weights.
    """
    maps: list[tuple[Tensor, int]] = []
    with unet.standardised_once():
        for scale in range(n_scales):
            small = F.avg_pool2d(images, 2**scale) if scale else images
            levels = unet.features(small)[:n_levels]
            maps += [(m, 2 ** (level + scale)) for level, m in enumerate(levels)]
    return [*maps, (images.to(maps[0][0].dtype), 1)]


def sample(maps: list[tuple[Tensor, int]], item: int, yx: Tensor) -> Tensor:
    """Return the features (n, F) of one item of the batch at pixels (n, 2).

    Bilinear between the centres of a map's cells, as `project` upsamples.
    """
    parts = []
    for level_map, cell in maps:
        size = torch.tensor(level_map.shape[2:], device=yx.device)
        place = ((yx + 0.5) / cell - 0.5).clamp(min=0)
        low = torch.minimum(place.long(), size - 1)
        high = torch.minimum(low + 1, size - 1)
        (fy, fx) = (place - low).T[:, :, None].float()
        (y0, x0), (y1, x1) = low.T, high.T
        one = level_map[item]
        top = one[:, y0, x0].T * (1 - fx) + one[:, y0, x1].T * fx
        bottom = one[:, y1, x0].T * (1 - fx) + one[:, y1, x1].T * fx
        parts.append(top * (1 - fy) + bottom * fy)
    return torch.cat(parts, dim=1)


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


def project(maps: list[tuple[Tensor, int]], beta: Tensor, bias: Tensor) -> Tensor:
    """Apply heads (B, F, K), (B, K) to all pixels; returns scores (B, K, H, W)."""
    size = maps[-1][0].shape[2:]
    parts = torch.split(beta, [m.shape[1] for m, _ in maps], dim=1)
    total = bias[:, :, None, None].expand(-1, -1, *size)
    for (level_map, cell), part in zip(maps, parts, strict=True):
        scores = torch.einsum("bfk,bfhw->bkhw", part.to(level_map.dtype), level_map)
        scores = scores.float()
        if cell > 1:
            scores = F.interpolate(
                scores, scale_factor=cell, mode="bilinear", align_corners=False
            )
        total = total + scores[:, :, : size[0], : size[1]]
    return total
