"""Layouts: where the parts of a procedural image lie.

A layout is drawn once per task; drawing from it gives another image of the same kind.
Each returns a map of parts, 0 to ``n_parts - 1``, and a height in 0..1 that rises from
the borders of objects to their middle, for shading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from tools.pretrain.fields import Floats, band_noise, log_uniform, warp_grid

__all__ = ["Layout", "Scene", "draw_layout"]

Parts = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scene:
    """One drawing of a layout: ``parts``, ``height`` and object ids, all (S, S)."""

    parts: Parts
    height: Floats
    objects: NDArray[np.int32]


Layout = Callable[[np.random.Generator, int], Scene]


def draw_layout(rng: np.random.Generator) -> tuple[Layout, int]:
    """Return a random layout and how many parts it has."""
    makers = (_packed, _packed, _scattered, _scattered, _scattered, _blobs, _filaments)
    makers += (_regions, _rings, _tree)
    return makers[rng.integers(len(makers))](rng)


def _seeds(rng: np.random.Generator, size: int, spacing_px: float) -> Floats:
    """Return jittered seeds (n, 2) about ``spacing_px`` apart, also beyond the edge."""
    n = int((size + 4 * spacing_px) / spacing_px) + 1
    grid = np.stack(np.mgrid[:n, :n], axis=-1).reshape(-1, 2).astype(np.float32)
    grid += rng.uniform(-0.45, 0.45, grid.shape)
    return (grid * spacing_px - 2 * spacing_px).astype(np.float32)


def _voronoi(
    rng: np.random.Generator, size: int, spacing_px: float, wobble: float
) -> tuple[Floats, Floats, NDArray[np.int32], float]:
    """Return distances to nearest seed and to the border of its cell, and cell ids."""
    period = spacing_px * rng.uniform(0.5, 2)
    y, x = warp_grid(rng, size, wobble * spacing_px, period)
    stretch = rng.uniform(0.6, 1.0)
    seeds = _seeds(rng, int(size / stretch), spacing_px)
    points = np.stack([y, x / stretch if rng.random() < 0.5 else x], axis=-1)
    distance, index = cKDTree(seeds).query(points.reshape(-1, 2), k=2)
    distance = distance.reshape(size, size, 2).astype(np.float32)
    border = (distance[..., 1] - distance[..., 0]) / 2
    ids = index[:, 0].reshape(size, size).astype(np.int32)
    return distance[..., 0], border, ids, spacing_px


def _packed(rng: np.random.Generator) -> tuple[Layout, int]:
    """Packed cells: membranes, interiors, organelles; sometimes a nucleus."""
    spacing = log_uniform(rng, 14, 110)
    wall = max(1.0, spacing * rng.uniform(0.03, 0.12))
    wobble = rng.uniform(0, 0.15)
    organelle = rng.random() < 0.6
    organelle_period = spacing * rng.uniform(0.2, 0.7)
    organelle_level = rng.uniform(1.0, 1.9)
    nucleus = rng.uniform(0.15, 0.4) if rng.random() < 0.35 else 0.0
    gap = rng.uniform(0.3, 0.8) if rng.random() < 0.25 else 0.0  # extracellular space

    def draw(rng: np.random.Generator, size: int) -> Scene:
        centre, border, ids, _ = _voronoi(rng, size, spacing, wobble)
        parts = np.ones((size, size), np.uint8)
        if organelle:
            inside = band_noise(rng, size, organelle_period) > organelle_level
            parts[inside & (border > 1.5 * wall)] = 2
        if nucleus:
            parts[centre < nucleus * spacing * 0.6] = 3
        thickness = wall * (1 + 0.4 * band_noise(rng, size, spacing))
        parts[border < thickness / 2] = 0
        if gap:
            empty = np.random.default_rng(ids.max()).random(ids.max() + 1) < gap
            outside = empty[ids] & (border >= thickness / 2)
            parts[outside] = 4
        height = np.clip(border / (0.3 * spacing), 0, 1)
        return Scene(parts, height, ids)

    return draw, 5


def _scattered(rng: np.random.Generator) -> tuple[Layout, int]:
    """Separate or touching objects: background, body, rim and nucleus or holes."""
    radius = log_uniform(rng, 2.5, 60)
    spread = rng.uniform(0.05, 0.5)
    spacing = radius * rng.uniform(1.7, 5)
    keep = rng.uniform(0.25, 0.95)
    roughness = rng.uniform(0, 0.3)
    lobes = rng.uniform(0.5, 2.5)
    elongation = rng.uniform(1, 2.5) if rng.random() < 0.6 else 1.0
    rim = rng.uniform(0.08, 0.3) if rng.random() < 0.5 else 0.0
    core = rng.uniform(0.2, 0.6) if rng.random() < 0.4 else 0.0
    fixed_angle = rng.uniform(0, np.pi) if rng.random() < 0.3 else None
    second_kind = rng.random() < 0.3

    def draw(rng: np.random.Generator, size: int) -> Scene:
        seeds = _seeds(rng, size, spacing)
        seeds = seeds[rng.random(len(seeds)) < keep]
        if len(seeds) == 0:
            seeds = np.full((1, 2), size / 2, np.float32)
        y, x = warp_grid(rng, size, roughness * radius, max(4.0, radius * lobes))
        tree = cKDTree(seeds)
        k = min(3, len(seeds))
        points = np.stack([y, x], axis=-1)
        _, index = tree.query(points.reshape(-1, 2), k=k)
        index = np.reshape(index, (size, size, k))
        radii = radius * np.exp(spread * rng.standard_normal(len(seeds)))
        angle = np.full(len(seeds), fixed_angle or 0.0)
        if fixed_angle is None:
            angle = rng.uniform(0, np.pi, len(seeds))
        stretch = 1 + (elongation - 1) * rng.uniform(0.5, 1, len(seeds))
        offset = points[:, :, None] - seeds[index]
        along = offset[..., 0] * np.sin(angle[index]) + offset[..., 1] * np.cos(
            angle[index]
        )
        across = offset[..., 0] * np.cos(angle[index]) - offset[..., 1] * np.sin(
            angle[index]
        )
        scale = radii[index] * np.sqrt(stretch[index])
        reach = np.hypot(along / scale, across * stretch[index] / scale)
        best = reach.argmin(axis=-1)[..., None]
        depth = 1 - np.take_along_axis(reach, best, -1)[..., 0]
        ids = np.take_along_axis(index, best, -1)[..., 0].astype(np.int32)
        kind = rng.random(len(seeds)) < 0.5
        parts = np.zeros((size, size), np.uint8)
        parts[depth > 0] = 1
        if rim:
            parts[(depth > 0) & (depth < rim)] = 2
        if core:
            parts[depth > 1 - core] = 3
        if second_kind:
            parts[(depth > 0) & kind[ids]] = 4
        height = np.sqrt(np.clip(depth, 0, 1)).astype(np.float32)
        return Scene(parts, height, np.where(depth > 0, ids + 1, 0).astype(np.int32))

    return draw, 5


def _blobs(rng: np.random.Generator) -> tuple[Layout, int]:
    """Level sets of noise: irregular spots, sheets and holes."""
    period = log_uniform(rng, 6, 90)
    bandwidth = rng.uniform(0.25, 0.7)
    levels = np.sort(rng.uniform(-1.2, 1.8, int(rng.integers(1, 4))))

    def draw(rng: np.random.Generator, size: int) -> Scene:
        field = band_noise(rng, size, period, bandwidth=bandwidth)
        parts = np.digitize(field, levels).astype(np.uint8)
        top = field - levels[0]
        objects, _ = ndimage.label(parts > 0)
        return Scene(parts, np.clip(top / 2, 0, 1).astype(np.float32), objects)

    return draw, len(levels) + 1


def _filaments(rng: np.random.Generator) -> tuple[Layout, int]:
    """Thin curves: zero crossings of noise, where another noise lets them be."""
    period = log_uniform(rng, 16, 120)
    width = rng.uniform(0.8, 5)
    share = rng.uniform(-0.8, 1.0)
    second = rng.random() < 0.3
    angle = rng.uniform(0, np.pi) if rng.random() < 0.4 else None

    def lines(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
        field = band_noise(rng, size, period, bandwidth=0.3, angle=angle)
        gy, gx = np.gradient(field)
        distance = np.abs(field) / (np.hypot(gy, gx) + 1e-3)
        mask = band_noise(rng, size, 1.5 * period)
        return distance.astype(np.float32), mask

    def draw(rng: np.random.Generator, size: int) -> Scene:
        distance, mask = lines(rng, size)
        thickness = width * np.clip(1 + 0.5 * mask, 0.4, 2)
        parts = ((distance < thickness / 2) & (mask > share - 1)).astype(np.uint8)
        if second:
            other, mask = lines(rng, size)
            parts[(other < width) & (mask > 0)] = 2
        height = np.clip(1 - distance / width, 0, 1)
        objects, _ = ndimage.label(parts > 0)
        return Scene(parts, height.astype(np.float32), objects)

    return draw, 3


def _tree(rng: np.random.Generator) -> tuple[Layout, int]:
    """Branching vessels or neurites that taper, on an empty field."""
    n_roots = int(rng.integers(2, 7))
    width = rng.uniform(2, 9)
    bend = rng.uniform(0.003, 0.03)
    fork = rng.uniform(0.003, 0.012)
    somata = rng.uniform(1.5, 3) if rng.random() < 0.3 else 0.0

    def draw(rng: np.random.Generator, size: int) -> Scene:
        radius = np.zeros((size, size), np.float32)
        tips = [
            (*rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi), width)
            for _ in range(n_roots)
        ]
        starts = [tip[:2] for tip in tips]
        n_steps = 0
        while tips and n_steps < 6000:
            y, x, angle, w = tips.pop()
            turn = 0.0
            while 0 <= y < size and 0 <= x < size and w > 0.7 and n_steps < 6000:
                n_steps += 1
                cell = int(y), int(x)
                radius[cell] = max(radius[cell], w / 2)
                turn = 0.9 * turn + bend * rng.standard_normal()
                angle += turn
                y, x, w = y + np.sin(angle), x + np.cos(angle), w * 0.9985
                if rng.random() < fork:
                    side = rng.choice((-1, 1)) * rng.uniform(0.4, 1.1)
                    tips.append((y, x, angle + side, w * rng.uniform(0.5, 0.9)))
        distance, (iy, ix) = ndimage.distance_transform_edt(
            radius == 0, return_indices=True
        )
        reach = radius[iy, ix]
        parts = (distance <= np.maximum(reach - 0.5, 0)).astype(np.uint8)
        if somata:
            yy, xx = np.mgrid[:size, :size]
            for y, x in starts:
                parts[np.hypot(yy - y, xx - x) < somata * width] = 2
        height = np.clip(1 - distance / np.maximum(reach, 1), 0, 1).astype(np.float32)
        objects, _ = ndimage.label(parts > 0)
        return Scene(parts, height, objects)

    return draw, 3


def _regions(rng: np.random.Generator) -> tuple[Layout, int]:
    """Return a patchwork of regions that differ in texture or brightness."""
    n_parts = int(rng.integers(2, 5))
    period = log_uniform(rng, 30, 220)

    def draw(rng: np.random.Generator, size: int) -> Scene:
        fields = [band_noise(rng, size, period) for _ in range(n_parts)]
        parts = np.argmax(fields, axis=0).astype(np.uint8)
        return Scene(parts, np.ones((size, size), np.float32), parts.astype(np.int32))

    return draw, n_parts


def _rings(rng: np.random.Generator) -> tuple[Layout, int]:
    """Sheathed objects: background, sheath, inside, and a spot within."""
    spacing = log_uniform(rng, 12, 90)
    size_of = rng.uniform(0.25, 0.48)
    sheath = rng.uniform(0.12, 0.5)
    wobble = rng.uniform(0.03, 0.2)
    variation = rng.uniform(0.1, 0.45)
    spot = rng.uniform(0.1, 0.4) if rng.random() < 0.4 else 0.0

    def draw(rng: np.random.Generator, size: int) -> Scene:
        centre, border, ids, _ = _voronoi(rng, size, spacing, wobble)
        per_cell = np.exp(variation * rng.standard_normal(ids.max() + 1))
        radius = size_of * spacing * np.minimum(per_cell, 2.0)[ids]
        depth = np.minimum((radius - centre) / radius, 2 * border / radius)
        parts = np.zeros((size, size), np.uint8)
        parts[depth > 0] = 1
        parts[depth > sheath] = 2
        if spot:
            parts[depth > 1 - spot] = 3
        height = np.clip(depth, 0, 1).astype(np.float32)
        return Scene(parts, height, np.where(depth > 0, ids + 1, 0).astype(np.int32))

    return draw, 4
