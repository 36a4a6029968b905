"""The model core: arrays, U-Net, head, losses, metrics, device and checkpoints.

Usable alone: needs torch, numpy, pydantic and safetensors, and nothing that draws. The
names below load what they need when they are first used, so that writing a file or
scoring labels does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.core.arrays import PlaneStack, guess_axes
    from napari_unet.core.checkpoint import load_model, save_model
    from napari_unet.core.device import choose_device, describe_device
    from napari_unet.core.head import RidgeHead
    from napari_unet.core.losses import IGNORE_INDEX, sparse_loss
    from napari_unet.core.metrics import evaluate, evaluate_em, evaluate_instances
    from napari_unet.core.source import ImageSource, Normaliser
    from napari_unet.core.unet import UNet

__all__ = [
    "IGNORE_INDEX",
    "ImageSource",
    "Normaliser",
    "PlaneStack",
    "RidgeHead",
    "UNet",
    "choose_device",
    "describe_device",
    "evaluate",
    "evaluate_em",
    "evaluate_instances",
    "guess_axes",
    "load_model",
    "save_model",
    "sparse_loss",
]

_LAZY = {
    "arrays": ("PlaneStack", "guess_axes"),
    "checkpoint": ("load_model", "save_model"),
    "device": ("choose_device", "describe_device"),
    "head": ("RidgeHead",),
    "losses": ("IGNORE_INDEX", "sparse_loss"),
    "metrics": ("evaluate", "evaluate_em", "evaluate_instances"),
    "source": ("ImageSource", "Normaliser"),
    "unet": ("UNet",),
}
_MODULES = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'napari_unet.core' has no attribute {name!r}")
    value = getattr(import_module(f"napari_unet.core.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
