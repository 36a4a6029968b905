"""The network's training, one optimiser step at a time, able to take new strokes."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.augmentation import augment
from napari_unet.annotation.patches import PatchSampler
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import LearnerConfig
from napari_unet.core.device import autocast, free_memory, out_of_memory_errors
from napari_unet.core.head import RidgeHead
from napari_unet.core.hypercolumn import hypercolumn, patch_sizes, project
from napari_unet.core.losses import (
    IGNORE_INDEX,
    balanced_class_weights,
    sparse_loss,
)
from napari_unet.core.unet import UNet
from napari_unet.errors import OutOfMemoryError, TrainingError
from napari_unet.learning.candidates import Network
from napari_unet.learning.optimizer import AdamW

__all__ = ["Trainer"]

_SMALLEST_PATCH_PX = 32
_MAX_BAD_STEPS = 10
_WARM_UP_STEPS = 20
_HEAD_RATE = 10.0  # times the network's learning rate: the head follows its features


class Trainer:
    """Trains a network on patches around strokes and averages its weights.

    What is painted is to be right, and where nothing is painted, the network is to stay
    near what the teacher predicts: a few strokes tell too little to move all weights
    by themselves.

    Parameters
    ----------
    network
        Start weights; copied.
    teacher
        The pretrained network; None: there is none, and nothing to stay near to.
    config
        Settings.
    learning_rate
        Of AdamW.
    device
        Where to train.
    """

    def __init__(
        self,
        network: Network,
        teacher: Network | None,
        config: LearnerConfig,
        learning_rate: float,
        device: torch.device,
    ) -> None:
        self.config, self.device = config, device
        self.network, self._teacher = network, teacher
        self.unet = copy.deepcopy(network.unet).to(device).requires_grad_(True)
        self.unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.unet).eval().requires_grad_(False)
        self.values: tuple[int, ...] = ()
        self.n_steps = 0
        self.version = -1
        self.batch_size = config.fine_tune.batch_size
        self.patch_px = config.fine_tune.patch_px
        self._learning_rate = learning_rate
        self._n_bad = 0
        self._is_short_of_memory = False
        self._rng = np.random.default_rng(config.seed)
        self._generator = torch.Generator().manual_seed(config.seed)
        self._head = _LinearHead(network, device)
        self._optimizer = AdamW(self.unet, config.fine_tune.weight_decay)
        self._head_optimizer = AdamW(self._head, 0.0)
        self._sampler: PatchSampler | None = None
        self._annotations: AnnotationSet | None = None

    def take(
        self, annotations: AnnotationSet, head: RidgeHead, teacher_head: RidgeHead
    ) -> None:
        """Train on this annotation from the next step on.

        Parameters
        ----------
        annotations
            What is painted.
        head
            The closed-form head fitted to it without the held-out strokes, for the same
            classes: training goes on from its weights.
        teacher_head
            The same on the teacher's features.
        """
        self._head.start_from(head)
        self.values = annotations.values
        self._annotations, self._heads = annotations, (head, teacher_head)
        if self._teacher is not None:
            self._teacher_head = _LinearHead(self._teacher, self.device)
            self._teacher_head.start_from(teacher_head)
        self.version = annotations.version
        if not self._is_short_of_memory:  # else a batch may lack some of the classes
            n_classes = len(annotations.values)
            self.batch_size = max(self.config.fine_tune.batch_size, n_classes)
        image_px, target_px = patch_sizes(
            self.unet, self.patch_px, self.network.n_scales
        )
        self._sampler = PatchSampler(
            annotations, self.values, image_px, target_px, self._rng
        )
        counts = [
            sum(
                s.n_px
                for _, s in annotations.strokes
                if s.value == value and s.fold != HELD_OUT_FOLD
            )
            for value in self.values
        ]
        weights = balanced_class_weights(counts)
        self._class_weights = torch.from_numpy(weights).to(self.device)

    def step(self, notices: list[str]) -> float:
        """Do one optimiser step and return its loss.

        Where memory runs out, the batch and then the patch are halved and a sentence is
        added to ``notices``.

        Raises
        ------
        OutOfMemoryError
            If even one smallest patch does not fit.
        TrainingError
            If the loss stays not a number.
        """
        while True:
            try:
                return self._step()
            except out_of_memory_errors as error:
                if isinstance(error, OutOfMemoryError):
                    raise
                self._zero_grad()
                self._shrink(error)
            free_memory(self.device)
            notices.append(
                f"Ran out of memory: went on with {self.batch_size} "
                f"patch{'es' if self.batch_size > 1 else ''} of {self.patch_px} px."
            )

    def _step(self) -> float:
        assert self._sampler is not None
        patches = [self._sampler.draw() for _ in range(self.batch_size)]
        images = torch.from_numpy(np.stack([p.image for p in patches])).to(self.device)
        targets = torch.from_numpy(np.stack([p.target for p in patches]))
        targets = targets.to(self.device)
        images, targets = self._augment(images, targets)
        self.unet.train()
        images = images.contiguous(memory_format=torch.channels_last)
        loss = self._loss(images, targets)
        value = float(loss.detach())
        self._zero_grad()
        if not math.isfinite(value):
            return self._bad_step(value)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = float(nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0))
        norm += float(nn.utils.clip_grad_norm_(self._head.parameters(), 1.0))
        if not math.isfinite(norm):
            return self._bad_step(value)
        self._n_bad = 0
        warm_up = min(1.0, (self.n_steps + 1) / _WARM_UP_STEPS)
        rate = self._learning_rate * warm_up
        self._optimizer.step(rate)
        self._head_optimizer.step(_HEAD_RATE * rate)
        self.n_steps += 1
        self._update_average()
        return value

    def _loss(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        config = self.config.fine_tune
        with autocast(self.device):
            logits = self._head.logits(self.unet, images).float()
        loss = sparse_loss(logits, targets, self._class_weights, config.dice_weight)
        if self._teacher is None or not config.stay_weight:
            return loss
        with torch.no_grad(), autocast(self.device):
            known = self._teacher_head.logits(self._teacher.unet, images).float()
        return loss + config.stay_weight * _distance(
            logits, known.softmax(dim=1), targets == IGNORE_INDEX
        )

    def _augment(
        self, images: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment; unpadded networks have targets smaller than their images."""
        n_in, n_out = images.shape[-1], targets.shape[-1]
        border = (n_in - n_out) // 2
        if border:
            targets = nn.functional.pad(targets, [border] * 4, value=IGNORE_INDEX)
        images, targets = augment(
            images, targets, self.config.augmentation, self._generator
        )
        return images, targets[:, border : border + n_out, border : border + n_out]

    def snapshot(self) -> Network:
        """Return a frozen copy of the averaged weights."""
        return self.network.with_weights(copy.deepcopy(self.average))

    def _update_average(self) -> None:
        # early on, the average follows at once: a long memory would hold random weights
        decay = min(
            self.config.fine_tune.average_decay, self.n_steps / (self.n_steps + 9)
        )
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.unet.parameters(), strict=True)
            for slow, fast in pairs:
                slow.lerp_(fast, 1 - decay)

    def _zero_grad(self) -> None:
        for optimizer in (self._optimizer, self._head_optimizer):
            optimizer.zero_grad()

    def _bad_step(self, value: float) -> float:
        """Skip a step whose loss or gradient is not finite; give up after several."""
        self._n_bad += 1
        if self._n_bad < _MAX_BAD_STEPS:
            return value
        with torch.no_grad():
            self.unet.load_state_dict(self.average.state_dict())
        for optimizer in (self._optimizer, self._head_optimizer):
            optimizer.reset()
        self._head.start_from(self._heads[0])
        self._n_bad = 0
        raise TrainingError(
            f"the loss was not a number for {_MAX_BAD_STEPS} steps: training stopped "
            "and went back to the averaged weights; lower the learning rate"
        )

    def _shrink(self, error: Exception) -> None:
        self._is_short_of_memory = True
        if self.batch_size > 1:
            self.batch_size //= 2
            return
        smaller = self.patch_px // 2 // 16 * 16
        if smaller < _SMALLEST_PATCH_PX or self._annotations is None:
            raise OutOfMemoryError(
                f"memory ran out on one patch of {self.patch_px} px: close other "
                "programs or images, or choose fewer base channels"
            ) from error
        self.patch_px = smaller
        self.take(self._annotations, *self._heads)


