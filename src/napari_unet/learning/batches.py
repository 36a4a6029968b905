"""What a training step sees: patches and their weights, changed at random together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from napari_unet.annotation.annotations import AnnotationSet
from napari_unet.annotation.augmentation import augment
from napari_unet.annotation.patches import Border, PatchSampler
from napari_unet.annotation.strokes import HELD_OUT_FOLD
from napari_unet.config import AugmentationConfig, LearnerConfig
from napari_unet.core.hypercolumn import fitting_px, patch_sizes
from napari_unet.core.losses import (
    IGNORE_INDEX,
    balanced_class_weights,
    frequency_class_weights,
)
from napari_unet.core.unet import UNet

__all__ = ["Batch", "make_sampler", "weigh_classes"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches on the training's device.

    ``images`` (B, C, H, W), or slabs (B, C, 2k + 1, H, W) around the targets' planes;
    ``targets`` (B, H', W'), H' = H unless the network is
    unpadded; ``borders`` (B, H', W') border weights, or None.
    """

    images: torch.Tensor
    targets: torch.Tensor
    borders: torch.Tensor | None = None

    @classmethod
    def draw(cls, sampler: PatchSampler, n: int, device: torch.device) -> Batch:
        """Draw n patches."""
        patches = [sampler.draw() for _ in range(n)]
        images = torch.from_numpy(np.stack([p.image for p in patches]))
        targets = torch.from_numpy(np.stack([p.target for p in patches]))
        weights = [p.border for p in patches if p.border is not None]
        borders = torch.from_numpy(np.stack(weights)).to(device) if weights else None
        return cls(images.to(device), targets.to(device), borders)

    def augmented(
        self, config: AugmentationConfig, generator: torch.Generator
    ) -> Batch:
        """Return the patches changed at random, each pixel's weight with its pixel."""
        n_in, n_out = self.images.shape[-1], self.targets.shape[-1]
        rim = (n_in - n_out) // 2
        inner = (slice(None), *[slice(rim, rim + n_out)] * 2)
        wide = F.pad(self.targets, [rim] * 4, value=IGNORE_INDEX)
        if self.borders is None:
            images, wide = augment(self.images, wide, config, generator)
            return Batch(images, wide[inner])
        # numbers of pixels are moved in place of the targets, to move the weights too
        place = torch.arange(n_in**2, device=wide.device).view(1, n_in, n_in)
        images, place = augment(self.images, place.expand_as(wide), config, generator)
        place = place[inner].flatten(1)
        targets = wide.flatten(1).gather(1, place).view_as(self.targets)
        borders = F.pad(self.borders, [rim] * 4).flatten(1).gather(1, place)
        return Batch(images, targets, borders.view_as(targets))


def make_sampler(
    annotations: AnnotationSet,
    config: LearnerConfig,
    unet: UNet,
    patch_px: int,
    n_scales: int,
    rng: np.random.Generator,
) -> PatchSampler:
    """Return what draws patches of about ``patch_px`` of output as the recipe wants.

    The paper's tiles are at most as large as the largest image, and lie inside it.
    """
    is_paper = config.recipe == "paper"
    if is_paper:
        sides = (min(image.source.stack.plane_shape) for image in annotations.images)
        patch_px = fitting_px(unet, patch_px, max(sides))
    image_px, target_px = patch_sizes(unet, patch_px, n_scales)
    border = None
    if config.fine_tune.border_weight > 0:
        border = Border(
            config.fine_tune.border_weight, config.fine_tune.border_sigma_px
        )
    return PatchSampler(
        annotations,
        annotations.values,
        image_px,
        target_px,
        rng,
        border=border,
        keeps_inside=is_paper,
        planes_around=unet.planes_around,
    )


def weigh_classes(annotations: AnnotationSet, balance: str) -> NDArray[np.float32]:
    """Return class weights (K,) of what the network is trained on.

    ``balance`` is ``"root"`` or ``"frequency"``: see `balanced_class_weights` and
    `frequency_class_weights`.
    """
    counts = [
        sum(
            stroke.n_px
            for _, stroke in annotations.strokes
            if stroke.value == value and stroke.fold != HELD_OUT_FOLD
        )
        for value in annotations.values
    ]
    if balance == "frequency":
        return frequency_class_weights(counts)
    return balanced_class_weights(counts)
