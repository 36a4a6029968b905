"""Settings: frozen pydantic models, each field with meaning, unit, bounds and reason.

One model serves the form in the dock (title, tooltip, range), the command line's
``--config`` file and the JSON in a checkpoint's header.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_unet.errors import ConfigError

__all__ = [
    "SCHEMA_VERSION",
    "AugmentationConfig",
    "FineTuneConfig",
    "InstanceConfig",
    "InstantConfig",
    "LearnerConfig",
    "TilingConfig",
    "UNetConfig",
    "parse_config",
]

SCHEMA_VERSION: Final = 1

# for the network's own settings and for the learner's, which hands them on
_ARCHITECTURE: Final = (
    "'compact': padded, weight-standardised, small enough to learn on a laptop CPU "
    "(default). 'unet2015': the paper's unpadded network, 64 to 1024 channels, slow "
    "without a GPU."
)
_BASE_CHANNELS: Final = (
    "Channels of the first level, doubled at each level below. Empty: 16 for compact "
    "(1.9 million parameters in 2D), 64 for unet2015, as in the paper."
)
_DEPTH: Final = (
    "Number of poolings, each of which halves the resolution. 4 as in the paper: sees "
    "about 90 px around."
)

# zero would leave the fit without a solution
_Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UNetConfig(_Settings):
    """The network (Ronneberger et al. 2015, arXiv:1505.04597)."""

    architecture: Literal["compact", "unet2015"] = Field(
        "compact",
        title="Architecture",
        description=_ARCHITECTURE,
    )
    ndim: Literal[2, 3] = Field(
        2,
        title="Dimensions",
        description="2: each plane by itself, which a stroke in one plane can teach "
        "(default); 3: volumes.",
    )
    pool_z: bool = Field(
        False,
        title="Pool along z",
        description="Only for volumes: halve the resolution along z as well as along y "
        "and x. Off, because most stacks are coarser along z, and because a volume "
        "network then starts as exactly what the 2D network makes of each plane; on "
        "where the voxels are cubes.",
    )
    in_channels: int = Field(
        1,
        ge=1,
        le=64,
        title="Input channels",
        description="Channels of the image: 1 for grey (default), 3 for RGB.",
    )
    n_classes: int = Field(
        2,
        ge=2,
        le=254,
        title="Classes",
        description="Number of classes, background included; 2 are the fewest that "
        "there is something to tell apart.",
    )
    base_channels: int | None = Field(
        None,
        ge=4,
        le=128,
        title="Base channels",
        description=_BASE_CHANNELS,
    )
    depth: int = Field(
        4,
        ge=1,
        le=6,
        title="Depth",
        description=_DEPTH,
    )
    dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        title="Dropout",
        description="Drop rate at the end of the contracting path of unet2015 "
        "(the paper names no rate; 0.5 is its authors' Caffe default).",
    )

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels per level, top first; ``depth + 1`` entries."""
        base = self.base_channels or (64 if self.architecture == "unet2015" else 16)
        return tuple(base * 2**level for level in range(self.depth + 1))


class AugmentationConfig(_Settings):
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
        title="Elastic deformation (px)",
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
        "0.2 covers the usual differences between exposures. 0, as in the recipe for "
        "the pretrained network that gained most of those tried.",
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


class FineTuneConfig(_Settings):
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
        "predicts where nothing is painted; only with pretrained weights. 0.5 gained "
        "most of those tried (0, 0.5, 1); 0: only strokes count.",
    )
    score_every_s: float = Field(
        5.0,
        gt=0,
        le=3600,
        title="Score every (s)",
        description="Seconds of training between two scorings of the network by the "
        "gate. 5 s show progress soon; where scoring is slow, it becomes rarer.",
    )


class InstantConfig(_Settings):
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
    min_gain: float = Field(
        0.1,
        ge=0,
        le=1,
        title="Smallest gain",
        description="Share of the held-out log loss that a candidate must save to be "
        "shown instead of the usual one. 0.1, because smaller differences are mostly "
        "luck on a few strokes.",
    )


class InstanceConfig(_Settings):
    """How labels are cut into objects: one id for each, touching ones come apart."""

    min_size_px: int = Field(
        10,
        ge=0,
        le=2**31 - 1,
        title="Smallest object (px)",
        description="Pieces with fewer pixels (voxels in a volume) than this are left "
        "out, and nothing smaller is cut off from an object. 10: speckles go, objects "
        "of 5 px across (about 20 px) stay.",
    )
    split_strength: float = Field(
        0.8,
        ge=0,
        le=1,
        title="Split touching objects",
        description="Objects are cut apart at a neck narrower than this share of the "
        "smaller one's width. 0: never cut; 1: cut at any dent. 0.8 suits round nuclei "
        "(best near 0.9) and irregular cells (below 0.65) alike.",
    )
    fill_holes: bool = Field(
        True,
        title="Fill holes",
        description="Give background that lies within one object to that object. On, "
        "because a hole in a predicted object is mostly a mistake; gaps between "
        "several objects stay open.",
    )
    through_z: bool = Field(
        True,
        title="Objects through z",
        description="In a stack with a z axis, an object goes on in the planes above "
        "and below. Off: each plane has objects of its own, as time points always do.",
    )


