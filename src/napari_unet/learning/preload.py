"""Imports torch beside a running window without freezing it.

``import torch`` on a worker thread freezes every other thread for up to a second, for
two reasons. Python holds its lock while the system loads and links hundreds of
megabytes: a foreign function called through ctypes gives the lock away, and called for
the same files first it leaves nothing for the import to wait for. And the many new
objects make the garbage collector go through everything that there is, several times:
it rests meanwhile, and then takes the modules for the long-lived objects they are.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["preload_torch", "resting_collector"]

# what libtorch_python needs comes first; names that a build lacks are passed over
_LIBRARIES = (
    "libc10",
    "libtorch_cpu",
    "libc10_cuda",
    "libtorch_cuda",
    "libtorch",
    "libshm",
    "libtorch_python",
)


def preload_torch() -> None:
    """Load torch's shared libraries where that helps; harmless where it does not."""
    if "torch" in sys.modules or not sys.platform.startswith("linux"):
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    folder = Path(spec.origin).parent / "lib"
    dlopen = ctypes.CDLL(None).dlopen  # this call, unlike CDLL(path), frees the lock
    dlopen.restype = ctypes.c_void_p
    dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
    for name in _LIBRARIES:
        path = folder / f"{name}.so"
        if path.exists():
            dlopen(os.fsencode(path), os.RTLD_NOW | os.RTLD_GLOBAL)
            time.sleep(0)  # let others take the lock
    for path in folder.parent.parent.glob("scipy.libs/libscipy_openblas*.so"):
        dlopen(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL)


@contextmanager
def resting_collector() -> Iterator[None]:
    """Let the garbage collector rest while modules are imported.

    Freezing and unfreezing moves all objects to the oldest generation, which is gone
    through rarely; nothing stays frozen.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if was_enabled:
            gc.enable()
