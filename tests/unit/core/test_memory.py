import platform
import subprocess
import sys

import pytest

from napari_unet.core import memory

# arrays of 80 MB, made and dropped; every page that must be got anew is a fault, and
# none is a huge one, of which the system may have some or not
FAULTS = """
import ctypes, resource, sys
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE
from napari_unet.core.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
import numpy as np
for _ in range(2):
    np.ones(10**7)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(10**7)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_LIMITS", (str(tmp_path / "none"), str(limit)))
    machine = memory.total_memory_bytes()
    limit.write_text("max\n")
    assert memory.total_memory_bytes() == machine
    limit.write_text("123456\n")
    assert memory.total_memory_bytes() == 123456


def test_where_nothing_is_told(monkeypatch):
    monkeypatch.setattr(memory, "_LIMITS", ())
    monkeypatch.delattr("os.sysconf", raising=False)
    assert memory.total_memory_bytes() is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_freed_memory_is_used_again():
    faults = [
        int(subprocess.check_output([sys.executable, "-c", FAULTS, mode], text=True))
        for mode in ("keep", "give back")
    ]
    assert faults[0] < faults[1] / 5


def test_another_c_library_is_left_alone(monkeypatch):
    def missing(_):
        raise OSError

    monkeypatch.setattr("ctypes.CDLL", missing)
    memory.keep_freed_memory()
