"""Where a network's weights come from: bundled, from a file, or random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from napari_unet.config import UNetConfig
from napari_unet.core.checkpoint import load_tensors
from napari_unet.core.head import HeadPrior
from napari_unet.core.inflate import inflate
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError, ConfigError

__all__ = [
    "bundled_path",
    "make_network",
    "read_prior",
    "spread_channels",
    "to_bundled_channels",
]

_FOLDER = Path(__file__).parent / "bundled"


def bundled_path(architecture: str) -> Path | None:
    """Return the file with pretrained weights, None when this version carries none."""
    path = _FOLDER / f"{architecture}.safetensors"
    return path if path.exists() else None


def make_network(
    config: UNetConfig,
    *,
    start: str = "bundled",
    seed: int = 0,
    weights: Mapping[str, Tensor] | None = None,
) -> tuple[UNet, bool]:
    """Make a network with its start weights.

    Pretrained weights are taken when asked for, present, and of this shape. The first
    layer is spread over the channels of the image (`spread_channels`), a network that
    sees the planes around gets the 2D weights (`inflate`), and the head is always new.

    Parameters
    ----------
    config
        Architecture, dimensions, channels and classes.
    start
        ``"bundled"`` or ``"scratch"``: random weights.
    seed
        Decides the random weights.
    weights
        Of a 2D network, to take instead, as `read_start_weights` returns them.

    Returns
    -------
    UNet, bool
        In evaluation mode on the CPU; whether its weights are pretrained.

    Raises
    ------
    CheckpointError
        If the file with the pretrained weights is damaged.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet(config).eval()
    loaded = dict(weights) if weights is not None else _bundled(config, start)
    if not loaded:
        return unet, False
    own = unet.state_dict()
    first = "down.0.0.weight"
    if first in loaded:
        loaded[first] = spread_channels(loaded[first], config.in_channels)
    loaded = inflate(loaded, config)
    body = {name for name in own if not name.startswith("head.")}
    fits = body == set(loaded) and all(
        loaded[name].shape == own[name].shape for name in body
    )
    if not fits:  # another depth or width than the bundled network's
        return unet, False
    unet.load_state_dict({**own, **loaded})
    return unet, True


def _bundled(config: UNetConfig, start: str) -> dict[str, Tensor]:
    """Return the pretrained weights, where they are asked for and present."""
    path = bundled_path(config.architecture) if start == "bundled" else None
    if path is None:
        return {}
    arrays, _ = load_tensors(path)
    return {
        name: torch.from_numpy(array).float()
        for name, array in arrays.items()
        if not name.startswith(("head.", "prior."))
    }


def read_prior(architecture: str) -> HeadPrior | None:
    """Return what the bundled file says about the closed-form head, None without one.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    path = bundled_path(architecture)
    if path is None:
        return None
    arrays, header = load_tensors(path)
    if "prior.log_scale" not in arrays:
        return None
    try:
        n_levels, n_scales = header["n_levels"], header["n_scales"]
        config = UNetConfig.model_validate(header["unet"])
        return HeadPrior(
            scales=np.exp(arrays["prior.log_scale"].astype(np.float32)),
            sizes=(*config.channels[:n_levels] * n_scales, config.in_channels),
            n_levels=n_levels,
            strength=tuple(header["strength"]),
            temperature=tuple(header["temperature"]),
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(
            f"the bundled weights '{path}' are damaged: install the program again"
        ) from error


def spread_channels(weight: Tensor, n_channels: int) -> Tensor:
    """Change a first layer's kernels to take images of another number of channels.

    The response to an image is that of the old kernels to the image mapped by
    `to_bundled_channels`; the sum over the channels stays, and so a grey image repeated
    in every channel gives the same response as before.

    Parameters
    ----------
    weight
        Kernels (O, C, ...).
    n_channels
        Channels of the images to come.

    Returns
    -------
    Tensor
        Kernels (O, n_channels, ...).

    Raises
    ------
    ConfigError
        If there is no channel.
    """
    if weight.shape[1] == n_channels:
        return weight
    matrix = to_bundled_channels(n_channels, weight.shape[1]).to(weight)
    return torch.einsum("os...,cs->oc...", weight, matrix)


def to_bundled_channels(n_channels: int, n_slots: int = 3) -> Tensor:
    """Return how the channels of an image enter a network made for ``n_slots``.

    Channel ``c`` enters slot ``c`` modulo the number of slots, and a slot is the mean
    of its channels; slots without a channel are the mean of all channels. For three
    slots: a grey image enters three times, two channels enter as (a, b, (a + b) / 2),
    and RGB as it is.

    Parameters
    ----------
    n_channels
        Channels of the image, at least 1.
    n_slots
        Input channels of the network, at least 1; 3, as RGB images need, for the
        bundled networks.

    Returns
    -------
    Tensor
        float32 of shape (n_channels, n_slots), not negative; each column sums to 1.
        Slot ``s`` is the sum over ``c`` of ``matrix[c, s] * image[c]``.

    Raises
    ------
    ConfigError
        If there is no channel or no slot.
    """
    if n_channels < 1 or n_slots < 1:
        raise ConfigError(
            f"{n_channels} channels cannot enter a network for {n_slots}; both must be "
            "at least 1."
        )
    matrix = torch.zeros(n_channels, n_slots)
    channels = torch.arange(n_channels)
    matrix[channels, channels % n_slots] = 1
    matrix[:, n_channels:] = 1  # slots without a channel
    return matrix / matrix.sum(dim=0)
