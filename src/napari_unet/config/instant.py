"""The instant stage and the gate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["HoldOut", "InstantConfig"]

HoldOut = Literal["stroke", "region", "image"]

# zero would leave the fit without a solution
_Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class InstantConfig(Settings):
    """The instant stage: closed-form head and forest, and the gate's hold-out."""

    n_feature_levels: int = Field(
        4,
        ge=1,
        le=6,
        title="Feature levels",
        description="Decoder levels, finest first, whose maps feed the closed-form "
        "head. 4 reach from edges to surroundings, and are what the bundled weights "
        "were trained for.",
    )
    n_scales: int | None = Field(
        None,
        ge=1,
        le=4,
        title="Scales",
        description="How many sizes of the image the network sees: 1 full size, for "
        "objects of up to about 50 px; 2 also half, up to 200 px; 3 also a quarter, "
        "for larger ones. Empty: 2, or 1 with random weights.",
    )
    ridge_factors: tuple[_Factor, ...] = Field(
        (1.0, 0.1, 10.0),
        min_length=1,
        title="Ridge strengths",
        description="Candidates for the head's regularisation, as multiples of the "
        "usual one; the first is used until held-out strokes choose.",
    )
    n_trees: int = Field(
        50,
        ge=1,
        le=1000,
        title="Trees",
        description="Trees of the random forest on filter features. Their votes "
        "are averaged: more than 50 are steadier, but each costs the same time again.",
    )
    tree_depth: int = Field(
        12,
        ge=1,
        le=64,
        title="Tree depth",
        description="Most decisions in a row in a tree of the forest. 12 bounds its "
        "size, and keeps it from learning every pixel by heart.",
    )
    max_training_px: int = Field(
        8_000,
        ge=100,
        le=10_000_000,
        title="Pixels at most",
        description="Annotated pixels used by the instant stage; beyond 8,000, a "
        "balanced sample is drawn, so that its time does not grow with the painting.",
    )
    n_folds: int = Field(
        4,
        ge=2,
        le=20,
        title="Folds",
        description="Strokes are dealt into this many folds; each is held out once. "
        "With 4, about a quarter of the strokes checks what the others taught.",
    )
    hold_out: HoldOut = Field(
        "stroke",
        title="Hold out",
        description="What is kept from learning, in turn, to score on. 'stroke': "
        "single strokes (default). 'region': all strokes in a square of 512 px. "
        "'image': all of an image. The larger, the more a score tells of places that "
        "were not painted, and the more must be painted: with one image, 'image' "
        "scores nothing.",
    )
    min_gain: float = Field(
        0.1,
        ge=0,
        le=1,
        title="Smallest gain",
        description="Share of the held-out log loss that a candidate must save to be "
        "shown instead of the usual one. 0.1, because smaller differences are mostly "
        "luck on a few strokes.",
    )
