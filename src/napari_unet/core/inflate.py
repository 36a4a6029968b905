"""Weights of a 2D network for a network of volumes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

__all__ = ["inflate"]


def inflate(state: Mapping[str, Tensor], *, pool_z: bool = False) -> dict[str, Tensor]:
    """Turn the state of a 2D `UNet` into that of the same network in 3D.

    The 2D kernel becomes the centre slice of the 3D one, zeros are around it. (Carreira
    and Zisserman 2017, arXiv:1705.07750, repeat it along the axis that is new; zeros
    keep what a plane says about itself apart from what its neighbours say.) The 3D
    network then computes for every plane what the 2D one does, and has gradients for
    the zeros, so that it can learn from the planes around.

    With ``pool_z`` this holds for volumes that do not change along z alone: pooling
    takes the largest of two planes, and both planes of an up-convolution get the 2D
    kernel.

    Parameters
    ----------
    state
        ``state_dict()`` of a 2D network, or a part of it.
    pool_z
        The 3D network's ``UNetConfig.pool_z``.

    Returns
    -------
    dict of str to Tensor
        State of the 3D network, under the same names; the tensors are new.
    """
    inflated = {}
    for name, tensor in state.items():
        layer, _, kind = name.rpartition(".")
        if kind == "bias":
            inflated[name] = tensor.clone()
        elif kind == "gain":
            inflated[name] = tensor.unsqueeze(2).clone()
        elif layer.startswith("up."):
            inflated[name] = tensor.unsqueeze(2).repeat_interleave(1 + pool_z, dim=2)
        else:
            inflated[name] = _centred_in_z(tensor, f"{layer}.gain" in state)
    return inflated


def _centred_in_z(kernel: Tensor, is_standardised: bool) -> Tensor:
    """Put kernels (O, I, Y, X) into the centre of (O, I, Z, Y, X), Z = X."""
    if is_standardised:
        # The mean is taken away before use, in 3D over the zeros too: without a mean
        # nothing is left to take away. The scale then agrees, because it comes from
        # variance times fan-in: the sum of squares, to which zeros add nothing.
        kernel = kernel - kernel.mean(dim=(1, 2, 3), keepdim=True)
    n = kernel.shape[-1]
    inflated = kernel.new_zeros(*kernel.shape[:2], n, *kernel.shape[2:])
    inflated[:, :, n // 2] = kernel
    return inflated
