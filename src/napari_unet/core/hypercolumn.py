"""The hypercolumn of a batch of patches: differentiable, for training.

The same features as `napari_unet.inference.maps` has for tiles of an image: decoder
maps of several levels at several scales, bilinearly upsampled, and the image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unet.core.unet import UNet

__all__ = ["fitting_px", "hypercolumn", "patch_sizes", "project", "sample"]


def patch_sizes(unet: UNet, output_px: int, n_scales: int) -> tuple[int, int]:
    """Return the sides (image, output) of patches for at least ``output_px`` of output.

    Padded: both are the next multiple of the pooling grid at the smallest scale.
    Unpadded: the image is as much wider as the smallest scale needs.
    """
    if unet.is_padded:
        grid = unet.grid_px * 2 ** (n_scales - 1)
        side = math.ceil(output_px / grid) * grid
        return side, side
    image_px = max(_input_px(unet, output_px, scale) for scale in range(n_scales))
    return image_px, _output_px(unet, image_px, n_scales)


def fitting_px(unet: UNet, output_px: int, side_px: int) -> int:
    """Return the largest valid output (px) within ``side_px``, if not ``output_px``.

    Of the sizes that the network can give, the one for ``output_px`` where it fits into
    an image of that side, else the largest that does, and at least the smallest.
    """
    smallest = unet.valid_input_px(1)[1]
    inside = smallest + max(side_px - smallest, 0) // unet.grid_px * unet.grid_px
    return min(unet.valid_input_px(output_px)[1], inside)


def _input_px(unet: UNet, output_px: int, scale: int) -> int:
    """Return what an unpadded network must see (px) at a scale; always even."""
    rim = 2 if scale else 0  # for the neighbours that interpolation takes
    side: int = unet.valid_input_px(math.ceil(output_px / 2**scale) + rim)[0]
    return side << scale


def _output_px(unet: UNet, image_px: int, n_scales: int) -> int:
    """Return the largest output (px) of an unpadded network for an image."""
    fits = 0
    side = unet.valid_input_px(1)[1]
    while all(_input_px(unet, side, s) <= image_px for s in range(n_scales)):
        fits, side = side, side + unet.grid_px
    return fits


def hypercolumn(
    unet: UNet, images: Tensor, n_levels: int, n_scales: int
) -> list[tuple[Tensor, int]]:
    """Return maps (B, C, h, w) with their cell size (px), finest first, image last.

    The network sees the image at full, half, quarter ... size with the same weights.
    The images are square, of a side that `patch_sizes` gives. Maps share their centre;
    those of an unpadded network are wider than its output, to which the image is cut.
    For a network that sees the planes around, images are slabs (B, C, 2k + 1, H, W), k
    its `UNet.planes_around`; maps and image are those of the middle plane.
    """
    slabs = images.unsqueeze(2) if images.ndim == 4 else images
    images = slabs[:, :, slabs.shape[2] // 2]
    output_px = images.shape[-1]
    if not unet.is_padded:
        output_px = _output_px(unet, output_px, n_scales)
    maps: list[tuple[Tensor, int]] = []
    with unet.standardised_once():
        for scale in range(n_scales):
            seen = slabs
            if not unet.is_padded:
                seen = _centre(slabs, _input_px(unet, output_px, scale))
            small = F.avg_pool3d(seen, (1, 2**scale, 2**scale)) if scale else seen
            levels = unet.plane_features(small)[:n_levels]
            maps += [(m, 2 ** (level + scale)) for level, m in enumerate(levels)]
    return [*maps, (_centre(images, output_px).to(maps[0][0].dtype), 1)]


def _centre(x: Tensor, side: int) -> Tensor:
    """Cut the central square out of (..., H, W)."""
    top, left = ((n - side) // 2 for n in x.shape[-2:])
    return x[..., top : top + side, left : left + side]


def sample(maps: list[tuple[Tensor, int]], item: int | Tensor, yx: Tensor) -> Tensor:
    """Return the features (..., F) of items of the batch at pixels (..., 2).

    ``item`` is one number or broadcasts against (...). Bilinear between the centres of
    a map's cells, as `project` upsamples.
    """
    parts = []
    output_px = maps[-1][0].shape[-1]
    items = torch.as_tensor(item, device=yx.device).expand(yx.shape[:-1])
    for level_map, cell in maps:
        last = level_map.shape[-1] - 1
        border = ((last + 1) * cell - output_px) / 2
        place = ((yx + border + 0.5) / cell - 0.5).clamp(min=0)
        low = place.long().clamp(max=last)
        high = (low + 1).clamp(max=last)
        fy, fx = (place - low).float()[..., None].unbind(-2)
        (y0, x0), (y1, x1) = low.unbind(-1), high.unbind(-1)
        # the colon between indices puts the channels last
        top = level_map[items, :, y0, x0] * (1 - fx) + level_map[items, :, y0, x1] * fx
        bottom = (
            level_map[items, :, y1, x0] * (1 - fx) + level_map[items, :, y1, x1] * fx
        )
        parts.append(top * (1 - fy) + bottom * fy)
    return torch.cat(parts, dim=-1)


def project(maps: list[tuple[Tensor, int]], beta: Tensor, bias: Tensor) -> Tensor:
    """Apply heads (B, F, K), (B, K) to all pixels; returns scores (B, K, H, W)."""
    output_px = maps[-1][0].shape[-1]
    parts = torch.split(beta, [m.shape[1] for m, _ in maps], dim=1)
    total = bias[:, :, None, None].expand(-1, -1, output_px, output_px)
    for (level_map, cell), part in zip(maps, parts, strict=True):
        scores = torch.einsum("bfk,bfhw->bkhw", part.to(level_map.dtype), level_map)
        scores = scores.float()
        if cell > 1:
            scores = F.interpolate(
                scores, scale_factor=cell, mode="bilinear", align_corners=False
            )
        total = total + _centre(scores, output_px)
    return total
