"""Random changes of training patches, the same for an image and its target.

All random numbers are drawn on the CPU from the caller's generator: a seed gives
the same patches on every device; the work is done where the images are.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_unet.config import AugmentationConfig
from napari_unet.errors import AnnotationError

__all__ = ["augment", "elastic_displacement"]


def augment(
    images: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Return patches and their targets, changed at random.

    Flips, turns by multiples of 90 degrees (of 180 where patches are not square),
    elastic deformation, contrast, brightness and noise, each drawn anew for each patch.
    The planes of a slab change together, and slabs are also flipped along z.

    Parameters
    ----------
    images : torch.Tensor
        (B, C, H, W), or slabs (B, C, D, H, W) around the target's plane; floating
        point, normalised values.
    targets : torch.Tensor
        (B, H, W), int64, on the images' device. Deformed by nearest neighbour: only
        values that were there come out, ``IGNORE_INDEX`` among them.
    config : AugmentationConfig
        What to change and how far; with everything off, the patches come back as they
        are.
    generator : torch.Generator
        On the CPU; decides everything.

    Returns
    -------
    images, targets : torch.Tensor
        Of the shapes and types given. The inputs are not written to.

    Raises
    ------
    AnnotationError
        If the shapes do not fit each other.

    References
    ----------
    Elastic deformation: Ronneberger et al. 2015, arXiv:1505.04597, section 3.1.
    """
    if images.ndim == 5:
        return _augment_slabs(images, targets, config, generator)
    if images.ndim != 4 or targets.shape != (images.shape[0], *images.shape[2:]):
        raise AnnotationError(
            f"images of shape {tuple(images.shape)} and targets of shape "
            f"{tuple(targets.shape)} do not fit; need (B, C, H, W) and (B, H, W)."
        )
    images, targets = _turn(images, targets, config, generator)
    if config.elastic_sigma_px > 0:
        coarse = _coarse_displacement(
            len(images), config.elastic_sigma_px, config.elastic_grid, generator
        )
        shape = (images.shape[2], images.shape[3])
        # moved while it is small, interpolated on the device
        displacement = _interpolate(coarse.to(images.device), shape)
        images, targets = _deform(images, targets, displacement)
    return _change_intensity(images, config, generator), targets


def _augment_slabs(
    slabs: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Do as `augment` with each plane as further channels, and flip along z."""
    images, targets = augment(slabs.flatten(1, 2), targets, config, generator)
    images = images.view(slabs.shape)
    if config.flip:
        coins = torch.rand(len(images), generator=generator) < 0.5
        is_flipped = coins.to(images.device).view(-1, 1, 1, 1, 1)
        images = torch.where(is_flipped, images.flip(2), images)
    return images, targets


def elastic_displacement(
    n: int,
    shape: tuple[int, int],
    sigma_px: float,
    grid: int,
    generator: torch.Generator,
) -> Tensor:
    """Return smooth random displacement fields.

    Vectors are drawn from a normal distribution on a coarse grid, whose outermost nodes
    lie on the patch's corner pixels, and interpolated bicubically.

    Parameters
    ----------
    n : int
        Number of fields.
    shape : tuple of int
        (H, W) in px.
    sigma_px : float
        Standard deviation of each component at the grid's nodes, in px. The paper takes
        10 px for tiles of 572 px.
    grid : int
        Nodes per axis; 3 in the paper.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    torch.Tensor
        (n, 2, H, W), float32, on the CPU: displacement along y and along x, in px.

    References
    ----------
    Ronneberger et al. 2015, arXiv:1505.04597, section 3.1.
    """
    return _interpolate(_coarse_displacement(n, sigma_px, grid, generator), shape)


def _coarse_displacement(
    n: int, sigma_px: float, grid: int, generator: torch.Generator
) -> Tensor:
    return sigma_px * torch.randn((n, 2, grid, grid), generator=generator)


def _interpolate(coarse: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(coarse, size=shape, mode="bicubic", align_corners=True)


def _turn(
    images: Tensor,
    targets: Tensor,
    config: AugmentationConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Flip and rotate: every such motion is a transposition and two mirrorings."""
    n = len(images)
    is_square = images.shape[-1] == images.shape[-2]
    transposed = torch.zeros(n, dtype=torch.bool)
    mirrored_y, mirrored_x = transposed.clone(), transposed.clone()
    if config.rotate:
        turns = torch.randint(4, (n,), generator=generator)
        if not is_square:
            turns = 2 * (turns // 2)
        transposed = turns % 2 == 1
        mirrored_y = (turns == 1) | (turns == 2)
        mirrored_x = turns >= 2
    if config.flip:
        flips = torch.randint(2, (2, n), generator=generator).bool()
        mirrored_y, mirrored_x = mirrored_y ^ flips[0], mirrored_x ^ flips[1]
    if transposed.any():
        images = _where(transposed, images.transpose(-1, -2), images)
        targets = _where(transposed, targets.transpose(-1, -2), targets)
    for axis, mirrored in ((-2, mirrored_y), (-1, mirrored_x)):
        if mirrored.any():
            images = _where(mirrored, images.flip(axis), images)
            targets = _where(mirrored, targets.flip(axis), targets)
    return images, targets


def _where(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    per_patch = chosen.to(no.device).view(-1, *[1] * (no.ndim - 1))
    return torch.where(per_patch, yes, no)


def _deform(
    images: Tensor, targets: Tensor, displacement: Tensor
) -> tuple[Tensor, Tensor]:
    """Sample images bilinearly and targets by nearest neighbour, mirrored outside."""
    height, width = targets.shape[1:]
    device = images.device
    y = torch.arange(height, device=device)[:, None] + displacement[:, 0]
    x = torch.arange(width, device=device) + displacement[:, 1]
    y, x = _mirror(y, height), _mirror(x, width)
    # grid_sample counts from -1 at the first pixel's centre to 1 at the last one's
    grid = torch.stack([x / max(width - 1, 1), y / max(height - 1, 1)], dim=-1) * 2 - 1
    images = F.grid_sample(images, grid.to(images.dtype), align_corners=True)
    place = (y + 0.5).long().clamp_(max=height - 1) * width
    place += (x + 0.5).long().clamp_(max=width - 1)
    targets = targets.flatten(1).gather(1, place.flatten(1)).view_as(targets)
    return images, targets


def _mirror(position: Tensor, size: int) -> Tensor:
    """Mirror positions (px) at the centres of the first and the last pixel."""
    period = max(2 * (size - 1), 1)
    position = position.remainder(period)
    return torch.minimum(position, period - position).clamp_(0, size - 1)


def _change_intensity(
    images: Tensor, config: AugmentationConfig, generator: torch.Generator
) -> Tensor:
    n = len(images)
    if config.contrast > 0:
        images = images * (1 + config.contrast * _uniform(n, generator)).to(images)
    if config.brightness > 0:
        images = images + (config.brightness * _uniform(n, generator)).to(images)
    if config.noise > 0:
        noise = torch.randn(images.shape, generator=generator)
        images = images + config.noise * noise.to(images)
    return images


def _uniform(n: int, generator: torch.Generator) -> Tensor:
    """Return (n, 1, 1, 1) numbers in -1..1."""
    return 2 * torch.rand((n, 1, 1, 1), generator=generator) - 1
