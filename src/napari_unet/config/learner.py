"""All that a learner needs, and the recipes that fill it in."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from napari_unet.config._base import Settings
from napari_unet.config.instant import InstantConfig
from napari_unet.config.network import ARCHITECTURE, BASE_CHANNELS, DEPTH, UNetConfig
from napari_unet.config.prediction import TilingConfig
from napari_unet.config.training import AugmentationConfig, FineTuneConfig
from napari_unet.errors import ConfigError

__all__ = ["SCHEMA_VERSION", "AnnotationMode", "LearnerConfig", "parse_config"]

SCHEMA_VERSION: Final = 1
AnnotationMode = Literal["strokes", "objects"]

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


class LearnerConfig(Settings):
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
    annotation_mode: AnnotationMode = Field(
        "strokes",
        title="Paint",
        description="'strokes': a few strokes of each class, one number for each class "
        "(default). 'objects': whole objects, each with a number of its own, so that "
        "the border between touching ones is learned and cuts them apart.",
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
        "compact", title="Architecture", description=ARCHITECTURE
    )
    base_channels: int | None = Field(
        None, ge=4, le=128, title="Base channels", description=BASE_CHANNELS
    )
    depth: int = Field(4, ge=1, le=6, title="Depth", description=DEPTH)
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
    downsampling: Literal[1, 2, 4, 8] = Field(
        1,
        title="Downsampling",
        description="Pixels along Y and along X that become one, their mean, before "
        "anything is learned or predicted; labels fit the full image. 1: none "
        "(default). 2, 4 or 8 for slides and oversampled images, when objects are "
        "larger than 200 px or predicting takes too long: 2 takes a quarter of the "
        "time, 4 an eighth. Not where details of so few pixels matter, such as walls.",
    )
    dimensions: Literal["2d", "2.5d", "3d"] = Field(
        "2d",
        title="Dimensions",
        description="What the network learns to see of a stack with a z axis. '2d': "
        "each plane by itself (default). '2.5d': also the next planes, as further "
        "channels. '3d': the planes around, by kernels of 3 planes. All of them start "
        "as the 2D network, so that labels only change as Learn trains.",
    )
    voxel_anisotropy: float | None = Field(
        None,
        gt=0,
        le=1000,
        title="Voxel anisotropy",
        description="Only in 3D: distance of two planes over the size of a pixel in "
        "them. Empty: from the image's pixel sizes, or 1 (cubes) where unknown.",
    )
    neighbour_planes: int = Field(
        1,
        ge=1,
        le=8,
        title="Neighbouring planes",
        description="Only in 2.5D: planes on each side that are seen. 1, because in "
        "most stacks what lies further off has moved.",
    )
    levels_along_z: int = Field(
        2,
        ge=1,
        le=7,
        title="Levels along z",
        description="Only in 3D: levels whose kernels see three planes, from the first "
        "one on at which voxels are about cubes. Each adds two planes on each side to "
        "what is seen. 2 take about twice the time of a 2D network, 3 three times.",
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

    @model_validator(mode="after")
    def _paper_is_of_planes(self) -> LearnerConfig:
        if self.recipe == "paper" and self.dimensions != "2d":
            raise ValueError(
                f"the paper's recipe trains on planes: with dimensions "
                f"'{self.dimensions}', take the recipe 'strokes'"
            )
        return self

    def trained_config(self, start: UNetConfig, anisotropy: float) -> UNetConfig:
        """Return the settings of the network that is trained from a 2D one.

        ``anisotropy`` is that of the image as it is learned from; `voxel_anisotropy`,
        that of the full image, wins over it. In 3D, the 2D network is left as it is
        where planes are too far apart for any level of it.
        """
        sight: dict[str, Any] = {}
        if self.dimensions == "2.5d":
            sight = {"context_planes": self.neighbour_planes}
        elif self.dimensions == "3d":
            sight = {
                "ndim": 3,
                "anisotropy": anisotropy
                if self.voxel_anisotropy is None
                else self.voxel_anisotropy / self.downsampling,
                "z_levels": self.levels_along_z,
                "pad_z": False,
            }
        trained = start.model_copy(update=sight)
        if self.dimensions == "3d" and max(trained.z_kernels()) == 1:
            return start
        return trained

    def may_be_trained(self, start: UNetConfig, trained: UNetConfig) -> bool:
        """Whether `trained_config` of a 2D network may be that of the trained one.

        Without its image, nothing tells whether planes were too far apart: in 3D it may
        also be the 2D one.
        """
        is_left = self.dimensions == "3d" and trained == start
        return is_left or trained == self.trained_config(start, trained.anisotropy)

    def unet_config(self, in_channels: int, n_classes: int) -> UNetConfig:
        """Return the network's settings for these channels and classes (at least 2)."""
        return UNetConfig(
            architecture=self.architecture,
            in_channels=in_channels,
            n_classes=max(2, n_classes),
            base_channels=self.base_channels,
            depth=self.depth,
        )


def parse_config(text: str | bytes, model: type[Settings] = LearnerConfig) -> Settings:
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
        if not first["loc"]:  # several settings that do not go together
            raise ConfigError(first["msg"].removeprefix("Value error, ")) from error
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"setting '{where}' has the value {first.get('input')!r:.80}: "
            f"{first['msg']}"
        ) from error
