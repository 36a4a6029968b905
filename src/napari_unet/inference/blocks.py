"""The blocks that a plane or volume is cut into objects by, with what they see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from napari_unet.config import InstanceConfig

__all__ = ["Block", "Place", "plan_blocks"]

Place = tuple[slice, ...]
"""A rectangle of a plane, or a box of a volume (px)."""

_VOLUME_SHARE = 4  # of a plane's block, along each side of a volume's
_MAX_VOLUME_PX = 2**24  # seen at once; cutting takes about 60 bytes for each


@dataclass(frozen=True)
class Block:
    """A part whose objects are kept (``core``) and the part that it is cut in."""

    core: Place
    seen: Place
    shape: tuple[int, ...]
    """Of the plane or volume."""

    @property
    def ends(self) -> tuple[tuple[bool, bool], ...]:
        """For each axis, whether the image goes on before and behind what is seen."""
        return tuple(
            (side.start > 0, side.stop < n)
            for side, n in zip(self.seen, self.shape, strict=True)
        )

    def meets(self, other: Block, reach: Sequence[int]) -> Place | None:
        """Return the part of another's core that lies within reach; None: nothing."""
        place = tuple(
            slice(max(mine.start - r, its.start), min(mine.stop + r, its.stop))
            for mine, its, r in zip(self.core, other.core, reach, strict=True)
        )
        return place if all(side.start < side.stop for side in place) else None


def plan_blocks(
    shape: tuple[int, ...], sizes: Sequence[float], settings: InstanceConfig
) -> tuple[list[Block], tuple[int, ...]]:
    """Cut a plane (Y, X) or volume (Z, Y, X) into blocks.

    Parameters
    ----------
    shape
        Of the plane or volume (px).
    sizes
        World units per pixel along each axis; only ratios count.
    settings
        How large blocks are, and how far they see.

    Returns
    -------
    blocks
        In the order in which they are cut; their cores partition the shape.
    halo
        How far they see along each axis (px).
    """
    sides = [settings.block_px] * len(shape)
    halo: tuple[int, ...] = (settings.block_halo_px,) * len(shape)
    if len(shape) > 2:
        sides, halo = _of_volume(shape, sizes, settings)
    starts = product(*(range(0, n, s) for n, s in zip(shape, sides, strict=True)))
    blocks = []
    for corner in starts:
        ends = [min(a + s, n) for a, s, n in zip(corner, sides, shape, strict=True)]
        core = tuple(slice(a, b) for a, b in zip(corner, ends, strict=True))
        seen = tuple(
            slice(max(c.start - h, 0), min(c.stop + h, n))
            for c, h, n in zip(core, halo, shape, strict=True)
        )
        blocks.append(Block(core, seen, shape))
    return blocks, halo


def _of_volume(
    shape: tuple[int, ...], sizes: Sequence[float], settings: InstanceConfig
) -> tuple[list[int], tuple[int, ...]]:
    """Return sides and halo of a volume's blocks, of which none sees too much."""
    side = -(-settings.block_px // _VOLUME_SHARE)
    halo_px = -(-settings.block_halo_px // _VOLUME_SHARE)
    while True:
        # so far in planes, but always the next one
        n_planes = max(1, math.ceil(halo_px * min(sizes[1:]) / sizes[0]))
        n_planes = min(n_planes, halo_px)
        plane_px = math.prod(min(n, side + 2 * halo_px) for n in shape[1:])
        n_seen = _MAX_VOLUME_PX // plane_px
        # not flatter than what it sees above: else nearly all is cut several times
        if n_seen >= min(shape[0], 3 * n_planes):
            break
        if side > halo_px:
            side = -(-side // 2)
        else:
            halo_px = -(-halo_px // 2)
    depth = shape[0] if shape[0] <= n_seen else n_seen - 2 * n_planes
    return [depth, side, side], (n_planes, halo_px, halo_px)
