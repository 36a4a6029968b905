import errno
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save

from napari_unet.config import SCHEMA_VERSION, UNetConfig
from napari_unet.core.checkpoint import (
    load_model,
    load_tensors,
    read_header,
    save_model,
    save_tensors,
)
from napari_unet.core.unet import UNet
from napari_unet.errors import CheckpointError, DeviceError, FileError

SMALL = UNetConfig(in_channels=2, n_classes=3, base_channels=4, depth=2)
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1, -2], dtype=np.int64),
    "scalar": np.array(2.5),
    "nothing": np.zeros((0, 4), np.uint8),
    "yes": np.array([True, False]),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    save_tensors(path, ARRAYS, {"kind": "learner", "names": {"1": "Hintergründe"}})
    return path


def _file(path, table, data=b"", header=None):
    """Write a safetensors file by hand; ``header`` is ours, as an object or as text."""
    if header is not None:
        text = header if isinstance(header, str) else json.dumps(header)
        table = {"__metadata__": {"napari_unet": text}, **table}
    content = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return path


HEADER = {"schema_version": SCHEMA_VERSION, "kind": "unet"}


def _run(code, *arguments):
    """Return what a fresh interpreter prints."""
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def _entry(dtype="F32", shape=(2,), span=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


# ---- round trips


def test_tensors_and_header_come_back(saved):
    arrays, header = load_tensors(saved)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    assert header == read_header(saved)
    assert header["names"] == {"1": "Hintergründe"}
    assert header["schema_version"] == SCHEMA_VERSION
    assert header["program"].startswith("napari-unet")


def test_any_safetensors_reader_can_read_it(saved):
    np.testing.assert_array_equal(load_file(saved)["a"], ARRAYS["a"])


def test_loaded_arrays_can_be_written_to(saved):
    arrays, _ = load_tensors(saved)
    arrays["a"] += 1
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"] + 1)


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


def test_two_saves_give_the_same_bytes(path, saved):
    before = saved.read_bytes()
    save_tensors(saved, ARRAYS, {"kind": "learner", "names": {"1": "Hintergründe"}})
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


def test_the_header_is_read_without_torch_or_safetensors(saved):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['safetensors'] = None;"
        "from napari_unet.core.checkpoint import read_header;"
        "print(read_header(sys.argv[1])['kind'])"
    )
    assert _run(code, saved) == "learner"


@pytest.mark.parametrize("n_more", range(0, 264, 8))
def test_headers_of_any_length_are_told_from_pickles(path, n_more):
    # the table's length is a multiple of 8; its low byte passes every such value,
    # among them 0x80, a pickle's first byte
    save_tensors(path, ARRAYS, {"kind": "learner", "text": "x" * n_more})
    assert len(read_header(path)["text"]) == n_more


# ---- files that cannot be read


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileError, match=r"nope\.safetensors does not exist"):
        read_header(tmp_path / "nope.safetensors")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_header(tmp_path)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_unreadable_file(saved):
    saved.chmod(0)
    with pytest.raises(FileError, match="cannot be read"):
        read_header(saved)


@pytest.mark.parametrize("content", [b"", b"{", b"x" * 8, b"\0" * 200, b"GIF89a" * 9])
def test_foreign_content(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a napari-unet model"):
        load_tensors(path)


def test_random_bytes(path):
    rng = np.random.default_rng(0)
    for n in (9, 100, 5000):
        path.write_bytes(rng.bytes(n))
        with pytest.raises(CheckpointError):
            load_tensors(path)


class _Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("exploded",))


@pytest.mark.parametrize("n_protocol", [2, 4, 5])
def test_pickles_are_refused_and_never_run(path, monkeypatch, tmp_path, n_protocol):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(pickle.dumps(_Bomb(), protocol=n_protocol))
    with pytest.raises(CheckpointError, match="run code"):
        load_model(path)
    assert not Path("exploded").exists()


def test_torch_files_are_refused(path):
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"torch\.save.*\.safetensors"):
        load_model(path)


def test_foreign_safetensors(path):
    path.write_bytes(save({"a": np.zeros(3)}))
    with pytest.raises(CheckpointError, match="no text 'napari_unet'"):
        read_header(path)
    path.write_bytes(save({"a": np.zeros(3)}, metadata={"format": "pt"}))
    with pytest.raises(CheckpointError, match="no text 'napari_unet'"):
        load_tensors(path)


def test_truncated_anywhere(saved, tmp_path):
    content = saved.read_bytes()
    short = tmp_path / "short.safetensors"
    for n in range(len(content)):
        short.write_bytes(content[:n])
        with pytest.raises(CheckpointError):
            read_header(short)
    with pytest.raises(CheckpointError, match=r"truncated: \d+ of \d+ bytes"):
        read_header(short)


