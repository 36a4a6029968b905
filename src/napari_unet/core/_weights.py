"""Weights from a file into a network, if they are what its settings need."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.config import UNetConfig
from napari_unet.errors import CheckpointError

if TYPE_CHECKING:
    from napari_unet.core.unet import UNet

__all__ = ["unet_from_tensors"]


def unet_from_tensors(
    config: UNetConfig, arrays: Mapping[str, np.ndarray], path: str | os.PathLike[str]
) -> UNet:
    """Return a network with the weights of a file, if they are what its settings need.

    Parameters
    ----------
    config : UNetConfig
        The network's settings; memory is only taken when ``arrays`` fit them.
    arrays : mapping of str to numpy.ndarray
        The network's state, by name.
    path : path
        Where they come from, for messages.

    Returns
    -------
    UNet
        On the CPU, in evaluation mode.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unknown, of another shape or type, or not finite.
    """
    import torch

    from napari_unet.core.unet import UNet

    # without memory behind it: the settings of a stranger's file may ask for gigabytes
    with torch.device("meta"):
        wanted = {name: t.shape for name, t in UNet(config).state_dict().items()}
    _check_weights(arrays, wanted, path)
    with torch.random.fork_rng(devices=[]):  # start weights are drawn, then overwritten
        unet = UNet(config)
    unet.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
    return unet.eval()


def _check_weights(
    arrays: Mapping[str, np.ndarray],
    wanted: Mapping[str, tuple[int, ...]],
    path: str | os.PathLike[str],
) -> None:
    for name in sorted(arrays.keys() ^ wanted.keys()):
        state = "lacks the tensor" if name in wanted else "has an unknown tensor"
        raise CheckpointError(
            f"{path} {state} {name!r:.60}; it does not fit its settings."
        )
    for name, array in arrays.items():
        if array.shape != tuple(wanted[name]) or array.dtype.kind != "f":
            raise CheckpointError(
                f"{path} does not fit its settings: the tensor {name!r:.60} is "
                f"{array.dtype} of shape {array.shape}, not {tuple(wanted[name])}."
            )
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"{path} holds numbers that are not finite, in {name!r:.60}: "
                "its training failed."
            )
