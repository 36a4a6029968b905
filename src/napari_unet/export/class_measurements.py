"""The rows of a table of classes, added up block by block."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_unet.export.frames import Frames, blocks_of
from napari_unet.export.object_measurements import Rows
from napari_unet.jobs import CancelToken, JobEvent, Progress

__all__ = ["class_rows"]


@dataclass
class _Sum:
    """What is known so far of a class; intensities have one number per channel."""

    n_channels: int
    n_pixels: int = 0
    mean: NDArray[np.float64] = field(init=False)
    squares: NDArray[np.float64] = field(init=False)
    low: NDArray[np.float64] = field(init=False)
    high: NDArray[np.float64] = field(init=False)
    total: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.mean, self.squares, self.total = np.zeros((3, self.n_channels))
        self.low = np.full(self.n_channels, np.inf)
        self.high = np.full(self.n_channels, -np.inf)

    def add(self, values: NDArray[np.float64]) -> None:
        """Take in pixels, (C, n).

        Means and squares are merged as by Chan, Golub and LeVeque (1983,
        doi:10.1080/00031305.1983.10483115): a sum of squares alone would lose the
        digits of a small spread on a high level.
        """
        n = values.shape[1]
        together = self.n_pixels + n
        mean = values.mean(axis=1)
        away = mean - self.mean
        self.squares += np.square(values - mean[:, None]).sum(axis=1)
        self.squares += np.square(away) * self.n_pixels * n / together
        self.mean += away * n / together
        self.total += values.sum(axis=1)
        self.low = np.minimum(self.low, values.min(axis=1))
        self.high = np.maximum(self.high, values.max(axis=1))
        self.n_pixels = together

    def numbers(
        self, names: Sequence[str], pixel_size: float, n_frame: int
    ) -> list[float]:
        """Return the columns of these quantities."""
        size = self.n_pixels * pixel_size
        known: dict[str, Sequence[float]] = {
            "n_pixels": [self.n_pixels],
            "area": [size],
            "volume": [size],
            "fraction": [self.n_pixels / n_frame],
            "intensity_mean": self.mean.tolist(),
            "intensity_min": self.low.tolist(),
            "intensity_max": self.high.tolist(),
            "intensity_std": np.sqrt(self.squares / self.n_pixels).tolist(),
            "intensity_sum": self.total.tolist(),
        }
        return [float(number) for name in names for number in known[name]]


def class_rows(
    token: CancelToken,
    frames: Frames,
    scale: tuple[float, ...],
    names: Sequence[str],
    background: Collection[int] = (),
) -> Generator[JobEvent, None, Rows | None]:
    """Measure every class of every frame; None where cancelled.

    Parameters
    ----------
    names
        Quantities, in the order of the columns.
    background
        Labels besides 0 that are left out.
    """
    keys: list[tuple[int, ...]] = []
    values: list[list[float]] = []
    n_frame, n_parts = math.prod(frames.shape), len(list(blocks_of(frames.shape)))
    pixel_size = math.prod(scale)
    for n_done, index in enumerate(frames):
        sums: dict[int, _Sum] = {}
        for n, part in enumerate(blocks_of(frames.shape), start=1):
            if token.cancelled:
                return None
            labels, image = frames.labels(index, part), frames.image(index, part)
            for value in np.unique(labels).tolist():
                if token.cancelled:  # objects that pass for classes are many
                    return None
                if value and value not in background:
                    inside = image[:, labels == value].astype(np.float64)
                    with np.errstate(invalid="ignore", over="ignore"):
                        sums.setdefault(value, _Sum(frames.n_channels)).add(inside)
            share = (n_done + n / n_parts) / len(frames)
            yield Progress(round(1000 * share), 1000, "measured")
        for value in sorted(sums):
            keys.append((*index, 0, value))
            values.append(sums[value].numbers(names, pixel_size, n_frame))
    return Rows.of(frames, keys, values)
