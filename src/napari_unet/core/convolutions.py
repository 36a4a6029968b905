"""The convolutions of a U-Net, two by two, plain or with standardised kernels."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_unet.config import UNetConfig

__all__ = ["DoubleConvolution", "Standardised"]

# keeps the variance of a ReLU's output at 1 for unit Gaussian input: Brock et al. 2021,
# arXiv:2101.08692, section 2
_RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))
_Three = tuple[int, int, int]


class DoubleConvolution(nn.Sequential):
    """Two 3x3 convolutions, each with ReLU; in 3D of ``n_planes`` planes."""

    def __init__(
        self,
        config: UNetConfig,
        n_in: int,
        n_out: int,
        n_planes: int,
        is_first: bool = False,
    ) -> None:
        is_flat, is_padded = config.ndim == 2, config.architecture == "compact"
        plain: Any = nn.Conv2d if is_flat else nn.Conv3d
        own: Any = _Standardised2d if is_flat else _Standardised3d
        kernel: Any = 3
        padding: Any = 1 if is_padded else 0
        if not is_flat:
            kernel = (n_planes, 3, 3)
            padding = (padding * (n_planes // 2) * config.pad_z, padding, padding)
        # standardised kernels have zero mean: the first would be blind to brightness
        first = own if is_padded and not is_first else plain
        second = own if is_padded else plain
        super().__init__(
            first(n_in, n_out, kernel, padding=padding),
            nn.ReLU(inplace=True),
            second(n_out, n_out, kernel, padding=padding),
            nn.ReLU(inplace=True),
        )


class Standardised:
    """Marks convolutions whose kernels are standardised before use."""

    gain: nn.Parameter
    weight: Tensor
    ready: Tensor | None = None

    def standardised_weight(self) -> Tensor:
        """Return the kernels with zero mean and variance 1 / fan-in per output."""
        fan_in = self.weight[0].numel()
        dims = tuple(range(1, self.weight.ndim))
        variance, mean = torch.var_mean(
            self.weight, dim=dims, keepdim=True, correction=0
        )
        scale = torch.rsqrt(variance * fan_in + 1e-4) * self.gain * _RELU_GAIN
        return (self.weight - mean) * scale


class _Standardised2d(Standardised, nn.Conv2d):
    def __init__(self, n_in: int, n_out: int, kernel: int, padding: int) -> None:
        nn.Conv2d.__init__(self, n_in, n_out, kernel, padding=padding)
        _initialise(self, n_out, 2)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.standardised_weight() if self.ready is None else self.ready
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class _Standardised3d(Standardised, nn.Conv3d):
    def __init__(self, n_in: int, n_out: int, kernel: _Three, padding: _Three) -> None:
        nn.Conv3d.__init__(self, n_in, n_out, kernel, padding=padding)
        _initialise(self, n_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.standardised_weight() if self.ready is None else self.ready
        return F.conv3d(x, weight, self.bias, padding=self.padding)


def _initialise(conv: _Standardised2d | _Standardised3d, n_out: int, ndim: int) -> None:
    conv.gain = nn.Parameter(torch.ones(n_out, *[1] * (ndim + 1)))
    nn.init.normal_(conv.weight, std=math.sqrt(1 / conv.weight[0].numel()))
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
