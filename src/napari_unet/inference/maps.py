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

__all__ = ["TileMaps", "compute_maps"]


@dataclass(frozen=True, eq=False)
class TileMaps:
    """Decoder maps around a tile, and the tile's image.

    Attributes
    ----------
    tile
        The rectangle without halo.
    maps
        Per level, finest first, shape (C_l, H_l, W_l), on the network's device; a
        little wider than the tile, as far as interpolation reaches.
    corners
        Per level, the tile's corner in the map upsampled to full resolution (px).
    image
        The tile's normalised image, shape (C, h, w).
    """

    tile: Tile
    maps: tuple[Tensor, ...]
    corners: tuple[tuple[int, int], ...]
    image: Tensor

    @property
    def n_bytes(self) -> int:
        """Memory that the maps and the image take."""
        return sum(m.element_size() * m.nelement() for m in (*self.maps, self.image))

    def finest(self) -> Tensor:
        """Return the finest map cut to the tile, shape (C_0, h, w)."""
        return self._cut(self.maps[0], 0)

    def _cut(self, upsampled: Tensor, level: int) -> Tensor:
        (y, x), (height, width) = self.corners[level], self.tile.shape
        return upsampled[..., y : y + height, x : x + width]

    def project(self, head: RidgeHead) -> Tensor:
        """Return the head's logits, shape (K, h, w).

        The head is applied at each level's own resolution and its scores are upsampled:
        the same numbers as upsampling the features, for a tenth of the work.
        """
        device = self.image.device
        weights = torch.from_numpy(head.weights).to(device)  # (F, K)
        bias = torch.from_numpy(head.bias).to(device)
        sizes = [m.shape[0] for m in (*self.maps, self.image)]
        *per_level, of_image = torch.split(weights, sizes)
        scores = torch.einsum("fk,fhw->khw", of_image, self.image) + bias[:, None, None]
        for level, (level_map, w) in enumerate(zip(self.maps, per_level, strict=True)):
            coarse = torch.einsum("fk,fhw->khw", w, level_map)
            scores += self._cut(_upsample(coarse, level), level)
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
            Shape (n, F): all levels, finest first, then the image's channels.
        """
        local = yx.to(self.image.device) - torch.tensor(
            [self.tile.y0, self.tile.x0], device=self.image.device
        )
        parts = [
            _interpolate(level_map, local, self.corners[level], level)
            for level, level_map in enumerate(self.maps)
        ]
        parts.append(self.image[:, local[:, 0], local[:, 1]].T)
        return torch.cat(parts, dim=1)


def compute_maps(
    unet: UNet, source: ImageSource, plane: int, tile: Tile, n_levels: int
) -> TileMaps:
    """Run the network on a tile with its halo and keep its ``n_levels`` finest maps.

    Raises
    ------
    torch.OutOfMemoryError
        Left to the caller, who knows what can be made smaller.
    """
    device = next(unet.parameters()).device
    spans = [
        _input_span(unet, start, stop, n)
        for start, stop, n in zip(
            (tile.y0, tile.x0),
            (tile.y1, tile.x1),
            source.stack.plane_shape,
            strict=True,
        )
    ]
    (y0, y1), (x0, x1) = spans
    pixels = torch.from_numpy(source.read(plane, y0, y1, x0, x1))
    batch = pixels[None].to(device, memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(device):
        levels = [m[0].float() for m in unet.features(batch)[:n_levels]]
    maps, corners = [], []
    for level, level_map in enumerate(levels):
        # full-resolution px from the map's first pixel to the tile's corner
        outset = _outset_px(unet, level)
        corner = (tile.y0 - y0 - outset, tile.x0 - x0 - outset)
        cut, corner = _trim(level_map, level, corner, tile.shape)
        maps.append(cut)
        corners.append(corner)
    top, left = tile.y0 - y0, tile.x0 - x0
    height, width = tile.shape
    image = batch[0, :, top : top + height, left : left + width].contiguous()
    return TileMaps(tile, tuple(maps), tuple(corners), image)


def _input_span(unet: UNet, start: int, stop: int, n: int) -> tuple[int, int]:
    """Return the input interval (px) that an output interval of an axis needs."""
    grid = unet.grid_px
    if not unet.is_padded:
        n_in, n_out = unet.valid_input_px(stop - start)
        return start - (n_in - n_out) // 2, start - (n_in - n_out) // 2 + n_in
    border = max(2 * grid, 32)  # mirrored pixels between the image and the zeros
    low, high = -border, math.ceil((n + border) / grid) * grid
    stop = math.ceil(stop / grid) * grid
    return max(start - unet.halo_px, low), min(stop + unet.halo_px, high)


def _outset_px(unet: UNet, level: int) -> int:
    """How far inside the input a level's map begins (px at full resolution)."""
    if unet.is_padded:
        return 0
    n_in, n_out = unet.valid_input_px(1)
    return (n_in - n_out) // 2 - unet.feature_crop_px(level)


def _trim(
    level_map: Tensor, level: int, corner: tuple[int, int], shape: tuple[int, int]
) -> tuple[Tensor, tuple[int, int]]:
    """Cut a map to the tile and two coarse pixels around it."""
    cell = 2**level
    bounds, corners = [], []
    for start, size, n in zip(corner, shape, level_map.shape[1:], strict=True):
        first = max(start // cell - 2, 0)
        last = min(-(-(start + size) // cell) + 2, n)
        bounds.append(slice(first, last))
        corners.append(start - first * cell)
    cut = level_map[:, bounds[0], bounds[1]].contiguous()
    return cut, (corners[0], corners[1])


def _upsample(coarse: Tensor, level: int) -> Tensor:
    """Upsample (K, h, w) bilinearly by 2**level."""
    if level == 0:
        return coarse
    return F.interpolate(
        coarse[None], scale_factor=2**level, mode="bilinear", align_corners=False
    )[0]


def _interpolate(
    level_map: Tensor, local: Tensor, corner: tuple[int, int], level: int
) -> Tensor:
    """Return what `_upsample` has at tile-local pixels (n, 2), shape (n, C)."""
    if level == 0:
        y, x = local[:, 0] + corner[0], local[:, 1] + corner[1]
        return level_map[:, y, x].T
    size = torch.tensor(level_map.shape[1:], device=local.device)
    place = local + torch.tensor(corner, device=local.device) + 0.5
    # grid_sample wants x before y, in -1..1 over the whole map
    grid = (place / (size * 2**level) * 2 - 1).flip(1).to(level_map.dtype)
    return F.grid_sample(
        level_map[None],
        grid[None, None],
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0, :, 0].T
