"""The U-Net (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597), in 2D and 3D."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from napari_unet.config import UNetConfig
from napari_unet.core.convolutions import DoubleConvolution, Standardised
from napari_unet.errors import ConfigError

__all__ = ["UNet"]


class UNet(nn.Module):
    """Contracting and expanding path with concatenated skip connections.

    Each level has two 3x3 convolutions with ReLU; 2x2 max-pooling halves the size and
    the next level doubles the channels; 2x2 up-convolutions halve the channels again.
    The last 1x1 convolution is the head.

    ``unet2015`` is the paper's: unpadded convolutions, cropped concatenation, dropout
    at the end of the contracting path, He initialisation, no normalisation. ``compact``
    pads, so that output and input agree in size, and standardises its weights (Qiao et
    al. 2019, arXiv:1903.10520), which needs no statistics of the tile: tiled prediction
    equals untiled prediction, and costs nothing but the standardising of the weights.

    In 3D, how many planes the convolutions of a level see and whether poolings and
    up-convolutions halve and double z follows from ``config.anisotropy``. Sizes in px
    are then those along y and x. In 2.5D a 2D network takes the planes around as
    channels. `plane_features` has the maps of single planes in all of these.

    Parameters
    ----------
    config
        Architecture, dimensions, channels and classes.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.is_padded = config.architecture == "compact"
        channels, ndim = config.channels, config.ndim
        conv = nn.Conv2d if ndim == 2 else nn.Conv3d
        up = nn.ConvTranspose2d if ndim == 2 else nn.ConvTranspose3d
        ins = (config.first_channels, *channels[:-1])
        self.down = nn.ModuleList(
            DoubleConvolution(config, a, b, n_planes, is_first=level == 0)
            for level, (a, b, n_planes) in enumerate(
                zip(ins, channels, config.z_kernels(), strict=True)
            )
        )
        # Any: the 2D layers do not take three numbers, nor are they given any
        sizes: list[Any] = [
            2 if ndim == 2 else (1 + pools_z, 2, 2) for pools_z in config.z_poolings
        ]
        self.up = nn.ModuleList(
            up(2 * c, c, size, stride=size)
            for c, size in zip(channels[:-1], sizes, strict=True)
        )
        self.merge = nn.ModuleList(
            DoubleConvolution(config, 2 * c, c, n_planes)
            for c, n_planes in zip(
                channels[:-1], config.z_kernels(False)[:-1], strict=True
            )
        )
        self.head = conv(channels[0], config.n_classes, 1)
        pool = nn.MaxPool2d if ndim == 2 else nn.MaxPool3d
        self.pool = nn.ModuleList(pool(size) for size in sizes)
        self.dropout = nn.Dropout(config.dropout if not self.is_padded else 0.0)
        for module in (*self.up, self.head, *self.modules()):
            if isinstance(module, conv | up) and not isinstance(module, Standardised):
                # an output pixel of an up-convolution sees each channel once
                fan = module.in_channels
                if isinstance(module, conv):
                    fan *= math.prod(module.kernel_size)
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan))
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, *S) to logits (B, K, *S'); S' = S when padded."""
        logits: Tensor = self.head(self.features(x)[0])
        return logits

    def features(
        self, x: Tensor, kept: Sequence[tuple[slice, slice]] | None = None
    ) -> list[Tensor]:
        """Return the decoder's maps, finest first, then the deepest one.

        Level ``l`` has shape (B, channels[l], *S / 2**l); when unpadded, see
        `feature_crop_px` for how much wider than the output a level is.

        Parameters
        ----------
        x
            Images, shape (B, C, *S).
        kept
            Which rows and columns of each level's map are wanted, as `kept_cells` has
            them: the others are left out, and not computed where nothing wanted depends
            on them. None: all, as it must be when unpadded.
        """
        skips = []
        for level, block in enumerate(self.down):
            x = self.pool[level - 1](x) if level else x
            x = block(x)  # (B, channels[level], *S / 2^l)
            skips.append(x)
        x = self.dropout(x)
        if kept is not None:
            x = _cut(x, kept[-1])
        maps = [x]
        for level in reversed(range(self.config.depth)):
            x = self.up[level](x)  # (B, channels[level], ...)
            skip = skips.pop(level)
            if kept is None:
                x = torch.cat([_crop(skip, x.shape[2:]), x], dim=1)
                del skip
                x = self.merge[level](x)
            else:
                # with what two convolutions see around it, or the plane's border
                wide = [
                    _widened(part, n)
                    for part, n in zip(kept[level], skip.shape[-2:], strict=True)
                ]
                origin = [2 * part.start for part in kept[level + 1]]
                x = _cut(x, wide, origin)
                x = torch.cat([_crop(_cut(skip, wide), x.shape[2:]), x], dim=1)
                del skip  # large, and all that is needed of it is in x
                x = self.merge[level](x)
                x = _cut(x, kept[level], [part.start for part in wide])
            maps.append(x)
        return maps[::-1]

    def kept_cells(
        self, wanted: tuple[slice, slice], size: tuple[int, int]
    ) -> list[tuple[slice, slice]]:
        """Return what `features` must keep of each level for some rows and columns.

        Parameters
        ----------
        wanted
            Rows and columns of the image (px).
        size
            Height and width of the image (px), on the pooling grid.

        Returns
        -------
        list of (slice, slice)
            Finest level first: the wanted rectangle at that level's resolution with two
            cells around it for interpolation, and what finer levels are made from.
        """
        axes = [
            _kept_of_axis(part, n, self.config.depth)
            for part, n in zip(wanted, size, strict=True)
        ]
        return list(zip(*axes, strict=True))

    def plane_features(
        self, slab: Tensor, kept: Sequence[tuple[slice, slice]] | None = None
    ) -> list[Tensor]:
        """Return the maps of the middle planes of slabs, finest first.

        In the order of slabs and planes, each plane as one item of a batch.

        Parameters
        ----------
        slab
            Shape (B, C, n + 2 * `planes_around`, Y, X).
        kept
            As in `features`.

        Returns
        -------
        list of Tensor
            Level ``l`` has shape (B * n, channels[l], *S / 2**l).
        """
        around, config = self.planes_around, self.config
        n = slab.shape[2] - 2 * around
        if config.ndim == 3:
            slab = slab.contiguous(memory_format=self.memory_format)
            maps = (
                _middle_planes(level_map, n) for level_map in self.features(slab, kept)
            )
            return [m.transpose(1, 2).flatten(0, 1) for m in maps]
        # (B, C, n, Y, X, 2k + 1): planes before channels, as `first_channels` are
        seen = slab.unfold(2, 2 * around + 1, 1).permute(0, 2, 5, 1, 3, 4)
        batch = seen.flatten(2, 3).flatten(0, 1)
        return self.features(batch.contiguous(memory_format=self.memory_format), kept)

    @contextmanager
    def standardised_once(self) -> Iterator[None]:
        """Standardise the weights once for all passes inside the ``with``.

        For several passes with the same weights: standardising takes as long as the
        convolutions of a small image.
        """
        convs = [m for m in self.modules() if isinstance(m, Standardised)]
        for conv in convs:
            conv.ready = conv.standardised_weight()
        try:
            yield
        finally:
            for conv in convs:
                conv.ready = None

    @property
    def grid_px(self) -> int:
        """Input sizes and tile corners are multiples of this when padded (px).

        Along an unpooled z any number of planes will do.
        """
        return int(2**self.config.depth)

    @property
    def reach_px(self) -> int:
        """How far an output pixel sees (px): two 3x3 convolutions a level and path.

        92 px at the paper's depth of 4, of which 572 px of input lose 184.
        """
        return 6 * self.grid_px - 4

    @property
    def halo_px(self) -> int:
        """How far an output pixel sees (px), rounded up to the pooling grid.

        The pooling cell that holds the pixel adds up to ``2**depth - 1`` to its reach.
        """
        reach = self.reach_px + self.grid_px - 1
        return math.ceil(reach / self.grid_px) * self.grid_px

    @property
    def planes_around(self) -> int:
        """Planes on each side that a plane's maps need; 0 in 2D.

        Raises
        ------
        ConfigError
            If the resolution along z is halved: maps are then of no single plane.
        """
        config = self.config
        if config.ndim == 2:
            return config.context_planes
        if any(config.z_poolings):
            raise ConfigError(
                "pool_z is on: a network that pools along z sees whole volumes, and "
                "has no maps of single planes; turn it off"
            )
        kernels = [*config.z_kernels(), *config.z_kernels(False)[:-1]]
        return 2 * sum(n_planes // 2 for n_planes in kernels)

    @property
    def memory_format(self) -> torch.memory_format:
        """The order of its weights and inputs in memory that is fastest."""
        is_flat = self.config.ndim == 2
        return torch.channels_last if is_flat else torch.channels_last_3d

    def feature_crop_px(self, level: int) -> int:
        """Border (output px) by which an unpadded level's map exceeds the output."""
        return 0 if self.is_padded else 2 ** (level + 1) - 2

    def valid_input_px(self, output_px: int) -> tuple[int, int]:
        """Return (input, output) sizes in px for at least ``output_px`` of output.

        Padded: both are the next multiple of the grid. Unpadded: every pooling must
        meet an even size, so 388 px of output need 572 px of input (the paper's
        figure 1). Along an unpooled z, unpadded convolutions take ``8 * depth + 4``
        planes away and padded ones none.
        """
        if self.is_padded:
            size = math.ceil(output_px / self.grid_px) * self.grid_px
            return size, size
        size = output_px
        for _ in range(self.config.depth):
            size = math.ceil((size + 4) / 2)
        deepest = size
        for _ in range(self.config.depth):
            size = 2 * size - 4
        inner = deepest + 4
        for _ in range(self.config.depth):
            inner = 2 * inner + 4
        return inner, size


def _kept_of_axis(wanted: slice, n: int, depth: int) -> list[slice]:
    """Return what is kept along an axis of n px, level by level."""
    kept: list[slice] = []
    for level in range(depth + 1):
        first, last = wanted.start >> level, -(-wanted.stop >> level)
        part = slice(max(first - 2, 0), min(last + 2, n >> level))
        if kept:
            finer = _widened(kept[-1], n >> (level - 1))
            part = slice(
                min(part.start, finer.start // 2), max(part.stop, -(-finer.stop // 2))
            )
        kept.append(part)
    return kept


def _widened(part: slice, n: int) -> slice:
    """Return a part of n cells with two more on each side, where there are any."""
    return slice(max(part.start - 2, 0), min(part.stop + 2, n))


def _cut(x: Tensor, place: Sequence[slice], origin: Sequence[int] = (0, 0)) -> Tensor:
    """Cut rows and columns out of a map that begins at ``origin``."""
    rows, columns = (
        slice(part.start - first, part.stop - first)
        for part, first in zip(place, origin, strict=True)
    )
    return x[..., rows, columns]


def _middle_planes(x: Tensor, n: int) -> Tensor:
    """Cut the n planes in the middle out of (B, C, Z, Y, X)."""
    return x.narrow(2, (x.shape[2] - n) // 2, n)


def _crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut the centre of size ``size`` out of the trailing axes."""
    for axis, n in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - n) // 2, n)
    return x
