"""napari-unet: interactive segmentation with a U-Net that learns while you paint.

Importing this package loads neither torch nor Qt nor napari; the names below load what
they need when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CancelToken

if TYPE_CHECKING:
    from napari_unet.config import InstanceConfig, LearnerConfig, UNetConfig
    from napari_unet.core import UNet, load_model
    from napari_unet.inference.instances import split_objects
    from napari_unet.learning import Learner, load

__all__ = [
    "CancelToken",
    "InstanceConfig",
    "Learner",
    "LearnerConfig",
    "NapariUnetError",
    "UNet",
    "UNetConfig",
    "__version__",
    "load",
    "load_model",
    "split_objects",
]

_LAZY = {
    "InstanceConfig": "napari_unet.config",
    "Learner": "napari_unet.learning",
    "LearnerConfig": "napari_unet.config",
    "UNetConfig": "napari_unet.config",
    "load": "napari_unet.learning",
    "UNet": "napari_unet.core",
    "load_model": "napari_unet.core",
    "split_objects": "napari_unet.inference.instances",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-unet")
    raise AttributeError(f"module 'napari_unet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
