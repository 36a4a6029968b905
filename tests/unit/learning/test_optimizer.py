from functools import partial

import pytest
import torch
from torch import nn

from napari_unet.config import FineTuneConfig
from napari_unet.learning.optimizer import SGD, AdamW, make_optimizer


def _network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 1))


def _backward(network, seed):
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    network(x).square().mean().backward()


_sgd = partial(SGD, momentum=0.99)
_torch_s_sgd = partial(torch.optim.SGD, lr=1, momentum=0.99)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("make", "make_theirs"),
    [(AdamW, torch.optim.AdamW), (_sgd, _torch_s_sgd)],
)
def test_it_steps_as_torch_s_own(make, make_theirs, weight_decay):
    mine, reference = _network(), _network()
    optimizer = make(mine, weight_decay=weight_decay)
    theirs = make_theirs(reference.parameters(), weight_decay=weight_decay)
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


def test_momentum_goes_on_by_hand():
    """A constant gradient of 1: each step is 1 and 0.99 times the one before."""
    line = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(line.weight)
    optimizer = SGD(line, 0.99)
    velocity = place = 0.0
    for _ in range(10):
        line.weight.grad = torch.ones(1, 1)
        optimizer.step(0.5)
        velocity = 0.99 * velocity + 1
        place -= 0.5 * velocity
        assert line.weight.item() == pytest.approx(place, rel=1e-5)
    optimizer.reset()
    line.weight.grad = torch.ones(1, 1)
    optimizer.step(0.5)
    assert line.weight.item() == pytest.approx(place - 0.5, rel=1e-5)


def test_sgd_leaves_parameters_without_gradient_and_survives_a_wider_layer():
    network = _network()
    before = network[0].weight.clone()
    optimizer = SGD(network, 0.99)
    optimizer.step(1.0)
    assert (network[0].weight == before).all()
    _backward(network, 0)
    optimizer.step(1e-2)
    network[2] = nn.Conv2d(3, 4, 1)
    optimizer.zero_grad()
    _backward(network, 1)
    optimizer.step(1e-2)
    assert network[2].weight.isfinite().all()


@pytest.mark.parametrize(("name", "kind"), [("adamw", AdamW), ("sgd", SGD)])
def test_the_settings_choose_the_optimiser(name, kind):
    config = FineTuneConfig(optimizer=name, momentum=0.7)
    optimizer = make_optimizer(_network(), config, 0.0)
    assert type(optimizer) is kind
    assert getattr(optimizer, "_momentum", 0.7) == 0.7
