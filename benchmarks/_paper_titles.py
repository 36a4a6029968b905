"""What the methods are called in the tables, also where their libraries are missing."""

from __future__ import annotations

__all__ = ["OURS_TITLES", "PEER_TITLES"]

OURS_TITLES = {
    "compact": "`compact`, bundled weights",
    "scratch": "`compact` from scratch",
    "paper": "recipe `paper`, 64 channels",
    "paper-16": "recipe `paper`, 16 channels",
}
PEER_TITLES = {
    "monai": "MONAI `BasicUNet`",
    "smp": "segmentation-models-pytorch `Unet`, ResNet-34, random weights",
    "nnunet": "nnU-Net's network and recipe (SGD)",
    "nnunet-adamw": "nnU-Net's network, AdamW",
}
