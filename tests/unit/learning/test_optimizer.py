import pytest
import torch
from torch import nn

from napari_unet.learning.optimizer import AdamW


def _network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))


def _backward(network, seed):
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    network(x).square().mean().backward()


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_steps_as_torch_s_own(weight_decay):
    mine, reference = _network(), _network()
    optimizer = AdamW(mine, weight_decay)
    theirs = torch.optim.AdamW(reference.parameters(), weight_decay=weight_decay)
    for step in range(5):
        rate = 1e-2 / (step + 1)
        optimizer.zero_grad()
        theirs.zero_grad()
        _backward(mine, step)
        _backward(reference, step)
        optimizer.step(rate)
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
        for a, b in zip(mine.parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_parameters_without_gradient_stay():
    network = _network()
    before = network[0].weight.clone()
    optimizer = AdamW(network, 0.1)
    optimizer.step(1.0)
    assert (network[0].weight == before).all()


def test_moments_survive_a_wider_layer_but_its_own_start_anew():
    network = _network()
    optimizer = AdamW(network, 0.0)
    _backward(network, 0)
    optimizer.step(1e-2)
    kept = optimizer._moments["0.weight"]
    network[2] = nn.Conv2d(3, 4, 1)
    optimizer.zero_grad()
    _backward(network, 1)
    optimizer.step(1e-2)
    assert optimizer._moments["0.weight"] is kept
    assert float(kept.step) == 2
    assert float(optimizer._moments["2.weight"].step) == 1
    optimizer.reset()
    assert not optimizer._moments
