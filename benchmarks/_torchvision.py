"""A torchvision built for CUDA beside a torch for the CPU, made importable.

It fails at its import, because operators that none of the benchmarks calls are missing:
naming them is enough.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["make_importable"]

_KEPT: list[Any] = []


def make_importable() -> None:
    """Name the operators that torchvision misses, where it is there and misses any."""
    import torch

    try:
        import torchvision  # noqa: F401
    except ImportError:
        return
    except RuntimeError:
        for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float limit) -> Tensor")
        _KEPT.append(library)  # its operators go when it goes