def test_bytes_behind_the_last_tensor(saved):
    with open(saved, "ab") as file:
        file.write(b"more")
    with pytest.raises(CheckpointError, match="4 bytes belong to no tensor"):
        read_header(saved)


@pytest.mark.parametrize("n_table", [2**63, 2**64 - 1, 2**40, 10**8, 0])
def test_a_header_of_impossible_length_is_not_read(path, n_table):
    path.write_bytes(struct.pack("<Q", n_table) + b'{"a":1}')
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="does not begin like"):
        load_tensors(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize(
    "table",
    [
        b'{"',
        b'{"a": nonsense}',
        b'{"a": NaN}',
        b'{"a": "\xff\xfe"}',
        b'{"a":' + b"[" * 200_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_header_that_is_not_json(path, table):
    with pytest.raises(CheckpointError, match="not JSON"):
        read_header(_file(path, table))


@pytest.mark.parametrize("header", ["[1]", "3", "null", '"unet"', "true"])
def test_our_header_is_a_dict(path, header):
    with pytest.raises(CheckpointError, match="header is a JSON"):
        read_header(_file(path, {}, header=header))


@pytest.mark.parametrize("metadata", [None, 1, [], {"napari_unet": {"kind": "unet"}}])
def test_metadata_of_another_type(path, metadata):
    with pytest.raises(CheckpointError, match="no text"):
        read_header(_file(path, {"__metadata__": metadata}))


@pytest.mark.parametrize("version", [None, "1", 0, -1, 1.0, True, [1]])
def test_a_schema_version_that_is_none(path, version):
    header = {**HEADER, "schema_version": version}
    with pytest.raises(CheckpointError, match="schema_version"):
        read_header(_file(path, {}, header=header))


def test_a_newer_file_asks_for_an_update_whatever_else_it_holds(path):
    header = {
        "schema_version": SCHEMA_VERSION + 1,
        "kind": "something new",
        "program": "napari-unet 9.0",
    }
    newer = _file(path, {"x": {"dtype": "F4", "new": 1}}, header=header)
    words = r"written by a newer napari-unet \(napari-unet 9.0\); update"
    for read in (read_header, load_tensors, load_model):
        with pytest.raises(CheckpointError, match=words):
            read(newer)


@pytest.mark.parametrize("kind", [None, "forest", 3, ["unet"], {"unet": 1}])
def test_an_unknown_kind(path, kind):
    with pytest.raises(CheckpointError, match="kind"):
        read_header(_file(path, {}, header={**HEADER, "kind": kind}))


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        {"dtype": "F32"},
        {**_entry(), "code": "import os"},
        _entry(dtype="F128"),
        _entry(dtype=["F32"]),
        _entry(shape=(-2,), span=(8, 0)),
        _entry(shape=(2.0,)),
        _entry(shape=(True, 2)),
        _entry(shape=("2",)),
        _entry(shape=(10**30,)),
        _entry(shape=(1,) * 9 + (2,)),
        {**_entry(), "shape": 2},
        {**_entry(), "data_offsets": 8},
        _entry(span=(0, 8, 9)),
        _entry(span=(0, "8")),
        _entry(span=(0, 4)),
        _entry(span=(-8, 0)),
        _entry(shape=(3,), span=(0, 8)),
        _entry(shape=(2**20, 2**20), span=(0, 8)),
    ],
)
def test_a_malformed_entry_of_a_tensor(path, entry):
    with pytest.raises(CheckpointError, match=r"damaged|not JSON"):
        read_header(_file(path, {"x": entry}, bytes(8), header=HEADER))


@pytest.mark.parametrize(
    "second", [_entry(span=(0, 8)), _entry(span=(4, 12)), _entry(span=(12, 20))]
)
def test_overlaps_and_gaps_between_tensors(path, second):
    table = {"x": _entry(), "y": second}
    with pytest.raises(CheckpointError, match="overlap or leave gaps"):
        read_header(_file(path, table, bytes(20), header=HEADER))


def test_a_tensor_larger_than_the_file_takes_no_memory(path):
    n = 2**38
    table = {"x": _entry(shape=(n,), span=(0, 4 * n))}
    _file(path, table, bytes(8), header=HEADER)
    tracemalloc.start()
    for read in (read_header, load_tensors, load_model):
        with pytest.raises(CheckpointError, match="truncated"):
            read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e7


def test_empty_tensors_with_huge_sizes(path):
    table = {"x": _entry(shape=(0, 2**40, 2**40), span=(0, 0))}
    with pytest.raises(CheckpointError):
        load_model(_file(path, table, header=HEADER))


# ---- networks whose settings and weights do not fit


def _edited(path, config=SMALL, header=None, drop=None, add=None):
    """Write a small network's weights under another header or with other tensors."""
    tensors = dict(UNet(SMALL).state_dict())
    if drop:
        del tensors[next(iter(tensors))]
    tensors.update(add or {})
    settings = config if isinstance(config, dict) else config.model_dump(mode="json")
    save_tensors(path, tensors, {"kind": "unet", "config": settings, **(header or {})})
    return path


def test_shapes_that_do_not_fit_the_settings(path):
    other = SMALL.model_copy(update={"n_classes": 5})
    with pytest.raises(CheckpointError, match=r"head\.\w+.*not \(5,"):
        load_model(_edited(path, other))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize("ndim", [2, 3])
def test_absurd_settings_are_refused_before_memory_is_taken(path, ndim):
    absurd = UNetConfig(
        ndim=ndim, in_channels=2, n_classes=3, base_channels=128, depth=6
    )
    _edited(path, absurd)
    # 2 GiB of address space beyond what torch has taken by now, of 11 GB asked for
    code = (
        "import resource, sys, torch\n"
        "from napari_unet.config import UNetConfig\n"
        "from napari_unet.core import UNet, load_model\n"
        "from napari_unet.errors import CheckpointError\n"
        "UNet(UNetConfig(base_channels=4, depth=1))\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 2**31\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try: load_model(sys.argv[1])\n"
        "except CheckpointError as error: print(error)"
    )
    assert "does not fit its settings" in _run(code, path)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"base_channels": 10**9}, "base_channels"),
        ({"depth": 50}, "depth"),
        ({"new_setting": 1}, "new_setting"),
        ({"architecture": "transformer"}, "architecture"),
    ],
)
def test_impossible_settings_are_named(path, config, words):
    with pytest.raises(CheckpointError, match=f"impossible settings.*{words}"):
        load_model(_edited(path, config))


