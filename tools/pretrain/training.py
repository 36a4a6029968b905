"""Episodic training of the network's features for the closed-form head."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_unet.config import UNetConfig
from napari_unet.core.checkpoint import load_tensors
from napari_unet.core.hypercolumn import hypercolumn, project, sample
from napari_unet.core.unet import UNet
from tools.pretrain.batch import Batch, collate
from tools.pretrain.episodes import Episode
from tools.pretrain.head import Prior, ridge

__all__ = ["Settings", "Trainer", "append"]

_MAX_SKIPPED = 50


@dataclass(frozen=True)
class Settings:
    """What decides the result, beside the data.

    Attributes
    ----------
    seed
        Of weights and episodes.
    batch
        Episodes of a step.
    patch_px
        Sides of the patches (px), of which each step takes one at random.
    n_levels, n_scales
        Decoder levels that feed the head, and sizes of the image they come from.
    learning_rate, weight_decay
        Of AdamW, for the network; the prior has three times the rate and no decay.
    average_decay
        Of the running average of the weights: over about 1000 steps.
    real_share
        Share of tasks from real images, where there are any.
    base_channels, depth
        Of the network.
    """

    seed: int = 0
    batch: int = 4
    patch_px: tuple[int, ...] = (128,)
    n_levels: int = 4
    n_scales: int = 2
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    average_decay: float = 0.999
    real_share: float = 0.5
    base_channels: int = 16
    depth: int = 4


class Trainer:
    """Network, prior, optimiser and running average.

    Parameters
    ----------
    settings
        What decides the result.
    device
        Where to train, in bf16 arithmetic: on a CPU also.
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
            fused=device.type == "cuda",
        )
        self.n_steps = self.n_skipped = 0
        self.seconds = 0.0
        self.best = 0.0
        self.started_from: dict[str, Any] | None = None

    def step(self, batch: Batch, rate: float) -> dict[str, float]:
        """Do one step at ``rate`` times the learning rate.

        Returns
        -------
        dict
            Mean ``loss`` and ``iou`` of the batch and the gradient's ``norm``; empty
            where they were no numbers, which changes nothing.

        Raises
        ------
        RuntimeError
            If that happens in 50 steps on end.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.settings.learning_rate * group["factor"]
        batch = batch.to(self.device)
        logits = self._predict(self.unet, self.prior, batch)
        loss = _pixel_loss(logits, batch.truths)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [*self.unet.parameters(), *self.prior.parameters()]
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        self.n_steps += 1
        if not math.isfinite(norm):
            self.n_skipped += 1
            if self.n_skipped == _MAX_SKIPPED:
                raise RuntimeError(
                    f"the gradients of {_MAX_SKIPPED} steps on end were no numbers: "
                    "try a lower --rate"
                )
            return {}
        self.n_skipped = 0
        self.optimizer.step()
        self._update_average()
        iou = float(_mean_iou(logits.detach(), batch.truths).nanmean())
        return {"loss": float(loss.detach()), "iou": iou, "norm": norm}

    @torch.no_grad()
    def validate(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Return the averaged weights' mean IoU: ``same`` image, and ``other`` one."""
        scores = []
        for episode in episodes:
            batch = collate([episode]).to(self.device)
            logits = self._predict(self.average, self.average_prior, batch)
            scores.append(_mean_iou(logits, batch.truths))
        same, other = torch.cat(scores).nanmean(dim=0).tolist()
        return {"same": same, "other": other}

    def _predict(self, unet: UNet, prior: Prior, batch: Batch) -> Tensor:
        """Return logits (E, 2, K, S, S), -100 for classes that an episode lacks."""
        n_episodes, size = len(batch.images), batch.images.shape[-1]
        images = batch.images.reshape(2 * n_episodes, 3, size, size).float()
        images = images.contiguous(memory_format=torch.channels_last)
        settings = self.settings
        with torch.autocast(self.device.type, torch.bfloat16):
            maps = hypercolumn(unet, images, settings.n_levels, settings.n_scales)
        scale = prior.log_scale.exp()
        strength, temperature = prior.of(batch.n_strokes)
        first = 2 * torch.arange(n_episodes, device=self.device)[:, None]
        features = sample(maps, first, batch.yx) * scale
        beta, bias = ridge(features, batch.one_hot, batch.weights, strength)
        beta = beta * scale[:, None] * temperature[:, None, None]
        is_missing = torch.arange(bias.shape[1], device=self.device)
        is_missing = is_missing >= batch.n_classes[:, None]
        bias = (bias * temperature[:, None]).masked_fill(is_missing, -100.0)
        logits = project(
            maps, beta.repeat_interleave(2, 0), bias.repeat_interleave(2, 0)
        )
        return logits.unflatten(0, (n_episodes, 2))

    def _update_average(self) -> None:
        decay = min(self.settings.average_decay, self.n_steps / (self.n_steps + 9))
        with torch.no_grad():
            for slow, fast in (
                (self.average, self.unet),
                (self.average_prior, self.prior),
            ):
                torch._foreach_lerp_(
                    list(slow.parameters()), list(fast.parameters()), 1 - decay
                )

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
                "best": self.best,
                "started_from": self.started_from,
            },
            partial,
        )
        partial.replace(path)

    def start_from(self, path: Path) -> None:
        """Begin with network and prior of an exported file, as after no step.

        Raises
        ------
        ValueError
            If the file was not exported here, or of a network of another shape.
        CheckpointError
            If it is no model file, or damaged.
        """
        arrays, header = load_tensors(path)
        shape = {
            "unet": self.unet.config.model_dump(mode="json"),
            "n_levels": self.settings.n_levels,
            "n_scales": self.settings.n_scales,
        }
        if {name: header.get(name) for name in shape} != shape:
            raise ValueError(f"'{path}' does not hold bundled weights of this network")
        self.started_from = {
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            **{name: header[name] for name in ("n_steps", "hours")},
        }
        tensors = {name: torch.from_numpy(a).float() for name, a in arrays.items()}
        prior = {"log_scale": tensors.pop("prior.log_scale")}
        for name in ("strength", "temperature"):
            prior[name] = torch.tensor(header[name])
        for unet in (self.unet, self.average):
            head = {f"head.{k}": v for k, v in unet.head.state_dict().items()}
            unet.load_state_dict({**tensors, **head})
        for own in (self.prior, self.average_prior):
            own.load_state_dict(prior)

    def resume(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises
        ------
        ValueError
            If it was made with other settings.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, value in asdict(self.settings).items():
            if state["settings"][name] != value:
                raise ValueError(
                    f"'{path}' was made with {name} {state['settings'][name]}, not "
                    f"{value}: take that, or another folder"
                )
        for name in ("unet", "prior", "average", "average_prior", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        self.n_steps, self.seconds = state["n_steps"], state["seconds"]
        self.best, self.started_from = state["best"], state["started_from"]


def _pixel_loss(logits: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy on all pixels, rare classes raised, and soft Dice.

    Of logits (E, 2, K, S, S) and truths (E, 2, S, S); the mean over episodes.
    """
    truth = _one_hot(truths, logits.shape[2]).float()
    counts = truth.sum((1, 3, 4))  # (E, K)
    is_there = counts > 0
    total = counts.sum(1, keepdim=True).clamp(min=1)
    weights = (counts.clamp(min=1) / total) ** -0.5 * is_there
    likelihood = (truth * logits.log_softmax(2)).sum((1, 3, 4))
    entropy = -(weights * likelihood).sum(1) / (weights * counts).sum(1).clamp(min=1e-6)
    chances = logits.softmax(2) * (truths >= 0)[:, :, None]
    overlap = (chances * truth).sum((1, 3, 4))
    dice = 2 * overlap / (chances.sum((1, 3, 4)) + counts + 1)
    missing = 1 - (dice * is_there).sum(1) / is_there.sum(1).clamp(min=1)
    return (entropy + missing).mean()


def _mean_iou(logits: Tensor, truths: Tensor) -> Tensor:
    """Return the mean IoU over the classes of each truth (E, 2); nan without any."""
    n_classes = logits.shape[2]
    truth = _one_hot(truths, n_classes)
    labels = logits.argmax(2).masked_fill(truths < 0, -1)
    predicted = _one_hot(labels, n_classes)
    both = (truth & predicted).sum((-2, -1))
    either = (truth | predicted).sum((-2, -1))
    is_there = truth.flatten(-2).any(-1)
    ious = (both / either.clamp(min=1)).where(is_there, torch.nan)
    return ious.nanmean(2)


def _one_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Return which pixel (E, 2, K, S, S) has which label; -1 has none."""
    classes = torch.arange(n_classes, device=labels.device)[:, None, None]
    return labels[:, :, None] == classes


def append(path: Path, record: dict[str, float | int | str]) -> None:
    """Add one line of JSON to the log."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
