"""The learner: instant head, forest, background fine-tuning, and the gate between them.

The names below load torch when they are first used; `napari_unet.learning.live` can be
imported by a program that must not wait for that.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner
    from napari_unet.learning.status import LearnerStatus

__all__ = ["Learner", "LearnerStatus", "load"]


def load(path: str | os.PathLike[str], device: str | None = None) -> Learner:
    """Read a learner that `Learner.save` wrote; see `Learner.load`."""
    from napari_unet.learning.learner import Learner

    return Learner.load(path, device)


def __getattr__(name: str) -> Any:
    if name in ("Learner", "LearnerStatus"):
        return getattr(import_module("napari_unet.learning.learner"), name)
    raise AttributeError(f"module 'napari_unet.learning' has no attribute {name!r}")
