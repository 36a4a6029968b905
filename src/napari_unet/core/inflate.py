"""Weights of a 2D network for a network that sees the planes around."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from napari_unet.config import UNetConfig
from napari_unet.core.unet import UNet

__all__ = ["inflate", "widen"]

_FIRST = "down.0.0.weight"


def inflate(state: Mapping[str, Tensor], config: UNetConfig) -> dict[str, Tensor]:
    """Turn the state of a 2D `UNet` into that of the same network in 2.5D or 3D.

    The 2D kernel becomes the centre slice of the 3D one, zeros are around it. (Carreira
    and Zisserman 2017, arXiv:1705.07750, repeat it along the axis that is new; zeros
    keep what a plane says about itself apart from what its neighbours say.) The new
    network then computes for every plane what the 2D one does, and has gradients for
    the zeros, so that it can learn from the planes around. In 2.5D the same holds for
    the neighbours' channels.

    Where ``config.z_poolings`` halve z, this holds for volumes that do not change along
    z alone: pooling takes the largest of two planes, and both planes of an
    up-convolution get the 2D kernel.

    Parameters
    ----------
    state
        ``state_dict()`` of a 2D network, or a part of it.
    config
        Settings of the new network.

    Returns
    -------
    dict of str to Tensor
        State of the new network, under the same names; the tensors are new.
    """
    if config.ndim == 2:
        flat = {name: tensor.clone() for name, tensor in state.items()}
        if _FIRST in flat:
            flat[_FIRST] = _centred_in_channels(flat[_FIRST], config.context_planes)
        return flat
    inflated = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        path, *numbers = layer.split(".")
        if kind == "bias":
            inflated[name] = tensor.clone()
        elif kind == "gain":
            inflated[name] = tensor.unsqueeze(2).clone()
        elif path == "up":
            n_planes = 1 + config.z_poolings[int(numbers[0])]
            inflated[name] = tensor.unsqueeze(2).repeat_interleave(n_planes, dim=2)
        elif path == "head":
            inflated[name] = tensor.unsqueeze(2).clone()
        else:
            n_planes = config.z_kernels(path == "down")[int(numbers[0])]
            is_standardised = f"{layer}.gain" in state
            inflated[name] = _centred_in_z(tensor, n_planes, is_standardised)
    return inflated


def widen(unet: UNet, config: UNetConfig) -> UNet:
    """Return a 2D network as one of ``config``, which sees the planes around.

    On the device that it was on, in evaluation mode; see `inflate`.
    """
    device = next(unet.parameters()).device
    with torch.random.fork_rng(devices=[]):  # drawn, then overwritten
        wide = UNet(config).to(device).eval()
    wide.load_state_dict(inflate(unet.state_dict(), config))
    return wide


def _centred_in_channels(kernel: Tensor, context_planes: int) -> Tensor:
    """Put kernels (O, I, Y, X) between those of neighbouring planes, which are 0."""
    n = kernel.shape[1]
    wide = kernel.new_zeros(
        kernel.shape[0], n * (2 * context_planes + 1), *kernel.shape[2:]
    )
    wide[:, n * context_planes : n * (context_planes + 1)] = kernel
    return wide


def _centred_in_z(kernel: Tensor, n_planes: int, is_standardised: bool) -> Tensor:
    """Put kernels (O, I, Y, X) into the centre of (O, I, Z, Y, X)."""
    if is_standardised:
        # The mean is taken away before use, in 3D over the zeros too: without a mean
        # nothing is left to take away. The scale then agrees, because it comes from
        # variance times fan-in: the sum of squares, to which zeros add nothing.
        kernel = kernel - kernel.mean(dim=(1, 2, 3), keepdim=True)
    inflated = kernel.new_zeros(*kernel.shape[:2], n_planes, *kernel.shape[2:])
    inflated[:, :, n_planes // 2] = kernel
    return inflated
