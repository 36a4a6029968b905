"""How the network is fine-tuned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["AugmentationConfig", "FineTuneConfig"]


class AugmentationConfig(Settings):
    """Random changes of training patches, drawn anew at each step."""

    flip: bool = Field(
        True,
        title="Flips",
        description="Mirror patches at random. On, because most microscopy looks the "
        "same from either side; off where left and right differ.",
    )
    rotate: bool = Field(
        True,
        title="Rotations",
        description="Turn patches by multiples of 90 degrees. On, because most "
        "microscopy has no up and down; off where the image does.",
    )
    elastic_sigma_px: float = Field(
        0.0,
        ge=0,
        le=50,
        title="Deformation (px)",
        description="Standard deviation of the displacement vectors on a coarse grid, "
        "interpolated bicubically. The paper takes 10 px for 572 px tiles. 0, "
        "because the pretrained network has seen many shapes already.",
    )
    elastic_grid: int = Field(
        3,
        ge=2,
        le=16,
        title="Elastic grid",
        description="Displacement vectors per axis; 3 as in the paper.",
    )
    contrast: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Contrast",
        description="Patches are multiplied by a factor within 1 plus or minus this. "
        "0.2 covers the usual differences between exposures. 0, because changed "
        "intensities gained nothing on images of the pretraining's kinds.",
    )
    brightness: float = Field(
        0.0,
        ge=0,
        le=2,
        title="Brightness",
        description="Largest shift in normalised units, where the image spans about 2: "
        "0.2 is a tenth of its range. 0 as for contrast.",
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=1,
        title="Noise",
        description="Standard deviation of added Gaussian noise, in normalised units, "
        "where the image spans about 2: 0.05 is a fortieth of its range. 0 as for "
        "contrast.",
    )


class FineTuneConfig(Settings):
    """Background training on patches around the strokes."""

    patch_px: int = Field(
        128,
        ge=16,
        le=1024,
        multiple_of=16,
        title="Patch (px)",
        description="Side of training patches. 128 px is four times cheaper than 256 "
        "px. The network sees about 90 px to each side, at half size twice that: what "
        "lies beyond a patch counts as empty while it trains.",
    )
    batch_size: int = Field(
        4,
        ge=1,
        le=256,
        title="Batch",
        description="Patches per step. 4 keeps a step near 0.2 s on two CPU cores.",
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw",
        title="Optimiser",
        description="'adamw' adapts the step to each weight, and so learns within a "
        "minute (default). 'sgd': stochastic gradient descent with momentum, as in the "
        "paper; it needs thousands of steps.",
    )
    momentum: float = Field(
        0.99,
        ge=0,
        lt=1,
        title="Momentum",
        description="Only with 'sgd': share of a step that goes on in the next. 0.99 "
        "as in the paper: with one patch a step, about the last 100 decide together.",
    )
    learning_rate: float = Field(
        1e-3,
        gt=0,
        le=1,
        title="Learning rate",
        description="Step size of the optimiser. 0.001 is AdamW's usual value for "
        "random start weights; pretrained ones, which need less change, use a third.",
    )
    weight_decay: float = Field(
        1e-4,
        ge=0,
        le=1,
        title="Weight decay",
        description="Share of each weight, times the learning rate, that a step of the "
        "optimiser takes off. 0.0001 only keeps weights from growing without "
        "end; staying near the start does the rest against overfitting.",
    )
    average_decay: float = Field(
        0.95,
        ge=0,
        lt=1,
        title="Averaging",
        description="Decay of the exponential moving average of the weights; the "
        "averaged weights are what is scored and used. 0.95 averages about the last 20 "
        "steps.",
    )
    dice_weight: float = Field(
        0.0,
        ge=0,
        le=10,
        title="Dice weight",
        description="Weight of soft Dice beside cross-entropy in the loss. 0: classes "
        "are balanced already, and a few strokes have no shape to overlap with.",
    )
    class_balance: Literal["root", "frequency"] = Field(
        "root",
        title="Class balance",
        description="How much rare classes weigh in the loss. 'root': with one over "
        "the square root of their pixels, so that three pixels do not shout down all "
        "others (default). 'frequency': with one over their pixels, as in the paper.",
    )
    border_weight: float = Field(
        0.0,
        ge=0,
        le=1000,
        title="Border weight",
        description="Additional weight in the loss of background between two objects "
        "(w0 in the paper's equation 2, which takes 10), to keep objects apart that "
        "nearly touch. 0: off, because strokes seldom tell where a gap is; it is for "
        "regions that are completely painted.",
    )
    border_sigma_px: float = Field(
        5.0,
        gt=0,
        le=100,
        title="Border width (px)",
        description="How wide a gap between two objects may be to weigh more; only "
        "with a border weight. 5 px as in the paper: of a gap of 5 px half counts.",
    )
    stay_weight: float = Field(
        0.5,
        ge=0,
        le=100,
        title="Stay near the start",
        description="Weight in the loss of staying near what the instant network "
        "predicts where nothing is painted; only with pretrained weights. 0: only "
        "strokes count, which made labels worse. 0.5, because more also keeps the "
        "network from learning what is new to it.",
    )
    score_every_s: float = Field(
        5.0,
        gt=0,
        le=3600,
        title="Score every (s)",
        description="Seconds of training between two scorings of the network by the "
        "gate. 5 s show progress soon; where scoring is slow, it becomes rarer.",
    )