class TilingConfig(_Settings):
    """Overlap-tile prediction (the paper's figure 2)."""

    tile_px: int = Field(
        512,
        ge=32,
        le=8192,
        multiple_of=16,
        title="Tile (px)",
        description="Side of the part of a tile that is kept; the halo comes on top. "
        "Larger is faster, smaller needs less memory; 512 px suit a laptop.",
    )


# Values of the paper, with ours where it names none (docs/adr/006-paper-recipe.md)
_PAPER: Final[dict[str, Any]] = {
    "architecture": "unet2015",
    "start": "scratch",
    "fine_tune": {
        "patch_px": 384,  # the network's next size is 388, of 572 px of input
        "batch_size": 1,
        "optimizer": "sgd",
        "momentum": 0.99,
        "learning_rate": 1e-3,  # the paper names none
        "weight_decay": 0.0,
        "average_decay": 0.0,
        "class_balance": "frequency",
        "border_weight": 10.0,
        "border_sigma_px": 5.0,
    },
    "augmentation": {
        "flip": True,
        "rotate": True,
        "elastic_sigma_px": 10.0,
        "elastic_grid": 3,
        "contrast": 0.2,  # "gray value variations": the paper names no numbers
        "brightness": 0.2,
    },
    "instant": {"n_scales": 1},
}


class LearnerConfig(_Settings):
    """Everything a learner needs to be made again."""

    schema_version: Literal[1] = SCHEMA_VERSION
    recipe: Literal["strokes", "paper"] = Field(
        "strokes",
        title="Recipe",
        description="How the network is trained. 'strokes': on a few strokes, within a "
        "minute (default). 'paper': unet2015 as Ronneberger et al. 2015 trained it, on "
        "completely painted images: one large tile a step, SGD with momentum, weights "
        "on narrow gaps, elastic deformation. Settings that are given win over it.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        title="Device",
        description="'auto' takes CUDA, then Apple's MPS, then the CPU.",
    )
    n_threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        title="CPU threads",
        description="Torch threads. Empty: all cores but one, because training with "
        "every core gets 5 to 10 times slower as soon as anything else runs.",
    )
    architecture: Literal["compact", "unet2015"] = Field(
        "compact", title="Architecture", description=_ARCHITECTURE
    )
    base_channels: int | None = Field(
        None, ge=4, le=128, title="Base channels", description=_BASE_CHANNELS
    )
    depth: int = Field(4, ge=1, le=6, title="Depth", description=_DEPTH)
    start: Literal["bundled", "scratch"] = Field(
        "bundled",
        title="Start from",
        description="'bundled': the pretrained weights in the package when there are "
        "any for this architecture, else random ones. 'scratch': random weights.",
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Start of every random choice. 0 for everybody, so that runs can "
        "be compared; other numbers show how much is chance.",
    )
    fine_tune: FineTuneConfig = FineTuneConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    instant: InstantConfig = InstantConfig()
    tiling: TilingConfig = TilingConfig()

    @model_validator(mode="before")
    @classmethod
    def _fill_in_recipe(cls, data: Any) -> Any:
        """Give the settings that are not given the recipe's values."""
        if not (isinstance(data, dict) and data.get("recipe") == "paper"):
            return data
        filled = dict(data)
        for name, value in _PAPER.items():
            given = filled.get(name, {})
            if isinstance(given, BaseModel):
                given = given.model_dump(exclude_unset=True)
            if not isinstance(value, dict):
                filled.setdefault(name, value)
            elif isinstance(given, dict):
                filled[name] = {**value, **given}
        return filled

    def unet_config(self, in_channels: int, n_classes: int) -> UNetConfig:
        """Return the network's settings for these channels and classes (at least 2)."""
        return UNetConfig(
            architecture=self.architecture,
            in_channels=in_channels,
            n_classes=max(2, n_classes),
            base_channels=self.base_channels,
            depth=self.depth,
        )


def parse_config(
    text: str | bytes, model: type[_Settings] = LearnerConfig
) -> _Settings:
    """Read settings from JSON.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is out of range; the message names the first one.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise ConfigError(
            f"setting '{where}' has the value {first.get('input')!r:.80}: "
            f"{first['msg']}"
        ) from error
