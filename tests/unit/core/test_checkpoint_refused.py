"""Model files that are foreign, damaged, hostile or newer: refused in a sentence."""

import json
import os
import pickle
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

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
HEADER = {"schema_version": SCHEMA_VERSION, "kind": "unet"}


def _file(path, table, data=b"", header=None):
    """Write a safetensors file by hand; ``header`` is ours, as an object or as text."""
    if header is not None:
        text = header if isinstance(header, str) else json.dumps(header)
        table = {"__metadata__": {"napari_unet": text}, **table}
    content = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)
    return path


def _entry(dtype="F32", shape=(2,), span=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


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
def test_absurd_settings_are_refused_before_memory_is_taken(path, ndim, run):
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
    assert "does not fit its settings" in run(code, path)


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
