"""Which images can be opened again elsewhere, and what comes of it."""

import pickle

import numpy as np
import pytest
import zarr

from napari_unet.core.coarse import Pyramid
from napari_unet.inference.remote_image import opener_of


@pytest.fixture
def group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    group = zarr.create_group("a.zarr")
    for name, step in (("0", 1), ("1", 2)):
        data = np.arange(400, dtype="u2").reshape(20, 20)[::step, ::step]
        group.create_array(name, data=np.ascontiguousarray(data), chunks=(8, 8))
    return group


def _elsewhere(image, tmp_path_factory, monkeypatch):
    """Open it as a process with another working directory would."""
    opener = pickle.loads(pickle.dumps(opener_of(image)))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    return opener()


def test_an_array_in_a_group(group, tmp_path_factory, monkeypatch):
    found = _elsewhere(group["0"], tmp_path_factory, monkeypatch)
    assert found[3, 4] == 64
    assert found.read_only


def test_a_pyramid(group, tmp_path_factory, monkeypatch):
    image = Pyramid([group["0"], group["1"]])
    found = _elsewhere(image, tmp_path_factory, monkeypatch)
    assert found.shape == (20, 20)
    assert found.coarser[0][1, 2] == 44


def test_what_is_in_memory_cannot_be_opened():
    assert opener_of(np.zeros((4, 4))) is None
    in_memory = zarr.create_array({}, shape=(4, 4), dtype="u1")
    assert opener_of(in_memory) is None
    assert opener_of(Pyramid([np.zeros((4, 4)), np.zeros((2, 2))])) is None
