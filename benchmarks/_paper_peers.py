"""Networks of other libraries, each in its usual setting, and whether it is installed.

Of nnU-Net this is the network and the recipe (as its planner makes them for patches of
this size; Isensee et al. 2021, doi:10.1038/s41592-020-01008-z), not its package: no
five folds, no ensemble, no mirrored copies at test time, and the changes of patches
that all peers share here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from typing import Any

import torch
from _torchvision import make_importable
from torch import nn

__all__ = ["PEERS", "Peer", "installed", "package_of"]

# Chosen on images of the pretraining, with MONAI's network and 5 Mpx: four patches of
# 128 px, one of 256, two of 256 gave AP 0.467, 0.459, 0.364 on DSB 2018 and, the first
# two, SEG 0.574, 0.517 on phase contrast. In so few pixels, many steps count.
PATCH_PX, BATCH = 128, 4
Build = Callable[[int], nn.Module]
Steps = Callable[[nn.Module], torch.optim.Optimizer]


@dataclass(frozen=True)
class Peer:
    """A network, and how it is trained.

    ``build`` takes the number of classes; images have one channel. ``patch_px`` and
    ``batch`` are the same for all.
    """

    package: str
    module: str
    build: Build
    optimizer: Steps
    patch_px: int = PATCH_PX
    batch: int = BATCH


def installed() -> list[str]:
    """Return the names of the peers that can be run here."""
    return [name for name, peer in PEERS.items() if util.find_spec(peer.module)]


def package_of(peer: Peer) -> str:
    """Return the package and its version."""
    return f"{peer.package} {metadata.version(peer.package)}"


def _monai(n_classes: int) -> nn.Module:
    from monai.networks.nets import BasicUNet

    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=n_classes)


def _smp(n_classes: int) -> nn.Module:
    make_importable()
    import segmentation_models_pytorch

    return segmentation_models_pytorch.Unet(
        "resnet34", encoder_weights=None, in_channels=1, classes=n_classes
    )


def _nnunet(n_classes: int) -> nn.Module:
    """Return what nnU-Net plans: pooled until 4 px are left of a patch."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from dynamic_network_architectures.initialization.weight_init import InitWeights_He

    n_stages = PATCH_PX.bit_length() - 2
    network = PlainConvUNet(
        input_channels=1,
        n_stages=n_stages,
        features_per_stage=[min(32 * 2**stage, 512) for stage in range(n_stages)],
        conv_op=nn.Conv2d,
        kernel_sizes=3,
        strides=[1] + [2] * (n_stages - 1),
        n_conv_per_stage=2,
        num_classes=n_classes,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=nn.InstanceNorm2d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    return network.apply(InitWeights_He(1e-2))


def _adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=1e-4)


def _sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(), 1e-2, momentum=0.99, weight_decay=3e-5, nesterov=True
    )


_NNUNET: tuple[Any, ...] = (
    "dynamic-network-architectures",
    "dynamic_network_architectures",
    _nnunet,
)
PEERS = {
    "monai": Peer("monai", "monai", _monai, _adamw),
    "smp": Peer(
        "segmentation-models-pytorch", "segmentation_models_pytorch", _smp, _adamw
    ),
    "nnunet": Peer(*_NNUNET, _sgd),
    "nnunet-adamw": Peer(*_NNUNET, _adamw),
}
