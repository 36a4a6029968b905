"""How much memory there is, and how it is kept."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["available_memory_bytes", "keep_freed_memory", "total_memory_bytes"]

# of glibc's mallopt: no mappings of their own for large arrays, 2 GB of free memory
# that is kept, and 64 MB more than asked for whenever memory is asked for
_M_MMAP_MAX, _M_TRIM_THRESHOLD, _M_TOP_PAD = -4, -1, -2
_KEPT = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}

# limits of a container, under the two names that Linux gives them
_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def total_memory_bytes() -> int | None:
    """Return the memory of this machine or container; None where it is not told.

    Windows does not tell it here: there, whoever asks for too much gets a MemoryError.
    """
    known = []
    with suppress(AttributeError, ValueError, OSError):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in _LIMITS:
        with suppress(OSError, ValueError):  # "max": none
            known.append(int(Path(limit).read_text()))
    return min(known) if known else None


def available_memory_bytes() -> int | None:
    """Return how much memory can be had now without swapping; None if not told.

    Where the system does not say what is free, all that there is.
    """
    total = total_memory_bytes()
    with suppress(OSError, ValueError, StopIteration):
        with open("/proc/meminfo") as file:
            line = next(line for line in file if line.startswith("MemAvailable:"))
        free = int(line.split()[1]) * 1024
        return free if total is None else min(free, total)
    return total


def keep_freed_memory() -> None:
    """Let this process keep what it frees, for the next tile: a quarter faster.

    Where the C library is glibc, large arrays are otherwise given back to the system
    and zeroed page by page when the next one is asked for. For programs that predict
    and end; it cannot be taken back, and counts for the main thread only.
    """
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _KEPT.items():
            mallopt(parameter, value)
