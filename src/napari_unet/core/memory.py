"""How much memory there is, to refuse in time what cannot fit."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["total_memory_bytes"]

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
