"""AdamW and SGD by torch's functional forms.

The classes of ``torch.optim`` import torch's compiler when they are first made:
800 modules, two seconds, and half a second in which the window is frozen. The functions
that do their arithmetic do not, and a dictionary by parameter name is all the state
there is to keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from napari_unet.config import FineTuneConfig

__all__ = ["SGD", "AdamW", "make_optimizer"]


_MOMENTS = ("step", "mean", "square")


@dataclass
class _Moments:
    step: Tensor
    mean: Tensor
    square: Tensor


class AdamW:
    """Adam with decoupled weight decay (Loshchilov, Hutter 2019, arXiv:1711.05101).

    Parameters
    ----------
    network
        Whose parameters to change; parameters may be exchanged later, and one that has
        another shape than before starts with fresh moments.
    weight_decay
        Share of a weight that is taken off per step and learning rate.
    betas
        Decay of the running means of gradient and squared gradient; the paper's.
    """

    def __init__(
        self,
        network: nn.Module,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self._network = network
        self._weight_decay = weight_decay
        self._betas = betas
        self._moments: dict[str, _Moments] = {}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self._network.zero_grad()

    def reset(self) -> None:
        """Forget all moments."""
        self._moments.clear()

    def state(self) -> dict[str, Tensor]:
        """Return the moments by name, such as ``"head.weight.mean"``; not copied."""
        return {
            f"{name}.{part}": getattr(self._moments[name], part)
            for name, parameter in self._network.named_parameters()
            if self._fits(name, parameter)
            for part in _MOMENTS
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take the moments that `state` returned.

        Raises
        ------
        ValueError
            If they are not those of this network.
        """
        self._moments.clear()
        rest = dict(state)
        for name, parameter in self._network.named_parameters():
            if f"{name}.mean" in rest:
                shapes = dict.fromkeys(_MOMENTS, parameter.shape) | {"step": ()}
                parts = {
                    part: _like(rest.pop(f"{name}.{part}", None), shape, parameter)
                    for part, shape in shapes.items()
                }
                if parts["step"] < 0 or bool((parts["square"] < 0).any()):
                    raise ValueError(f"the moments of {name!r:.60} are negative")
                parts["step"] = parts["step"].cpu()
                self._moments[name] = _Moments(**parts)
        _refuse_rest(rest)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change every parameter that has a gradient."""
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        moments: list[_Moments] = []
        for name, parameter in self._network.named_parameters():
            if parameter.grad is not None:
                parameters.append(parameter)
                gradients.append(parameter.grad)
                moments.append(self._moments_of(name, parameter))
        adamw(
            parameters,
            gradients,
            [m.mean for m in moments],
            [m.square for m in moments],
            [],
            [m.step for m in moments],
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def _moments_of(self, name: str, parameter: Tensor) -> _Moments:
        if not self._fits(name, parameter):
            zeros = torch.zeros_like(parameter)
            self._moments[name] = _Moments(torch.zeros(()), zeros, zeros.clone())
        return self._moments[name]

    def _fits(self, name: str, parameter: Tensor) -> bool:
        """Whether there are moments of this parameter."""
        moments = self._moments.get(name)
        return moments is not None and moments.mean.shape == parameter.shape


class SGD:
    """Stochastic gradient descent with momentum: v = m v + g, then w = w - rate v.

    Parameters
    ----------
    network
        As for `AdamW`.
    momentum
        m, 0 to below 1. 0.99 in Ronneberger et al. 2015, arXiv:1505.04597, section 3.
    weight_decay
        Share of a weight that is added to its gradient.
    """

    def __init__(
        self, network: nn.Module, momentum: float, weight_decay: float = 0.0
    ) -> None:
        self._network = network
        self._momentum = momentum
        self._weight_decay = weight_decay
        self._velocities: dict[str, Tensor] = {}

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self._network.zero_grad()

    def reset(self) -> None:
        """Forget all velocities."""
        self._velocities.clear()

    def state(self) -> dict[str, Tensor]:
        """Return the velocities by the names of their parameters; not copied."""
        return {
            name: self._velocities[name]
            for name, parameter in self._network.named_parameters()
            if self._fits(name, parameter)
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take the velocities that `state` returned; ValueError as in `AdamW`."""
        self._velocities.clear()
        rest = dict(state)
        for name, parameter in self._network.named_parameters():
            if name in rest:
                velocity = _like(rest.pop(name), parameter.shape, parameter)
                self._velocities[name] = velocity
        _refuse_rest(rest)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Change every parameter that has a gradient."""
        moved = {
            name: parameter
            for name, parameter in self._network.named_parameters()
            if parameter.grad is not None
        }
        if not moved:
            return
        for name, parameter in moved.items():
            if not self._fits(name, parameter):
                self._velocities[name] = torch.zeros_like(parameter)
        sgd(
            list(moved.values()),
            [p.grad for p in moved.values() if p.grad is not None],
            [self._velocities[name] for name in moved],
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def _fits(self, name: str, parameter: Tensor) -> bool:
        """Whether there is a velocity of this parameter."""
        known = self._velocities.get(name)
        return known is not None and known.shape == parameter.shape


def make_optimizer(
    network: nn.Module, config: FineTuneConfig, weight_decay: float
) -> AdamW | SGD:
    """Return the optimiser that the settings name."""
    if config.optimizer == "sgd":
        return SGD(network, config.momentum, weight_decay)
    return AdamW(network, weight_decay)


def _like(known: Tensor | None, shape: Sequence[int], parameter: Tensor) -> Tensor:
    """Return a known tensor where and how the parameter lies in memory."""
    if known is None or known.shape != tuple(shape):
        raise ValueError(f"a moment is missing or not of shape {tuple(shape)}")
    if known.ndim != parameter.ndim:
        return known.to(parameter.device, copy=True)
    return torch.empty_like(parameter, requires_grad=False).copy_(known)


def _refuse_rest(rest: Mapping[str, Tensor]) -> None:
    if rest:
        raise ValueError(f"there is no parameter for {next(iter(rest))!r:.60}")
