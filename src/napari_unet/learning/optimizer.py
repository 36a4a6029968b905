"""AdamW by torch's functional form.

The class ``torch.optim.AdamW`` imports torch's compiler when it is first made: 800
modules, two seconds, and half a second in which the window is frozen. The function that
does its arithmetic does not, and a dictionary by parameter name is all the state there
is to keep.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

__all__ = ["AdamW"]


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
        for parameter in self._network.parameters():
            parameter.grad = None

    def reset(self) -> None:
        """Forget all moments."""
        self._moments.clear()

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
        moments = self._moments.get(name)
        if moments is None or moments.mean.shape != parameter.shape:
            zeros = torch.zeros_like(parameter)
            moments = _Moments(torch.zeros(()), zeros, zeros.clone())
            self._moments[name] = moments
        return moments
