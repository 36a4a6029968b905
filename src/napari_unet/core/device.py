"""Where to compute: CPU, CUDA or Apple's MPS, with how many threads."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from napari_unet.errors import ConfigError, DeviceError, OutOfMemoryError

__all__ = [
    "autocast",
    "choose_device",
    "default_threads",
    "describe_device",
    "empty_cache",
    "free_memory",
    "naming_what_ran_out",
    "out_of_memory_errors",
    "seeded",
]

out_of_memory_errors: tuple[type[Exception], ...] = (
    torch.OutOfMemoryError,
    MemoryError,
)
"""What to catch when memory may run out. A CPU allocation that torch refuses at once is
a plain RuntimeError, which cannot be told from a bug without reading its text."""

_ABSENT = {
    "cuda": "no NVIDIA GPU was found, or this torch was built without CUDA; install a "
    "CUDA build of torch (https://pytorch.org) and a current driver, or choose the "
    "device 'auto' or 'cpu'.",
    "mps": "Apple's GPU interface needs a Mac with Apple silicon and macOS 12.3 or "
    "newer; choose the device 'auto' or 'cpu'.",
}


def choose_device(name: str = "auto") -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    name : {'auto', 'cpu', 'cuda', 'mps'}
        ``'auto'`` takes CUDA, then MPS, then the CPU: the first that works.

    Raises
    ------
    DeviceError
        If the device asked for by name is absent or fails at a first small sum.
    ConfigError
        If there is no such name.
    """
    if name == "cpu":
        return torch.device("cpu")
    if name == "auto":
        for candidate in ("cuda", "mps"):
            if _is_there(candidate) and _failure(candidate) is None:
                return torch.device(candidate)
        return torch.device("cpu")
    if name not in _ABSENT:
        raise ConfigError(f"device is {name!r}; choose 'auto', 'cpu', 'cuda' or 'mps'.")
    if not _is_there(name):
        raise DeviceError(f"the device '{name}' is not available: {_ABSENT[name]}")
    failure = _failure(name)
    if failure is not None:
        raise DeviceError(
            f"the device '{name}' is there but does not work; update its driver and "
            "torch, or choose the device 'auto' or 'cpu'."
        ) from failure
    return torch.device(name)


def describe_device(device: torch.device, n_threads: int) -> str:
    """Return a device in words, such as ``"CPU, 2 threads"``.

    Parameters
    ----------
    device : torch.device
        As returned by :func:`choose_device`.
    n_threads : int
        Torch threads; said for the CPU only.
    """
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name} (CUDA), {properties.total_memory / 2**30:.1f} GB"
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU, {n_threads} thread{'' if n_threads == 1 else 's'}"


def default_threads() -> int:
    """Return the number of torch threads to use: the cores of this process but one.

    With every core, training gets several times slower as soon as anything else runs,
    and painting stutters.
    """
    try:
        n_cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows know no affinity of a process
        n_cores = os.cpu_count() or 1
    return max(1, n_cores - 1)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context that computes in bfloat16 where the device has it.

    Only CUDA devices with bfloat16 in hardware gain; elsewhere nothing changes.
    bfloat16 keeps float32's range, so that no gradient scaling is needed.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(
        including_emulation=False
    ):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch's own random numbers, such as those of dropout, follow a seed inside.

    Outside, those of the CPU and of the CUDA device in use go on as if nothing was.
    """
    is_used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = [torch.cuda.current_device()] if is_used else []
    with torch.random.fork_rng(devices, device_type="cuda"):
        torch.manual_seed(seed)
        yield


@contextmanager
def naming_what_ran_out(sentence: str) -> Iterator[None]:
    """Raise `OutOfMemoryError` with this sentence where memory runs out inside.

    Such an error from further in, which knows more, passes.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except out_of_memory_errors as error:
        raise OutOfMemoryError(sentence) from error


def free_memory(device: torch.device) -> None:
    """Give back the memory that torch caches, after an out-of-memory error.

    Takes a good part of a second in a program with many objects, and stops all others.
    """
    gc.collect()  # tensors held by the error's own traceback are cycles
    empty_cache(device)


def empty_cache(device: torch.device) -> None:
    """Give back the device's memory that torch keeps for later; returns at once."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def _is_there(name: str) -> bool:
    if name == "cuda":
        return torch.cuda.is_available()
    return torch.backends.mps.is_available()


def _failure(name: str) -> Exception | None:
    """Return why a small sum fails there: a GPU may be too old for this torch."""
    try:
        (torch.ones(2, device=name) + 1).sum().item()
    except (RuntimeError, AssertionError) as error:
        return error
    return None
