"""Episodic training of the network's features for the closed-form head."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unet.config import UNetConfig
from napari_unet.core.hypercolumn import hypercolumn, project, sample
from napari_unet.core.unet import UNet
from tools.pretrain.episodes import MAX_CLASSES, Episode
from tools.pretrain.head import Prior, ridge

__all__ = ["Settings", "Trainer", "append"]


@dataclass(frozen=True)
class Settings:
    """What decides the result, beside the data."""

    seed: int = 0
    batch: int = 4
    crop_px: int = 128
    n_levels: int = 4
    n_scales: int = 2
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    average_decay: float = 0.998
    real_share: float = 0.5
    base_channels: int = 16
    depth: int = 4


class Trainer:
    """Network, prior, optimiser and running average.

    Parameters
    ----------
    settings
        As above.
    device
        Where to train; bf16 arithmetic is used wherever the device has it.
    """

    def __init__(self, settings: Settings, device: torch.device) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.device = settings, device
        config = UNetConfig(
            in_channels=3, base_channels=settings.base_channels, depth=settings.depth
        )
        unet = UNet(config).to(device)
        self.unet = unet.to(memory_format=torch.channels_last)
        self.unet.head.requires_grad_(False)
        levels = list(config.channels[: settings.n_levels])
        self.prior = Prior(levels * settings.n_scales + [3]).to(device)
        self.average = copy.deepcopy(self.unet).requires_grad_(False)
        self.average_prior = copy.deepcopy(self.prior).requires_grad_(False)
        slow = [p for p in self.unet.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": slow, "weight_decay": settings.weight_decay, "factor": 1.0},
                {
                    "params": list(self.prior.parameters()),
                    "weight_decay": 0.0,
                    "factor": 3.0,
                },
            ],
            lr=settings.learning_rate,
        )
        self.n_steps = 0
        self.seconds = 0.0

    def step(self, episodes: Sequence[Episode], rate: float) -> dict[str, float]:
        """Do one step at ``rate`` times the learning rate; returns what to log."""
        began = time.monotonic()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.settings.learning_rate * group["factor"]
        loss, right = self._loss(self.unet, self.prior, episodes)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [*self.unet.parameters(), *self.prior.parameters()]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        if math.isfinite(norm):
            self.optimizer.step()
            self._update_average()
        self.n_steps += 1
        self.seconds += time.monotonic() - began
        return {"loss": float(loss.detach()), "iou": right, "norm": norm}

    @torch.no_grad()
    def validate(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Return mean IoU of the averaged weights: same image, and other image."""
        scores = []
        for episode in episodes:
            logits, truths, _ = self._predict(
                self.average, self.average_prior, [episode]
            )
            scores.append(_mean_iou(logits, truths))
        mean = np.nanmean(scores, axis=0)
        return {"same": float(mean[0]), "other": float(mean[1])}

    def _loss(
        self, unet: UNet, prior: Prior, episodes: Sequence[Episode]
    ) -> tuple[Tensor, float]:
        logits, truths, counts = self._predict(unet, prior, episodes)
        losses = []
        for number, n_classes in enumerate(counts):
            window = slice(2 * number, 2 * number + 2)
            losses.append(_pixel_loss(logits[window, :n_classes], truths[window]))
        with torch.no_grad():
            iou = float(np.nanmean(_mean_iou(logits, truths)))
        return torch.stack(losses).mean(), iou

    def _predict(
        self, unet: UNet, prior: Prior, episodes: Sequence[Episode]
    ) -> tuple[Tensor, Tensor, list[int]]:
        """Return logits (2E, K, S, S), truths (2E, S, S) and classes per episode."""
        images = torch.from_numpy(np.concatenate([e.images for e in episodes]))
        truths = torch.from_numpy(np.concatenate([e.truths for e in episodes]))
        images, truths = images.to(self.device), truths.to(self.device)
        images = images.contiguous(memory_format=torch.channels_last)
        settings = self.settings
        with torch.autocast(self.device.type, torch.bfloat16):
            maps = hypercolumn(unet, images, settings.n_levels, settings.n_scales)
        scale = prior.log_scale.exp()
        betas, biases = [], []
        for number, episode in enumerate(episodes):
            strength, temperature = prior.of(episode.n_strokes)
            yx = torch.from_numpy(episode.yx).to(self.device)
            beta, bias = ridge(
                sample(maps, 2 * number, yx) * scale,
                torch.from_numpy(episode.targets).to(self.device),
                torch.from_numpy(episode.weights).to(self.device),
                episode.n_classes,
                strength,
            )
            missing = MAX_CLASSES - episode.n_classes
            beta = F.pad(beta * scale[:, None] * temperature, (0, missing))
            bias = F.pad(bias * temperature, (0, missing), value=-100.0)
            betas += [beta, beta]
            biases += [bias, bias]
        logits = project(maps, torch.stack(betas), torch.stack(biases))
        return logits, truths, [e.n_classes for e in episodes]

    def _update_average(self) -> None:
        decay = min(self.settings.average_decay, self.n_steps / (self.n_steps + 9))
        with torch.no_grad():
            for slow, fast in (
                (self.average, self.unet),
                (self.average_prior, self.prior),
            ):
                for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
                    a.lerp_(b, 1 - decay)

    def save(self, path: Path) -> None:
        """Write everything that training needs to go on."""
        partial = path.with_suffix(".partial")
        torch.save(
            {
                "settings": asdict(self.settings),
                "unet": self.unet.state_dict(),
                "prior": self.prior.state_dict(),
                "average": self.average.state_dict(),
                "average_prior": self.average_prior.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "n_steps": self.n_steps,
                "seconds": self.seconds,
            },
            partial,
        )
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name in ("unet", "prior", "average", "average_prior", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.n_steps, self.seconds = state["n_steps"], state["seconds"]


def _pixel_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy on all pixels, rare classes raised, and soft Dice."""
    n_classes = logits.shape[1]
    known = truth >= 0
    index = truth.clamp(min=0)
    one_hot = F.one_hot(index, n_classes).permute(0, 3, 1, 2) * known[:, None]
    counts = one_hot.sum((0, 2, 3)).float()
    weights = (counts.clamp(min=1) / counts.sum().clamp(min=1)) ** -0.5
    weights = weights * (counts > 0)
    weights = weights / (weights * counts).sum().clamp(min=1) * counts.sum()
    entropy = F.cross_entropy(logits, truth, weight=weights, ignore_index=-1)
    chances = logits.softmax(dim=1) * known[:, None]
    overlap = (chances * one_hot).sum((0, 2, 3))
    dice = 2 * overlap / (chances.sum((0, 2, 3)) + counts + 1)
    missing = 1 - dice[counts > 0].mean()
    return entropy + missing


def _mean_iou(logits: Tensor, truths: Tensor) -> list[float]:
    """Return the mean IoU over the classes of each image's truth."""
    result = []
    predicted = logits.argmax(dim=1)
    for p, t in zip(predicted, truths, strict=True):
        known = t >= 0
        values = torch.unique(t[known])
        ious = []
        for value in values:
            a, b = (p == value) & known, t == value
            ious.append(float((a & b).sum() / (a | b).sum()))
        result.append(float(np.mean(ious)) if ious else math.nan)
    return result


def append(path: Path, record: dict[str, float | int | str]) -> None:
    """Add one line of JSON to the log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
