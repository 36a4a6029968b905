"""An image's normalisation as tensor operations that other programs can run.

What `napari_unet.core.source.Normaliser` does, of tensors whose sizes may be symbols.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.core.source import MAX_SAMPLE_PX

__all__ = ["PERCENTILES", "Scaling"]

PERCENTILES = (0.5, 99.5)
"""Of each channel: what becomes about -1 and 1."""
_MAX_STEP = 13  # beyond, images are sampled in bands of rows, and too large for one run
_MAX_PLANES = 16


class Scaling(nn.Module):
    """Maps each channel's bulk to about -1..1 and compresses what lies beyond.

    Parameters
    ----------
    is_scaled
        Whether images come with their percentiles at 0 and 1; else as they were taken,
        and percentiles are measured on them.
    """

    def __init__(self, is_scaled: bool) -> None:
        super().__init__()
        self.is_scaled = is_scaled

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, *S) to the same shape, float32; not a number becomes 0."""
        if self.is_scaled:
            values = 2 * image - 1
        else:
            low, high = _percentiles(_sampled(image))
            half = (high - low) / 2
            factor = torch.where(half > 0, 1 / torch.where(half > 0, half, 1), 0)
            # double: a small contrast on a large offset has few digits
            ones = [1] * (image.ndim - 2)
            middle, factor = (
                t.reshape(*t.shape, *ones) for t in ((low + high) / 2, factor)
            )
            values = (image.double() - middle) * factor
        values = torch.nan_to_num(values)
        size = values.abs()
        far = values.sign() * (1 + size.clamp(min=1).log())
        return torch.where(size > 1, far, values).clamp(-6, 6).float()


def _sampled(image: Tensor) -> Tensor:
    """Return a regular sample of each channel, shape (B, C, n), as `Normaliser` takes.

    Sizes may be symbols: hence sums of smallest numbers instead of roots and branches.
    """
    height, width = image.shape[-2:]
    n_px: Any = height * width
    if image.ndim == 5:
        n_planes = image.shape[2]
        n_read = torch.sym_min(n_planes, _MAX_PLANES)
        n_px = n_px * n_read
        numbers = torch.arange(n_read) * (n_planes - 1)
        planes = numbers // torch.sym_max(n_read - 1, 1)
        image = image.index_select(2, planes)
    step = 1 + sum(
        torch.sym_min(1, n_px // (MAX_SAMPLE_PX * k * k))
        for k in range(2, _MAX_STEP + 1)
    )
    rows, columns = torch.arange(0, height, step), torch.arange(0, width, step)
    return image.index_select(-2, rows).index_select(-1, columns).flatten(2)


def _percentiles(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and upper percentile of finite values, shape (B, C) each."""
    is_finite = torch.isfinite(values)
    last = is_finite.sum(-1, keepdim=True) - 1
    ordered = torch.where(is_finite, values, torch.inf).sort(-1).values.double()

    def at(place: Tensor) -> Tensor:
        return ordered.gather(-1, place.clamp(min=0))

    bounds = []
    for share in PERCENTILES:
        place = last.double() * (share / 100)
        below = place.floor()
        low, high = at(below.long()), at(torch.minimum(below.long() + 1, last))
        bounds.append(low + (high - low) * (place - below))
    is_flat = bounds[0] == bounds[1]  # a nearly empty image
    low = torch.where(is_flat, ordered[..., :1], bounds[0])
    high = torch.where(is_flat, at(last), bounds[1])
    is_known = last >= 0
    return (
        torch.where(is_known, low, 0).squeeze(-1),
        torch.where(is_known, high, 0).squeeze(-1),
    )
