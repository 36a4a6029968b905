"""Rendering: how the parts of a layout look, the same way in both images of a task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tools.pretrain.fields import Floats, band_noise, log_uniform, smooth
from tools.pretrain.layouts import Scene

__all__ = ["Appearance"]


@dataclass(frozen=True)
class _Texture:
    """Texture of one part: strength, period (px), angle or None, and kind."""

    amplitude: float
    period_px: float
    angle: float | None
    kind: str


@dataclass(frozen=True, eq=False)
class Appearance:
    """How a task looks, in C channels; `draw` once, `render` each image."""

    means: Floats  # (P, C)
    textures: tuple[_Texture, ...]
    tints: Floats  # (P, C), of the textures
    object_spread: float
    shading: Floats  # (P,), brighter or darker towards the middle of objects
    edge: float
    relief: float
    relief_angle: float
    halo: float
    halo_px: float
    blur_px: float
    illumination: float
    noise: float
    shot: float
    gamma: float
    spots: float

    @classmethod
    def draw(
        cls, rng: np.random.Generator, n_parts: int, n_channels: int
    ) -> Appearance:
        """Draw a random appearance for ``n_parts`` parts."""
        contrast = log_uniform(rng, 0.15, 1.0)
        means = rng.uniform(-1, 1, (n_parts, n_channels)) * contrast
        if n_channels > 1 and rng.random() < 0.6:  # stains: brightness and hue together
            shade = rng.uniform(-1, 1, (n_parts, 1))
            means = contrast * (0.7 * shade + 0.4 * rng.uniform(-1, 1, means.shape))
        textures = tuple(_draw_texture(rng) for _ in range(n_parts))
        if rng.random() < 0.4:  # one texture everywhere: only brightness tells
            textures = (textures[0],) * n_parts

        def some(chance: float, low: float, high: float) -> float:
            return float(rng.uniform(low, high)) if rng.random() < chance else 0.0

        return cls(
            means=means.astype(np.float32),
            textures=textures,
            tints=rng.uniform(0.3, 1, (n_parts, n_channels)).astype(np.float32),
            object_spread=some(0.6, 0.03, 0.4),
            shading=(some(0.6, -0.6, 0.6) * rng.uniform(0, 1, n_parts)).astype(
                np.float32
            ),
            edge=some(0.4, -0.6, 0.6),
            relief=some(0.2, 0.4, 2.5),
            relief_angle=float(rng.uniform(0, 2 * np.pi)),
            halo=some(0.25, 0.3, 1.0),
            halo_px=log_uniform(rng, 3, 25),
            blur_px=some(0.8, 0.3, 2.5),
            illumination=some(0.6, 0.05, 0.4),
            noise=log_uniform(rng, 0.005, 0.35),
            shot=some(0.5, 0.02, 0.3),
            gamma=log_uniform(rng, 0.6, 1.7),
            spots=some(0.3, 0.1, 1.0),
        )

    def render(self, rng: np.random.Generator, scene: Scene) -> Floats:
        """Return an image (S, S, C) of a scene, each a little different from the next.

        Exposure, illumination and noise differ between images of one task as they do
        between real ones.
        """
        size = len(scene.parts)
        jitter = 1 + 0.06 * rng.standard_normal(self.means.shape)
        image = (self.means * jitter).astype(np.float32)[scene.parts]
        n_objects = int(scene.objects.max()) + 1
        spread = self.object_spread * rng.standard_normal(n_objects)
        spread[0] = 0.0
        image *= 1 + spread.astype(np.float32)[scene.objects][..., None]
        image += (self.shading[scene.parts] * scene.height)[..., None]
        for texture in dict.fromkeys(self.textures):  # a set has another order each run
            mask = np.zeros(scene.parts.shape, np.float32)
            for part, own in enumerate(self.textures):
                if own == texture:
                    mask += scene.parts == part
            if texture.amplitude and mask.any():
                field = _field(rng, size, texture) * mask
                image += field[..., None] * self.tints[scene.parts]
        if self.edge:
            image += self.edge * _edges(scene.parts)[..., None]
        if self.relief:
            image += self._relief(scene.height)[..., None]
        if self.spots:
            image += self.spots * _debris(rng, size)[..., None]
        return self._expose(rng, image)

    def _relief(self, height: Floats) -> Floats:
        """Return the shading of differential interference contrast."""
        gy, gx = np.gradient(smooth(height, 1.5))
        slope = gy * np.sin(self.relief_angle) + gx * np.cos(self.relief_angle)
        return (4 * self.relief * slope).astype(np.float32)

    def _expose(self, rng: np.random.Generator, image: Floats) -> Floats:
        size = len(image)
        if self.halo:  # as in phase contrast
            low = ndimage.gaussian_filter(image, (self.halo_px, self.halo_px, 0))
            image = image - self.halo * low
        blur = self.blur_px * rng.uniform(0.8, 1.2)
        if blur > 0.1:
            image = ndimage.gaussian_filter(image, (blur, blur, 0))
        if self.illumination:
            slow = band_noise(rng, size, 1.5 * size)
            image = image + self.illumination * slow[..., None] * rng.uniform(0, 1)
        low, high = image.min(), image.max()
        unit = ((image - low) / max(float(high - low), 1e-6)) ** self.gamma
        sigma = self.noise * rng.uniform(0.7, 1.3)
        sigma = np.sqrt(sigma**2 + (self.shot**2) * unit / 4) / 2
        grain = rng.standard_normal(unit.shape).astype(np.float32)
        return (unit + sigma * grain).astype(np.float32)


def _draw_texture(rng: np.random.Generator) -> _Texture:
    kind = str(rng.choice(["smooth", "smooth", "granular", "none"]))
    return _Texture(
        amplitude=0.0 if kind == "none" else log_uniform(rng, 0.05, 0.6),
        period_px=log_uniform(rng, 2.5, 30),
        angle=float(rng.uniform(0, np.pi)) if rng.random() < 0.25 else None,
        kind=kind,
    )


def _field(rng: np.random.Generator, size: int, texture: _Texture) -> Floats:
    field = band_noise(rng, size, texture.period_px, angle=texture.angle)
    if texture.kind == "granular":  # sparse bright grains
        field = np.maximum(field - 0.8, 0) * 2
    return (texture.amplitude * field).astype(np.float32)


def _edges(parts: NDArray[np.uint8]) -> Floats:
    """Return 1 where two parts meet, fading within two pixels."""
    differs = np.zeros(parts.shape, np.float32)
    differs[1:] += parts[1:] != parts[:-1]
    differs[:, 1:] += parts[:, 1:] != parts[:, :-1]
    return smooth(np.minimum(differs, 1), 0.8)


def _debris(rng: np.random.Generator, size: int) -> Floats:
    """Return a few bright spots and threads that belong to no class."""
    field = np.zeros((size, size), np.float32)
    n = int(rng.integers(1, 15))
    ys, xs = rng.integers(0, size, (2, n))
    field[ys, xs] = rng.uniform(10, 40, n)
    return smooth(field, float(rng.uniform(1, 4)))
