"""The head in training: of the closed-form head's kind, or the network's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from napari_unet.core.head import RidgeHead
from napari_unet.core.hypercolumn import hypercolumn, project
from napari_unet.core.unet import UNet
from napari_unet.learning.candidates import Network
from napari_unet.learning.trainer_state import set_generator

__all__ = ["LinearHead", "OwnHead", "TrainedHead"]

ClassValues = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A head that was trained with its network, for classes ``values``."""

    values: tuple[int, ...]
    head: RidgeHead


class LinearHead(nn.Module):
    """The head while it is trained, on features scaled as they are trusted.

    Without the scaling, one learning rate would be too fast for some features and too
    slow for others.
    """

    scale: torch.Tensor

    def __init__(self, network: Network, device: torch.device) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple, so as not to be trained by this module
        trust = network.trust(network.n_scales)
        ones = np.ones(network.n_features, np.float32)
        scale = ones if trust is None else np.maximum(trust, 1e-6)
        self.register_buffer("scale", torch.from_numpy(scale).to(device))
        self.weight = nn.Parameter(torch.zeros(network.n_features, 0))
        self.bias = nn.Parameter(torch.zeros(0))

    def start_from(self, head: RidgeHead, values: tuple[int, ...]) -> None:
        """Take the closed-form head's weights; ``values`` are its classes."""
        device = self.scale.device
        weight = torch.from_numpy(head.weights * np.float32(head.temperature))
        bias = torch.from_numpy(head.bias * np.float32(head.temperature))
        self.weight = nn.Parameter(weight.to(device) / self.scale[:, None])
        self.bias = nn.Parameter(bias.to(device))

    def state(self) -> dict[str, torch.Tensor]:
        """Return the weights (F, K) and the bias (K,) as they are trained."""
        return {"weight": self.weight, "bias": self.bias}

    def restore(self, state: Mapping[str, torch.Tensor], values: ClassValues) -> None:
        """Take what `state` returned, for classes ``values``.

        Raises
        ------
        ValueError
            If it is not of so many features and classes.
        """
        shapes = {"weight": (len(self.scale), len(values)), "bias": (len(values),)}
        if {name: tuple(tensor.shape) for name, tensor in state.items()} != shapes:
            raise ValueError("the head in training is not of its features and classes")
        for name, tensor in state.items():
            setattr(self, name, nn.Parameter(tensor.to(self.scale.device, copy=True)))

    def logits(self, unet: UNet, images: torch.Tensor) -> torch.Tensor:
        """Return (B, K, H', W'), on all the maps that the closed-form head sees."""
        (network,), n = self._network, len(images)
        maps = hypercolumn(unet, images, network.n_levels, network.n_scales)
        weight = self.weight * self.scale[:, None]
        return project(maps, weight.expand(n, -1, -1), self.bias.expand(n, -1))


class OwnHead(nn.Module):
    """The network's last layer, the 1x1 convolution on its finest map, as in the paper.

    It begins with the network's random weights, is trained as a part of the network,
    and predicts as it was trained: nothing is fitted in closed form.

    Parameters
    ----------
    network
        Tells the features that the closed-form head would see.
    unet, average
        The network that is trained and its average, whose last layers this keeps alike.
    seed
        Of the random weights of new classes.
    """

    def __init__(self, network: Network, unet: UNet, average: UNet, seed: int) -> None:
        super().__init__()
        # in tuples, so as not to be parameters of this module: the network has them
        self._network, self._unets = (network,), (unet, average)
        self._generator = torch.Generator().manual_seed(seed)
        self._values: tuple[int, ...] = ()

    def resume(self, trained: TrainedHead) -> None:
        """Go on from weights that were trained before."""
        head, n_channels = trained.head, self._n_channels
        weight = torch.from_numpy(head.weights[:n_channels].T * head.temperature)
        bias = torch.from_numpy(head.bias * np.float32(head.temperature))
        self._put([(weight[:, :, None, None], bias)] * 2)
        self._values = trained.values

    def state(self) -> dict[str, torch.Tensor]:
        """Return the state of what draws new weights; the networks have the others."""
        return {"generator": self._generator.get_state()}

    def restore(self, state: Mapping[str, torch.Tensor], values: ClassValues) -> None:
        """Take what `state` returned, with room for the weights of ``values``.

        Raises
        ------
        ValueError
            If it is no such state.
        """
        if state.keys() != {"generator"}:
            raise ValueError("the head in training is of another kind")
        set_generator(self._generator, state["generator"])
        if values and len(values) != len(self._unets[0].head.weight):
            weight = torch.zeros(len(values), self._n_channels, 1, 1)
            self._put([(weight, torch.zeros(len(values)))] * 2)
        self._values = values

    def start_from(self, head: RidgeHead, values: tuple[int, ...]) -> None:
        """Have an output for each of ``values``; known ones stay as they are.

        The closed-form head is not for this one, and new outputs are random (He).
        """
        if not self._values and self._unets[0].config.n_classes == len(values):
            self._values = values
        if values == self._values:
            return
        size = (len(values), self._n_channels, 1, 1)
        fresh = torch.randn(size, generator=self._generator)
        fresh *= math.sqrt(2 / self._n_channels)
        layers = []
        for unet in self._unets:
            assert unet.head.bias is not None
            weight, bias = fresh.clone(), torch.zeros(len(values))
            for number, value in enumerate(values):
                if value in self._values:
                    old = self._values.index(value)
                    weight[number] = unet.head.weight.detach()[old]
                    bias[number] = unet.head.bias.detach()[old]
            layers.append((weight, bias))
        self._put(layers)
        self._values = values

    def logits(self, unet: UNet, images: torch.Tensor) -> torch.Tensor:
        """Return (B, K, H', W')."""
        logits: torch.Tensor = unet(images)
        return logits

    def trained(self) -> TrainedHead:
        """Return the averaged network's last layer, blind to all other features."""
        (network,), layer = self._network, self._unets[1].head
        assert layer.bias is not None
        weights = np.zeros((network.n_features, len(self._values)), np.float32)
        weights[: self._n_channels] = layer.weight.detach()[:, :, 0, 0].T.cpu().numpy()
        bias = layer.bias.detach().cpu().numpy().copy()
        return TrainedHead(self._values, RidgeHead(weights, bias, 1.0))

    @property
    def _n_channels(self) -> int:
        """Channels of the finest map, which are the first features."""
        return self._unets[0].config.channels[0]

    def _put(self, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Give both networks a last layer of these weights."""
        for unet, (weight, bias) in zip(self._unets, layers, strict=True):
            device, is_trained = unet.head.weight.device, unet.head.weight.requires_grad
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, device="meta")
            layer.to_empty(device=device)
            layer.load_state_dict({"weight": weight, "bias": bias})
            unet.head = layer.requires_grad_(is_trained)
