"""Random fields: what textures, illumination and irregular outlines are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

__all__ = ["Floats", "band_noise", "log_uniform", "smooth", "warp_grid"]

Floats = NDArray[np.float32]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform: sizes and strengths."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def band_noise(
    rng: np.random.Generator,
    size: int,
    period_px: float,
    *,
    bandwidth: float = 0.5,
    angle: float | None = None,
) -> Floats:
    """Return Gaussian noise around one period, shape (size, size), mean 0, variance 1.

    Parameters
    ----------
    rng
        Source of randomness.
    size
        Side in px.
    period_px
        Typical distance between maxima.
    bandwidth
        Spread of the periods, in units of their logarithm.
    angle
        Direction of a stripy texture in radians; None: the same in all directions.
    """
    fy = fft.fftfreq(size).astype(np.float32)[:, None]
    fx = fft.rfftfreq(size).astype(np.float32)[None]
    radius = np.sqrt(fy**2 + fx**2)
    radius[0, 0] = 1.0
    gain = np.exp(-0.5 * (np.log(radius * period_px) / bandwidth) ** 2)
    gain[0, 0] = 0.0
    if angle is not None:
        along = (fx * np.cos(angle) + fy * np.sin(angle)) / radius
        gain = gain * np.exp(-0.5 * ((1 - np.abs(along)) / 0.08) ** 2)
    white = rng.standard_normal((2, *gain.shape)).astype(np.float32)
    noise = fft.irfft2((white[0] + 1j * white[1]) * gain, s=(size, size))
    noise -= noise.mean()
    return (noise / max(float(noise.std()), 1e-6)).astype(np.float32)


def warp_grid(
    rng: np.random.Generator, size: int, amplitude_px: float, period_px: float
) -> tuple[Floats, Floats]:
    """Return pixel coordinates (y, x), each (size, size), bent by smooth noise."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    if amplitude_px > 0:
        y = y + amplitude_px * band_noise(rng, size, period_px)
        x = x + amplitude_px * band_noise(rng, size, period_px)
    return y, x


def smooth(field: Floats, sigma_px: float) -> Floats:
    """Blur by a Gaussian; nothing below a tenth of a pixel."""
    if sigma_px < 0.1:
        return field
    blurred: Floats = ndimage.gaussian_filter(field, sigma_px, mode="reflect")
    return blurred
