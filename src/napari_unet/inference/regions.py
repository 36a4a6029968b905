"""Where a map of numbers is highest, region by region, apart from what is excluded."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.inference.tiles import Tile

__all__ = ["BLOCK_PX", "REGION_PX", "block_means", "highest_region"]

BLOCK_PX = 16
"""Side of the blocks (px) of which a mean is kept: a slide of a thousand million pixels
then takes 16 MB."""
REGION_PX = 64
"""Side of a region (px): a few cells, or as much as a stroke or two cover. Smaller ones
are won by single odd pixels, larger ones hide what is unsure in them."""

_N = REGION_PX // BLOCK_PX
_APART = 1.5 * REGION_PX
Floats = NDArray[np.float32]


def block_means(values: Floats) -> Floats:
    """Return the mean of each block of `BLOCK_PX` a side; the last may be smaller.

    ``values`` has shape (h, w), the result (ceil(h / BLOCK_PX), ceil(w / BLOCK_PX)).
    """
    height, width = values.shape
    rows, columns = np.arange(0, height, BLOCK_PX), np.arange(0, width, BLOCK_PX)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    n_rows = np.diff(np.append(rows, height))
    n_columns = np.diff(np.append(columns, width))
    means: Floats = (sums / np.outer(n_rows, n_columns)).astype(np.float32)
    return means


def highest_region(
    means: Floats,
    is_painted: NDArray[np.bool_],
    taken: Iterable[Tile] = (),
    plane_shape: tuple[int, int] | None = None,
) -> tuple[Tile, float] | None:
    """Return the region of a plane with the highest mean, and that mean.

    Parameters
    ----------
    means
        Shape (rows, columns), one for each block; NaN where it is not known.
    is_painted
        The same shape: blocks that hold annotation. No region has one in its middle.
    taken
        Regions that are not wanted again, nor what overlaps them much: their centres
        stay 96 px away (non-maximum suppression).
    plane_shape
        Height and width of the plane (px), where the last blocks are smaller.

    Returns
    -------
    (Tile, float) or None
        None where nothing is left. A plane that is smaller than a region is one.
    """
    size = tuple(min(_N, n) for n in means.shape)
    is_known = np.isfinite(means)
    total = _window_sums(np.where(is_known, means, 0), size)
    n_known = _window_sums(is_known.astype(np.float32), size)
    near = ndimage.binary_dilation(is_painted, np.ones((3, 3), bool))
    middle = near[size[0] // 2 :, size[1] // 2 :][: total.shape[0], : total.shape[1]]
    is_free = ~middle & (n_known >= size[0] * size[1] / 2)
    height, width = plane_shape or (n * BLOCK_PX for n in means.shape)
    y = np.arange(total.shape[0])[:, None] * BLOCK_PX + size[0] * BLOCK_PX / 2
    x = np.arange(total.shape[1])[None] * BLOCK_PX + size[1] * BLOCK_PX / 2
    for tile in taken:
        centre = (tile.y0 + tile.y1) / 2, (tile.x0 + tile.x1) / 2
        is_free &= np.hypot(y - centre[0], x - centre[1]) >= _APART
    if not is_free.any():
        return None
    scores = np.where(is_free, total / np.maximum(n_known, 1), -1)
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    y0, x0 = int(row) * BLOCK_PX, int(column) * BLOCK_PX
    y1, x1 = y0 + size[0] * BLOCK_PX, x0 + size[1] * BLOCK_PX
    return Tile(y0, min(y1, height), x0, min(x1, width)), float(scores[row, column])


def _window_sums(values: NDArray[np.floating], size: tuple[int, ...]) -> Floats:
    """Return the sums of all windows of a size (rows, columns) that fit."""
    sums = np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    rows, columns = size
    found: Floats = (
        sums[rows:, columns:]
        - sums[:-rows, columns:]
        - sums[rows:, :-columns]
        + sums[:-rows, :-columns]
    ).astype(np.float32)
    return found
