"""Where a network's weights come from: the bundled ones, or random numbers."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from napari_unet.config import UNetConfig
from napari_unet.core.checkpoint import load_tensors
from napari_unet.core.unet import UNet

__all__ = ["bundled_path", "make_network"]

_FOLDER = Path(__file__).parent / "bundled"


def bundled_path(architecture: str) -> Path | None:
    """Return the file with pretrained weights, None when this version carries none."""
    path = _FOLDER / f"{architecture}.safetensors"
    return path if path.exists() else None


def make_network(
    config: UNetConfig, *, start: str = "bundled", seed: int = 0
) -> tuple[UNet, bool]:
    """Make a network with its start weights.

    Pretrained weights are taken when asked for, present, and of this shape; a first
    layer for one channel is spread over the channels of the image, and the head is
    always new.

    Returns
    -------
    UNet, bool
        In evaluation mode on the CPU; whether its weights are pretrained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet(config).eval()
    path = bundled_path(config.architecture) if start == "bundled" else None
    if path is None:
        return unet, False
    arrays, _ = load_tensors(path)
    own = unet.state_dict()
    loaded = {
        name: torch.from_numpy(array).float()
        for name, array in arrays.items()
        if not name.startswith("head.")
    }
    first = "down.0.0.weight"
    if first in loaded:
        loaded[first] = spread_channels(loaded[first], config.in_channels)
    body = {name for name in own if not name.startswith("head.")}
    fits = body == set(loaded) and all(
        loaded[name].shape == own[name].shape for name in body
    )
    if not fits:  # another depth or width than the bundled network's
        return unet, False
    unet.load_state_dict({**own, **loaded})
    return unet, True


def spread_channels(weight: Tensor, n_channels: int) -> Tensor:
    """Spread a first layer's kernels (O, C, ...) over another number of channels.

    A grey image repeated in every channel gives the same response as before.
    """
    if weight.shape[1] == n_channels:
        return weight
    mean = weight.sum(dim=1, keepdim=True) / n_channels
    return mean.repeat(1, n_channels, *[1] * (weight.ndim - 2))
