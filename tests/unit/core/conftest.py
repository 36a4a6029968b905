"""Model files to read, and a fresh interpreter to read them in."""

import subprocess
import sys

import numpy as np
import pytest

from napari_unet.core.checkpoint import save_tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def arrays():
    return {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.array([1, -2], dtype=np.int64),
        "scalar": np.array(2.5),
        "nothing": np.zeros((0, 4), np.uint8),
        "yes": np.array([True, False]),
    }


@pytest.fixture
def saved(path, arrays):
    save_tensors(path, arrays, {"kind": "learner", "names": {"1": "Hintergründe"}})
    return path


@pytest.fixture
def run():
    """Return what a fresh interpreter prints."""

    def run(code, *arguments):
        result = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            timeout=120,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    return run
