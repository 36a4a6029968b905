"""Images at a fraction of their resolution: means of blocks, read by the rectangle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack

__all__ = ["CoarseStack", "Pyramid", "area_mean"]

_MAX_BAND_VALUES = 2**24  # read at once, whatever the size of the rectangle


class Pyramid:
    """An image with coarser levels of itself; read like its finest one.

    Parameters
    ----------
    levels
        NumPy, dask or zarr arrays with the same axes, the finest first.

    Attributes
    ----------
    levels
        All of them.
    coarser
        All but the finest, where `CoarseStack` looks for them.
    shape, dtype
        Of the finest.
    """

    def __init__(self, levels: Sequence[Any]) -> None:
        self.levels = tuple(levels)
        self.coarser = self.levels[1:]
        self.shape = tuple(int(n) for n in levels[0].shape)
        self.dtype = np.dtype(levels[0].dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=int))

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """Read a part of the finest level."""
        return np.asarray(self.levels[0][where])


class CoarseStack(PlaneStack):
    """The planes of an image with one pixel for each block of ``factor`` px a side.

    A pixel is the mean of exactly its block, which is smaller at the far borders. Where
    the image has ``coarser`` levels (`Pyramid`) and one of them has ``factor``, that is
    read; else the mean of the nearest finer one. Nothing is read but what is asked for.

    Parameters
    ----------
    finer
        The image at its full resolution.
    factor
        Pixels along Y and along X that become one, a power of 2.
    """

    def __init__(self, finer: PlaneStack, factor: int) -> None:
        super().__init__(finer.image, finer.axes)
        self._level, of_level = _nearest_level(finer, factor)
        self.factor, self.n_read = factor, factor // of_level
        height, width = finer.plane_shape
        self.plane_shape = (-(-height // factor), -(-width // factor))
        self.spatial_shape = (*self.leading_shape, *self.plane_shape)

    def _block(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Read slices within a plane, shape (C, h, w), in bands of rows."""
        n_each = self.n_channels * self.n_read**2 * (columns.stop - columns.start)
        n_rows = max(1, _MAX_BAND_VALUES // n_each)
        bands = [
            self._mean(plane, slice(y, min(y + n_rows, rows.stop)), columns)
            for y in range(rows.start, rows.stop, n_rows)
        ]
        block = np.concatenate(bands, axis=1) if len(bands) > 1 else bands[0]
        picked = block[:, :: rows.step or 1, :: columns.step or 1]
        return np.ascontiguousarray(picked)

    def _mean(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return the means of a rectangle of blocks."""
        places, missing = [], []
        for span, n in zip((rows, columns), self._level.plane_shape, strict=True):
            # levels are often rounded down: their last pixel then stands for the rest
            last = -(-n // self.n_read)
            start, stop = min(span.start, last - 1), min(span.stop, last)
            places.append(slice(start * self.n_read, min(stop * self.n_read, n)))
            missing.append((0, span.stop - span.start - (stop - start)))
        mean = area_mean(self._level._block(plane, *places), self.n_read)
        if any(after for _, after in missing):
            mean = np.pad(mean, ((0, 0), *missing), mode="edge")
        return mean


def area_mean(block: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the means of blocks of ``n`` by ``n`` px, smaller at the far borders.

    Parameters
    ----------
    block
        Shape (C, h, w). What is not finite is left out of a mean, unless all is.
    n
        Side of a block (px).

    Returns
    -------
    ndarray of float32, shape (C, ceil(h / n), ceil(w / n))
    """
    if n == 1:
        return block
    total = _sum_blocks(block, n)
    count = _sum_blocks(np.ones((1, *block.shape[1:]), np.float32), n)
    if not np.isfinite(total).all():
        is_number = np.isfinite(block)
        total = _sum_blocks(np.where(is_number, block, np.float32(0)), n)
        count = _sum_blocks(is_number.astype(np.float32), n)
    with np.errstate(invalid="ignore"):  # 0 of 0 numbers: NaN
        mean: NDArray[np.float32] = total / count
    return mean


def _sum_blocks(block: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    # n large additions are several times as fast as many small ones
    rows = np.zeros((block.shape[0], -(-block.shape[1] // n), block.shape[2]), "f4")
    total = np.zeros((*rows.shape[:2], -(-block.shape[2] // n)), np.float32)
    with np.errstate(invalid="ignore"):  # infinite and minus infinite: NaN
        for first in range(n):
            part = block[:, first::n]
            rows[:, : part.shape[1]] += part
        for first in range(n):
            part = rows[:, :, first::n]
            total[:, :, : part.shape[2]] += part
    return total


def _nearest_level(finer: PlaneStack, factor: int) -> tuple[PlaneStack, int]:
    """Return the coarsest level that a factor can be made of, and its own factor."""
    axes, shape = finer.axes, finer.image.shape
    part = factor
    while part > 1:
        for level in getattr(finer.image, "coarser", ()):
            if len(level.shape) != len(shape):
                continue
            sizes = zip(axes, shape, level.shape, strict=True)
            if all(_is_part(axis, n, own, part) for axis, n, own in sizes):
                return PlaneStack(level, axes), part
        part //= 2
    return finer, 1


def _is_part(axis: str, n_px: int, n_own: int, factor: int) -> bool:
    """Whether an axis of a level is as long as the factor makes it, either rounded."""
    if axis not in "YX":
        return n_own == n_px
    return n_own in (n_px // factor, -(-n_px // factor)) and n_own > 0
