"""Model files: what is saved comes back, and a save that fails leaves the old file."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from napari_unet.config import SCHEMA_VERSION, UNetConfig
from napari_unet.core.checkpoint import (
    load_model,
    load_tensors,
    read_header,
    save_model,
    save_tensors,
)
from napari_unet.core.unet import UNet
from napari_unet.errors import FileError

SMALL = UNetConfig(in_channels=2, n_classes=3, base_channels=4, depth=2)


# ---- round trips


def test_tensors_and_header_come_back(saved, arrays):
    loaded, header = load_tensors(saved)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array, strict=True)
    assert header == read_header(saved)
    assert header["names"] == {"1": "Hintergründe"}
    assert header["schema_version"] == SCHEMA_VERSION
    assert header["program"].startswith("napari-unet")


def test_any_safetensors_reader_can_read_it(saved, arrays):
    np.testing.assert_array_equal(load_file(saved)["a"], arrays["a"])


def test_loaded_arrays_can_be_written_to(saved, arrays):
    loaded, _ = load_tensors(saved)
    loaded["a"] += 1
    np.testing.assert_array_equal(loaded["a"], arrays["a"] + 1)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0)[::2],
        np.arange(6, dtype=">i4"),
        np.zeros((3, 4), order="F"),
    ],
)
def test_memory_layout_does_not_matter(path, array):
    save_tensors(path, {"x": array}, {"kind": "learner"})
    np.testing.assert_array_equal(load_tensors(path)[0]["x"], array)


def test_torch_tensors_with_gradients_views_and_bfloat16(path):
    base = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "leaf": base.clone().requires_grad_(),
        "view": base.T,
        "short": base.bfloat16(),
        "half": base.half(),
    }
    save_tensors(path, tensors, {"kind": "learner"})
    arrays, _ = load_tensors(path)
    for name in ("leaf", "short", "half"):
        np.testing.assert_array_equal(arrays[name], base.numpy())
    np.testing.assert_array_equal(arrays["view"], base.T.numpy())
    assert arrays["short"].dtype == np.float32
    assert arrays["half"].dtype == np.float16


def test_no_tensors_at_all(path):
    save_tensors(path, {}, {"kind": "learner"})
    assert load_tensors(path)[0] == {}


def test_two_saves_give_the_same_bytes(path, saved, arrays):
    before = saved.read_bytes()
    save_tensors(saved, arrays, {"kind": "learner", "names": {"1": "Hintergründe"}})
    assert saved.read_bytes() == before


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SMALL.model_copy(update={"ndim": 3, "base_channels": 4, "depth": 1}),
        UNetConfig(architecture="unet2015", base_channels=4, depth=2),
    ],
)
def test_a_network_predicts_the_same_after_a_round_trip(path, config):
    unet = UNet(config).eval()
    save_model(path, unet, {"note": "vessels"})
    loaded = load_model(path)
    assert loaded.config == config
    assert not loaded.training
    x = torch.randn(1, config.in_channels, *(64,) * config.ndim)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), unet(x), rtol=0, atol=0)
    header = read_header(path)
    assert header["kind"] == "unet"
    assert header["extra"] == {"note": "vessels"}


def test_loading_leaves_the_random_generator_alone(path):
    save_model(path, UNet(SMALL))
    state = torch.random.get_rng_state()
    load_model(path)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_header_is_read_without_torch_or_safetensors(saved, run):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None;"
        "from napari_unet.core.checkpoint import read_header;"
        "print(read_header(sys.argv[1])['kind'])"
    )
    assert run(code, saved) == "learner"


@pytest.mark.parametrize("n_more", range(0, 264, 8))
def test_headers_of_any_length_are_told_from_pickles(path, n_more, arrays):
    # the table's length is a multiple of 8; its low byte passes every such value,
    # among them 0x80, a pickle's first byte
    save_tensors(path, arrays, {"kind": "learner", "text": "x" * n_more})
    assert len(read_header(path)["text"]) == n_more


# ---- saves that fail


def _full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_file_and_no_other(saved, monkeypatch, where):
    before = saved.read_bytes()
    if where == "write":
        monkeypatch.setattr(Path, "write_bytes", _full)
    else:
        monkeypatch.setattr(os, {"fsync": "fsync", "rename": "replace"}[where], _full)
    with pytest.raises(FileError, match="disk is full"):
        save_tensors(saved, {"a": np.ones(9)}, {"kind": "learner"})
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_full_disk_without_an_old_file_leaves_nothing(path, monkeypatch, arrays):
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(FileError):
        save_tensors(path, arrays, {"kind": "learner"})
    assert os.listdir(path.parent) == []


@pytest.mark.skipif(os.name == "nt", reason="needs limits of file size")
def test_a_write_that_really_fails_half_way(saved, run):
    code = (
        "import resource, sys, numpy;"
        "from napari_unet.core.checkpoint import save_tensors, FileError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: save_tensors(sys.argv[1], {'x': numpy.ones(9999)}, {'kind': 'learner'})\n"
        "except FileError as error: print(error)"
    )
    before = saved.read_bytes()
    assert "was not written" in run(code, saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_an_interrupted_save_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def interrupt(self, content):
        with open(self, "wb") as file:
            file.write(content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_tensors(saved, {"a": np.ones(9)}, {"kind": "learner"})
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileError, match=r"make the folder .*nowhere first"):
        save_tensors(tmp_path / "nowhere" / "m.safetensors", {}, {"kind": "unet"})


def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(FileError, match="is a folder"):
        save_tensors(tmp_path, {}, {"kind": "unet"})


def test_a_header_that_could_not_be_read_again_is_not_written(saved):
    before = saved.read_bytes()
    with pytest.raises(FileError, match="larger than a model file may have"):
        save_tensors(saved, {}, {"kind": "learner", "text": "x" * 5_000_000})
    assert saved.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_are_those_of_any_new_file_and_links_stay(tmp_path, path, arrays):
    usual = tmp_path / "usual"
    usual.touch()
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    save_tensors(link, arrays, {"kind": "learner"})
    assert link.is_symlink()
    assert read_header(path) == read_header(link)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
