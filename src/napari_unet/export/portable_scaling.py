"""An image's normalisation as tensor operations that other programs can run.

What `napari_unet.core.source.Normaliser` does, of tensors whose sizes may be symbols.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unet.core.source import MAX_SAMPLE_PX

__all__ = ["EPSILON", "PERCENTILES", "Scaling", "as_tensor", "scale_range"]

PERCENTILES = (0.5, 99.5)
"""Of each channel: what becomes about -1 and 1."""
EPSILON = 1e-9
"""Added to the range of images that are scaled outside: none is divided by 0."""
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
            low, high = _percentiles(image)
            half = (high - low) / 2
            factor = torch.where(half > 0, 1 / torch.where(half > 0, half, 1), 0)
            # double: a small contrast on a large offset has few digits
            ones = [1] * (image.ndim - 2)
            middle, factor = (
                t.reshape(*t.shape, *ones) for t in ((low + high) / 2, factor)
            )
            values = (image.double() - middle) * factor
        # far beyond what is told apart below, and no infinity
        values = torch.where(torch.isnan(values), 0, values).clamp(-1e3, 1e3)
        size = values.abs()
        far = values.sign() * (1 + size.clamp(min=1).log())
        return torch.where(size > 1, far, values).clamp(-6, 6).float()


def _is_sampled(image: Tensor) -> Tensor:
    """Return which pixels (1, 1, *S) belong to the sample that `Normaliser` takes.

    A mask and numbers as tensors: symbols of a size that depends on sizes take torch
    minutes to simplify.
    """
    *_, height, width = image.shape
    n_px = as_tensor(height) * as_tensor(width)
    is_taken = None
    if image.ndim == 5:
        n_planes = as_tensor(image.shape[2])
        n_px = n_px * n_planes.clamp(max=_MAX_PLANES)
        # as linspace does it: by a step, and then the last one, whatever was rounded
        last = n_planes - 1
        places = torch.arange(_MAX_PLANES - 1) * (last.double() / (_MAX_PLANES - 1))
        numbers = torch.arange(image.shape[2])
        is_taken = (numbers[:, None] == places.floor().long()).any(1)
        is_taken = is_taken | (numbers == last) | (n_planes <= _MAX_PLANES)
        is_taken = is_taken[:, None, None]
    step = (n_px.double() / MAX_SAMPLE_PX).sqrt().floor().long().clamp(min=1)
    rows, columns = (torch.arange(n) % step == 0 for n in (height, width))
    found = rows[:, None] & columns
    return found if is_taken is None else found & is_taken


def as_tensor(size: Any) -> Tensor:
    """Return a size of a tensor, maybe a symbol, as a tensor (1,) of int64."""
    return torch.arange(size, size + 1)


def _percentiles(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and upper percentile of a sample, shape (B, C) each."""
    is_used = (torch.isfinite(image) & _is_sampled(image)).flatten(2)
    last = is_used.sum(-1, keepdim=True) - 1
    values = torch.where(is_used, image.flatten(2), torch.inf)
    ordered = values.sort(-1).values.double()

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


def scale_range(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale each channel of (B, C, *S): its percentiles become 0 and 1.

    As BioImage.IO's ``scale_range`` does, with the percentiles of all pixels.
    """
    axes = tuple(range(2, image.ndim))
    low, high = np.percentile(image, PERCENTILES, axis=axes, keepdims=True)
    scaled: NDArray[np.float32] = (image - low) / (high - low + EPSILON)
    return scaled.astype(np.float32)
