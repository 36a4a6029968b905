"""The network's settings."""

from __future__ import annotations

import math
from typing import Final, Literal

from pydantic import Field

from napari_unet.config._base import Settings

__all__ = ["ARCHITECTURE", "BASE_CHANNELS", "DEPTH", "MAX_CHANNELS", "UNetConfig"]

MAX_CHANNELS: Final = 64
"""As many channels an image may have."""

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
    anisotropy: float = Field(
        1.0,
        gt=0,
        le=1000,
        title="Anisotropy",
        description="Only for volumes: distance of two planes over the size of a pixel "
        "in them. 1 for cubes (default). As in nnU-Net, kernels see the planes around "
        "from the level on at which pixels have grown to more than half of it.",
    )
    z_levels: int | None = Field(
        None,
        ge=1,
        le=7,
        title="Levels along z",
        description="Only for volumes: how many of these levels have kernels of 3 "
        "planes. Empty: all, on both paths, as in nnU-Net. A number: so many from the "
        "first one on, on the contracting path alone, so that what lies behind them "
        "is computed for one plane.",
    )
    pool_z: bool = Field(
        False,
        title="Pool along z",
        description="Only for volumes: from the first of these levels on, halve the "
        "resolution along z as well as along y and x, as nnU-Net does. Off, because a "
        "volume network then starts as exactly what the 2D network makes of each "
        "plane, and because fewer planes have to be seen.",
    )
    pad_z: bool = Field(
        True,
        title="Pad along z",
        description="Only for volumes: whether the output has as many planes as the "
        "image (default), where the architecture pads. Off: planes whose surroundings "
        "are not all there are left out, which costs less for single planes.",
    )
    context_planes: int = Field(
        0,
        ge=0,
        le=8,
        title="Neighbouring planes",
        description="Only for 2D: so many planes on each side of a plane enter as "
        "further channels (2.5D). 0: none (default).",
    )
    in_channels: int = Field(
        1,
        ge=1,
        le=MAX_CHANNELS,
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

    @property
    def first_channels(self) -> int:
        """Channels that the first convolution takes: those of all planes it sees."""
        return self.in_channels * (2 * self.context_planes + 1)

    @property
    def first_z_level(self) -> int:
        """The first level at which planes lie less than two pixels apart.

        The rule of nnU-Net (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z): above
        it, a kernel along z would join what is farther apart than what is within the
        plane.
        """
        return max(0, math.floor(math.log2(self.anisotropy)))

    def z_kernels(self, is_contracting: bool = True) -> tuple[int, ...]:
        """Planes that each level's kernels see on one path; ``depth + 1`` entries."""
        first, n_levels = self.first_z_level, self.z_levels
        last = self.depth if n_levels is None else first + n_levels - 1
        is_used = is_contracting or n_levels is None
        return tuple(
            3 if is_used and first <= level <= last else 1
            for level in range(self.depth + 1)
        )

    @property
    def z_poolings(self) -> tuple[bool, ...]:
        """Whether each of the ``depth`` poolings halves the resolution along z."""
        return tuple(
            self.pool_z and level >= self.first_z_level for level in range(self.depth)
        )
