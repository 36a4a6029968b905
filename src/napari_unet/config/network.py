"""The network's settings."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["ARCHITECTURE", "BASE_CHANNELS", "DEPTH", "UNetConfig"]

# for the network's own settings and for the learner's, which hands them on
ARCHITECTURE: Final = (
    "'compact': padded, weight-standardised, small enough to learn on a laptop CPU "
    "(default). 'unet2015': the paper's unpadded network, 64 to 1024 channels, slow "
    "without a GPU."
)
BASE_CHANNELS: Final = (
    "Channels of the first level, doubled at each level below. Empty: 16 for compact "
    "(1.9 million parameters in 2D), 64 for unet2015, as in the paper."
)
DEPTH: Final = (
    "Number of poolings, each of which halves the resolution. 4 as in the paper: sees "
    "about 90 px around."
)


class UNetConfig(Settings):
    """The network (Ronneberger et al. 2015, arXiv:1505.04597)."""

    architecture: Literal["compact", "unet2015"] = Field(
        "compact",
        title="Architecture",
        description=ARCHITECTURE,
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
        description=BASE_CHANNELS,
    )
    depth: int = Field(
        4,
        ge=1,
        le=6,
        title="Depth",
        description=DEPTH,
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