def _distance(
    logits: torch.Tensor, known: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Return the cross-entropy to known probabilities (B, K, H, W) in the mask.

    Classes that are rare in them weigh more, or they would be forgotten.
    """
    likely = known.argmax(dim=1)
    share = torch.bincount(likely.flatten(), minlength=known.shape[1]) / likely.numel()
    weights = share.clamp(min=0.01).rsqrt()[likely] * mask
    entropy = -(known * logits.log_softmax(dim=1)).sum(dim=1)
    return (entropy * weights).sum() / weights.sum().clamp(min=1e-6)


class _LinearHead(nn.Module):
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

    def start_from(self, head: RidgeHead) -> None:
        """Take the closed-form head's weights."""
        device = self.scale.device
        weight = torch.from_numpy(head.weights * np.float32(head.temperature))
        bias = torch.from_numpy(head.bias * np.float32(head.temperature))
        self.weight = nn.Parameter(weight.to(device) / self.scale[:, None])
        self.bias = nn.Parameter(bias.to(device))

    def logits(self, unet: UNet, images: torch.Tensor) -> torch.Tensor:
        """Return (B, K, H', W'), on all the maps that the closed-form head sees."""
        (network,), n = self._network, len(images)
        maps = hypercolumn(unet, images, network.n_levels, network.n_scales)
        weight = self.weight * self.scale[:, None]
        return project(maps, weight.expand(n, -1, -1), self.bias.expand(n, -1))