@pytest.mark.parametrize("config", [None, 3, "compact", []])
def test_settings_that_are_no_dict(path, config):
    save_tensors(path, UNet(SMALL).state_dict(), {"kind": "unet", "config": config})
    with pytest.raises(CheckpointError, match="impossible settings"):
        load_model(path)


def test_unknown_and_missing_tensors_are_named(path):
    with pytest.raises(CheckpointError, match="lacks the tensor"):
        load_model(_edited(path, drop=True))
    with pytest.raises(CheckpointError, match="unknown tensor 'stowaway'"):
        load_model(_edited(path, add={"stowaway": torch.zeros(3)}))


def test_unknown_header_entries_are_refused(path):
    with pytest.raises(CheckpointError, match="unknown entry 'run_me'"):
        load_model(_edited(path, header={"run_me": "rm"}))


def test_weights_must_be_finite_floats(path):
    weights = UNet(SMALL).state_dict()
    bias = torch.full_like(weights["head.bias"], torch.nan)
    with pytest.raises(CheckpointError, match=r"not finite.*head\.bias"):
        load_model(_edited(path, add={"head.bias": bias}))
    with pytest.raises(CheckpointError, match="int64"):
        load_model(_edited(path, add={"head.bias": torch.zeros(3).long()}))


def test_a_learner_is_no_bare_network(saved):
    with pytest.raises(CheckpointError, match=r"holds a learner.*napari_unet\.load"):
        load_model(saved)


def test_the_device_is_checked_first(path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    save_model(path, UNet(SMALL))
    with pytest.raises(DeviceError):
        load_model(path, device="cuda")
    assert next(load_model(path, torch.device("cpu")).parameters()).device.type == "cpu"


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


def test_a_full_disk_without_an_old_file_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(FileError):
        save_tensors(path, ARRAYS, {"kind": "learner"})
    assert os.listdir(path.parent) == []


@pytest.mark.skipif(os.name == "nt", reason="needs limits of file size")
def test_a_write_that_really_fails_half_way(saved):
    code = (
        "import resource, sys, numpy;"
        "from napari_unet.core.checkpoint import save_tensors, FileError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: save_tensors(sys.argv[1], {'x': numpy.ones(9999)}, {'kind': 'learner'})\n"
        "except FileError as error: print(error)"
    )
    before = saved.read_bytes()
    assert "was not written" in _run(code, saved)
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
def test_permissions_are_those_of_any_new_file_and_links_stay(tmp_path, path):
    usual = tmp_path / "usual"
    usual.touch()
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    save_tensors(link, ARRAYS, {"kind": "learner"})
    assert link.is_symlink()
    assert read_header(path) == read_header(link)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)
