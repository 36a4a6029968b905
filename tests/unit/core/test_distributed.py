"""Two processes that train together, on the CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

from napari_unet.core.distributed import Team, current_team, joined_team
from napari_unet.errors import DeviceError

_EACH = """
import json, pathlib, sys
import torch
from torch import nn
from napari_unet.core.distributed import current_team, joined_team

with joined_team("cpu") as team:
    assert team == current_team()
    torch.manual_seed(team.rank)  # start apart
    net = nn.Linear(3, 2)
    team.share(net)
    rows = torch.arange(12.0).reshape(4, 3)[2 * team.rank : 2 * team.rank + 2]
    net(rows).square().mean().backward()
    team.average_gradients(net.parameters())
    found = {
        "size": team.size,
        "weights": net.weight.tolist(),
        "bias": net.bias.tolist(),
        "gradient": net.weight.grad.tolist(),
        "decided": [team.decide(team.rank == 0), team.decide(team.rank == 1)],
        "every": [team.every(True), team.every(team.rank == 0)],
    }
    pathlib.Path(sys.argv[1], f"{team.rank}.json").write_text(json.dumps(found))
assert not torch.distributed.is_initialized()
"""


def _torchrun(*args):
    """Start two processes and return what they wrote on stdout and stderr."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*command, "--nproc-per-node", "2", *args],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.mark.timeout(300)
def test_gradients_are_those_of_the_joined_batch(tmp_path):
    script = tmp_path / "each.py"
    script.write_text(_EACH)
    _torchrun(str(script), str(tmp_path))
    one, two = (json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2))
    assert one == two
    assert one["size"] == 2
    assert one["decided"] == [True, False]
    assert one["every"] == [True, False]
    net = nn.Linear(3, 2)
    net.load_state_dict(
        {"weight": torch.tensor(one["weights"]), "bias": torch.tensor(one["bias"])}
    )
    net(torch.arange(12.0).reshape(4, 3)).square().mean().backward()
    torch.testing.assert_close(net.weight.grad, torch.tensor(one["gradient"]))


@pytest.mark.timeout(300)
def test_train_works_under_torchrun_and_speaks_once(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.normal(20, 3, (64, 64))
    image[20:40, 20:40] += 30
    strokes = np.zeros((64, 64), np.uint8)
    strokes[25, 22:38] = strokes[35, 22:38] = 2
    strokes[5, 5:60] = strokes[55, 5:60] = 1
    tifffile.imwrite(tmp_path / "image.tif", image.astype(np.float32))
    tifffile.imwrite(tmp_path / "strokes.tif", strokes)
    model = tmp_path / "model.safetensors"
    call = ["-m", "napari_unet.cli", "train", "--steps", "3", "--json"]
    call += ["--image", str(tmp_path / "image.tif"), "--out", str(model)]
    call += ["--annotation", str(tmp_path / "strokes.tif"), "--device", "cpu"]
    out, _ = _torchrun(*call)
    assert json.loads(out)["step"] == 3  # one report, not two
    assert model.is_file()


def test_alone_nothing_is_sent():
    with joined_team() as team:
        assert team == current_team() == Team(0, 1)
    assert team.decide(True)
    assert not team.decide(False)
    assert team.every(True)
    assert not team.every(False)
    net = nn.Linear(2, 1)
    net(torch.ones(1, 2)).sum().backward()
    before = net.weight.grad.clone(), net.weight.detach().clone()
    team.average_gradients(net.parameters())
    team.share(net)
    torch.testing.assert_close((net.weight.grad, net.weight.detach()), before)


def test_more_processes_than_gpus(monkeypatch):
    for name, value in {"WORLD_SIZE": "3", "LOCAL_RANK": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(DeviceError, match="--nproc-per-node 1"),
        joined_team("auto"),
    ):
        pass
