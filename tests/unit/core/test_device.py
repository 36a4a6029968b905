import os

import pytest
import torch

from napari_unet.core import device as module
from napari_unet.core.device import (
    autocast,
    choose_device,
    default_threads,
    describe_device,
    free_memory,
    naming_what_ran_out,
    out_of_memory_errors,
    seeded,
)
from napari_unet.errors import ConfigError, DeviceError, OutOfMemoryError


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_auto_is_the_cpu_without_a_gpu(absent):
    assert choose_device("auto") == torch.device("cpu")
    assert choose_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_an_absent_device_says_what_to_do(absent, name):
    with pytest.raises(DeviceError, match=rf"'{name}'.*'auto' or 'cpu'"):
        choose_device(name)


def test_the_cpu_is_not_probed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: 1 / 0)
    assert choose_device("cpu").type == "cpu"


def test_an_unknown_name_is_a_setting_out_of_range():
    with pytest.raises(ConfigError, match=r"'gpu'.*'cuda'"):
        choose_device("gpu")


@pytest.mark.parametrize(
    ("there", "chosen"),
    [({"cuda", "mps"}, "cuda"), ({"mps"}, "mps"), ({"cuda"}, "cuda")],
)
def test_auto_takes_cuda_before_mps(monkeypatch, there, chosen):
    monkeypatch.setattr(module, "_is_there", lambda name: name in there)
    monkeypatch.setattr(module, "_failure", lambda name: None)
    assert choose_device("auto").type == chosen


def test_a_device_that_fails_is_passed_over_by_auto_and_reported_by_name(monkeypatch):
    monkeypatch.setattr(module, "_is_there", lambda name: name == "cuda")
    cause = RuntimeError("no kernel image")
    monkeypatch.setattr(module, "_failure", lambda name: cause)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(DeviceError, match="does not work") as caught:
        choose_device("cuda")
    assert caught.value.__cause__ is cause


def test_the_probe_finds_a_device_that_cannot_add():
    assert module._failure("cpu") is None
    if not torch.cuda.is_available():
        assert isinstance(module._failure("cuda"), Exception)


def test_descriptions(monkeypatch):
    cpu = torch.device("cpu")
    assert describe_device(cpu, 1) == "CPU, 1 thread"
    assert describe_device(cpu, 6) == "CPU, 6 threads"
    assert describe_device(torch.device("mps"), 6) == "Apple GPU (MPS)"

    class Properties:
        name = "NVIDIA GeForce RTX 4090"
        total_memory = 24 * 2**30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    text = describe_device(torch.device("cuda"), 6)
    assert text == "NVIDIA GeForce RTX 4090 (CUDA), 24.0 GB"


@pytest.mark.parametrize(("n_cores", "n_threads"), [(1, 1), (2, 1), (8, 7)])
def test_threads_leave_one_core_free(monkeypatch, n_cores, n_threads):
    cores = set(range(n_cores))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: cores, raising=False)
    assert default_threads() == n_threads


def test_threads_where_the_system_knows_no_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert default_threads() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_threads() == 1


def test_autocast_changes_nothing_on_the_cpu():
    a = torch.ones(2, 2)
    with autocast(torch.device("cpu")):
        assert (a @ a).dtype == torch.float32


def test_free_memory_on_the_cpu_does_no_harm():
    free_memory(torch.device("cpu"))


def test_out_of_memory_is_told_by_type():
    assert issubclass(torch.OutOfMemoryError, out_of_memory_errors)
    assert issubclass(MemoryError, out_of_memory_errors)
    assert not issubclass(RuntimeError, out_of_memory_errors)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), MemoryError("x")])
def test_where_memory_runs_out_a_sentence_says_so(error):
    caught = pytest.raises(OutOfMemoryError, match="too large")
    with caught as info, naming_what_ran_out("too large"):
        raise error
    assert info.value.__cause__ is error


def test_who_knew_what_ran_out_is_not_overruled():
    caught = pytest.raises(OutOfMemoryError, match="a tile")
    with caught, naming_what_ran_out("too large"):
        raise OutOfMemoryError("a tile")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_on_a_real_gpu():
    device = choose_device("cuda")
    assert "(CUDA)" in describe_device(device, 1)
    a = torch.ones(2, 2, device=device)
    with autocast(device):
        expected = torch.cuda.is_bf16_supported(including_emulation=False)
        assert ((a @ a).dtype == torch.bfloat16) == expected
    with pytest.raises(out_of_memory_errors):
        torch.empty(2**50, dtype=torch.uint8, device=device)
    free_memory(device)


def test_a_seed_counts_inside_only():
    torch.manual_seed(1)
    wanted = torch.rand(4)
    torch.manual_seed(1)
    with seeded(5):
        first = torch.rand(3)
    assert torch.equal(torch.rand(4), wanted)
    with seeded(5):
        assert torch.equal(torch.rand(3), first)
    with seeded(6):
        assert not torch.equal(torch.rand(3), first)
