"""The network's feature maps of one tile, with mirrored borders and halo.

The overlap-tile strategy of the paper (figure 2): a tile is computed with as much
context as the network sees, mirrored where the image ends, and the context is thrown
away. A padded network sees zeros beyond a fixed border around the *image* (never around
the tile), and so tiled and untiled prediction are equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unet.core.device import autocast
from napari_unet.core.head import RidgeHead
from napari_unet.core.source import ImageSource
from napari_unet.core.unet import UNet
from napari_unet.inference.tiles import Tile

__all__ = [
    "TileMaps",
    "compute_maps",
    "compute_slab_maps",
    "planes_at_once",
    "reach_px",
]


_SLAB_BYTES = 500 * 2**20
"""14 planes of a 512 px tile with its halo, of which 6 come out: 2.3 computed for each,
where one by one it would be 9."""


@dataclass(frozen=True, eq=False)
class TileMaps:
    """Decoder maps around a tile, and the tile's image.

    Attributes
    ----------
    tile
        The rectangle without halo.
    maps
        Per scale and level, finest first, shape (C, H, W), on the network's device; a
        little wider than the tile, as far as interpolation reaches.
    cells
        Per map, the side of its pixels in pixels of the image.
    corners
        Per map, the tile's corner in the map upsampled to full resolution (px).
    image
        The tile's normalised image, shape (C, h, w).
    """

    tile: Tile
    maps: tuple[Tensor, ...]
    cells: tuple[int, ...]
    corners: tuple[tuple[int, int], ...]
    image: Tensor

    @property
    def n_bytes(self) -> int:
        """Memory that the maps and the image take."""
        return sum(m.element_size() * m.nelement() for m in (*self.maps, self.image))

    def finest(self) -> Tensor:
        """Return the finest map cut to the tile, shape (C_0, h, w)."""
        return self._cut(self.maps[0], 0)

    def _cut(self, upsampled: Tensor, number: int) -> Tensor:
        (y, x), (height, width) = self.corners[number], self.tile.shape
        return upsampled[..., y : y + height, x : x + width]

    def project(self, head: RidgeHead) -> Tensor:
        """Return the head's logits, shape (K, h, w).

        The head is applied at each map's own resolution and its scores are upsampled:
        the same numbers as upsampling the features, for a tenth of the work.
        """
        device = self.image.device
        weights = torch.from_numpy(head.weights).to(device)  # (F, K)
        bias = torch.from_numpy(head.bias).to(device)
        sizes = [m.shape[0] for m in (*self.maps, self.image)]
        *per_map, of_image = torch.split(weights, sizes)
        scores = torch.einsum("fk,fhw->khw", of_image, self.image) + bias[:, None, None]
        for number, (feature_map, w) in enumerate(zip(self.maps, per_map, strict=True)):
            coarse = torch.einsum("fk,fhw->khw", w, feature_map)
            scores += self._cut(_upsample(coarse, self.cells[number]), number)
        return scores * head.temperature

    def sample(self, yx: Tensor) -> Tensor:
        """Return the features at pixels of the plane.

        Parameters
        ----------
        yx
            Shape (n, 2), pixel coordinates within the tile, in the plane's frame.

        Returns
        -------
        Tensor
            Shape (n, F): all maps, finest first, then the image's channels.
        """
        local = yx.to(self.image.device) - torch.tensor(
            [self.tile.y0, self.tile.x0], device=self.image.device
        )
        parts = [
            _interpolate(feature_map, local, corner, cell)
            for feature_map, corner, cell in zip(
                self.maps, self.corners, self.cells, strict=True
            )
        ]
        parts.append(self.image[:, local[:, 0], local[:, 1]].T)
        return torch.cat(parts, dim=1)


def compute_maps(
    unet: UNet,
    source: ImageSource,
    plane: int,
    tile: Tile,
    n_levels: int,
    n_scales: int = 1,
) -> TileMaps:
    """Run the network on a tile with its halo and keep its ``n_levels`` finest maps.

    With ``n_scales`` above 1 the same weights also see the image at half, quarter, ...
    size, and so as much more of the surroundings.

    Raises
    ------
    torch.OutOfMemoryError
        Left to the caller, who knows what can be made smaller.
    """
    return compute_slab_maps(unet, source, plane, 1, tile, n_levels, n_scales)[0]


def compute_slab_maps(
    unet: UNet,
    source: ImageSource,
    plane: int,
    n_planes: int,
    tile: Tile,
    n_levels: int,
    n_scales: int = 1,
) -> list[TileMaps]:
    """Do as `compute_maps` for several planes above each other, from ``plane`` on.

    A network that sees the planes around needs them once for all: the same numbers as
    for each plane alone. Beyond the ends of the stack, its planes are mirrored.
    """
    device = next(unet.parameters()).device
    windows = [_Window.of(unet, source, tile, 2**scale) for scale in range(n_scales)]
    # one read for all scales
    y0, x0 = (min(w.low[axis] for w in windows) for axis in (0, 1))
    y1, x1 = (max(w.high[axis] for w in windows) for axis in (0, 1))
    around = unet.planes_around
    read = source.read_slab(plane, n_planes, around, (y0, y1, x0, x1))
    slab = torch.from_numpy(read).to(device)  # (C, n_planes + 2 * around, H, W)
    maps: list[list[Tensor]] = [[] for _ in range(n_planes)]
    cells: list[int] = []
    corners: list[tuple[int, int]] = []
    with torch.inference_mode(), autocast(device), unet.standardised_once():
        for window in windows:
            part = slab[:, :, *window.within(y0, x0)]
            if window.scale > 1:
                part = F.avg_pool2d(part, window.scale)
            kept = window.kept(unet)
            for level, level_map in enumerate(unet.plane_features(part[None], kept)):
                if level == n_levels:
                    break
                cell = 2**level * window.scale
                corner = window.corner(unet, level)
                if kept is not None:
                    y, x = (part.start * cell for part in kept[level])
                    corner = corner[0] - y, corner[1] - x
                cut, corner = _trim(level_map, cell, corner, tile.shape)
                for of_plane, plane_map in zip(maps, cut.float(), strict=True):
                    # as the network has it: to turn it takes as long as a convolution
                    of_plane.append(
                        plane_map[None].clone(memory_format=torch.channels_last)[0]
                    )
                cells.append(cell)
                corners.append(corner)
    top, left = tile.y0 - y0, tile.x0 - x0
    height, width = tile.shape
    images = slab[:, around : around + n_planes]
    images = images[:, :, top : top + height, left : left + width]
    return [
        TileMaps(
            tile, tuple(of_plane), tuple(cells), tuple(corners), image.contiguous()
        )
        for of_plane, image in zip(maps, images.unbind(1), strict=True)
    ]


def planes_at_once(
    unet: UNet,
    side_px: int,
    n_levels: int,
    n_scales: int,
    max_bytes: int,
    slab_bytes: int = _SLAB_BYTES,
) -> int:
    """Return how many planes of a tile to compute together, at least one.

    1 for a network that needs no slab. Else as many as have their finest activations
    within ``slab_bytes``, halo included, and their maps within ``max_bytes``, in which
    they are to be kept.
    """
    config = unet.config
    if config.ndim == 2:
        return 1
    n_px: int = (side_px + 2 * unet.halo_px) ** 2
    of_slab: int = (
        slab_bytes // (4 * config.channels[0] * n_px) - 2 * unet.planes_around
    )
    of_maps = sum(
        4 * n_channels * side_px**2 // 4 ** (level + scale)
        for scale in range(n_scales)
        for level, n_channels in enumerate(config.channels[:n_levels])
    )
    n_planes: int = min(of_slab, max_bytes // of_maps)
    return max(1, n_planes)


def reach_px(unet: UNet, n_scales: int) -> int:
    """Return how far around a tile `compute_maps` reads at most (px)."""
    n_in, n_out = unet.valid_input_px(unet.grid_px)
    halo = unet.halo_px if unet.is_padded else (n_in - n_out) // 2 + n_out
    # to the pooling grid, and a pixel for interpolation
    return (halo + 2 * unet.grid_px) << (n_scales - 1)


@dataclass(frozen=True)
class _Window:
    """What the network must see of a plane (px) to compute a tile at some scale."""

    tile: Tile
    scale: int
    low: tuple[int, int]
    high: tuple[int, int]

    @classmethod
    def of(cls, unet: UNet, source: ImageSource, tile: Tile, scale: int) -> _Window:
        """Return the window of a tile; ``scale`` 2 is half the size."""
        # a padded network's halo has room for the neighbours that interpolation takes
        rim = 1 if scale > 1 and not unet.is_padded else 0
        spans = [
            _input_span(
                unet, start // scale - rim, -(-stop // scale) + rim, -(-n // scale)
            )
            for start, stop, n in zip(
                (tile.y0, tile.x0),
                (tile.y1, tile.x1),
                source.stack.plane_shape,
                strict=True,
            )
        ]
        low, high = zip(*spans, strict=True)
        return cls(
            tile,
            scale,
            (low[0] * scale, low[1] * scale),
            (high[0] * scale, high[1] * scale),
        )

    def within(self, y0: int, x0: int) -> tuple[slice, slice]:
        """Return the window in an array whose first pixel is (y0, x0)."""
        return (
            slice(self.low[0] - y0, self.high[0] - y0),
            slice(self.low[1] - x0, self.high[1] - x0),
        )

    def kept(self, unet: UNet) -> list[tuple[slice, slice]] | None:
        """Return the cells of each level that the tile needs; None when unpadded."""
        if not unet.is_padded:
            return None
        local = [
            slice((start - low) // self.scale, -(-(stop - low) // self.scale))
            for start, stop, low in (
                (self.tile.y0, self.tile.y1, self.low[0]),
                (self.tile.x0, self.tile.x1, self.low[1]),
            )
        ]
        height, width = (
            (high - low) // self.scale
            for low, high in zip(self.low, self.high, strict=True)
        )
        return unet.kept_cells((local[0], local[1]), (height, width))

    def corner(self, unet: UNet, level: int) -> tuple[int, int]:
        """Return the distance from a map's first pixel to the tile's corner (px)."""
        outset = _outset_px(unet, level) * self.scale
        return (
            self.tile.y0 - self.low[0] - outset,
            self.tile.x0 - self.low[1] - outset,
        )


def _input_span(unet: UNet, start: int, stop: int, n: int) -> tuple[int, int]:
    """Return the input interval that an output interval of an axis of n px needs.

    It begins on the pooling grid of the plane, wherever the tile does.
    """
    grid = unet.grid_px
    start = start // grid * grid
    if not unet.is_padded:
        n_in, n_out = unet.valid_input_px(stop - start)
        return start - (n_in - n_out) // 2, start - (n_in - n_out) // 2 + n_in
    border = max(2 * grid, 32)  # mirrored pixels between the image and the zeros
    low, high = -border, math.ceil((n + border) / grid) * grid
    stop = math.ceil(stop / grid) * grid
    return max(start - unet.halo_px, low), min(stop + unet.halo_px, high)


def _outset_px(unet: UNet, level: int) -> int:
    """How far inside the input a level's map begins (px at the input's scale)."""
    if unet.is_padded:
        return 0
    n_in, n_out = unet.valid_input_px(1)
    return (n_in - n_out) // 2 - unet.feature_crop_px(level)


def _trim(
    feature_map: Tensor, cell: int, corner: tuple[int, int], shape: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Cut maps (..., H, W) to the tile and two coarse pixels around it."""
    bounds, corners = [], []
    for start, size, n in zip(corner, shape, feature_map.shape[-2:], strict=True):
        first = max(start // cell - 2, 0)
        last = min(-(-(start + size) // cell) + 2, n)
        bounds.append(slice(first, last))
        corners.append(start - first * cell)
    return feature_map[..., bounds[0], bounds[1]], (corners[0], corners[1])


def _upsample(coarse: Tensor, cell: int) -> Tensor:
    """Upsample (K, h, w) bilinearly, each pixel to ``cell`` by ``cell``."""
    if cell == 1:
        return coarse
    return F.interpolate(
        coarse[None], scale_factor=cell, mode="bilinear", align_corners=False
    )[0]


def _interpolate(
    feature_map: Tensor, local: Tensor, corner: tuple[int, int], cell: int
) -> Tensor:
    """Return what `_upsample` has at tile-local pixels (n, 2), shape (n, C)."""
    if cell == 1:
        y, x = local[:, 0] + corner[0], local[:, 1] + corner[1]
        return feature_map[:, y, x].T
    size = torch.tensor(feature_map.shape[1:], device=local.device)
    place = local + torch.tensor(corner, device=local.device) + 0.5
    # grid_sample wants x before y, in -1..1 over the whole map
    grid = (place / (size * cell) * 2 - 1).flip(1).to(feature_map.dtype)
    return F.grid_sample(
        feature_map[None],
        grid[None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0, :, 0].T
