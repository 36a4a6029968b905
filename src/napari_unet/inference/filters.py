"""Filter features of one tile: what the random forest sees.

scikit-image's multiscale intensity, edges and texture, the recipe of ilastik, Labkit
and the trainable segmentation of scikit-image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features

from napari_unet.core.source import ImageSource
from napari_unet.inference.tiles import Tile

__all__ = ["REACH_PX", "compute_filters", "count_filters"]

_SIGMA_MAX_PX = 16.0
REACH_PX = 72
"""How far around a tile the filters see: Gaussians are cut at four sigma, and the
Hessian then takes two differences."""


def count_filters(n_channels: int) -> int:
    """Return how many features an image with so many channels has."""
    n_scales = 5  # 1, 2, 4, 8 and 16 px: intensity, edges, two curvatures each
    return 4 * n_scales * n_channels


def compute_filters(source: ImageSource, plane: int, tile: Tile) -> NDArray[np.float32]:
    """Return the filter features of a tile, shape (G, h, w), scales 1 to 16 px.

    Computed with as much context as the filters reach: tiles join without seams.
    """
    height, width = source.stack.plane_shape
    y0, y1 = max(tile.y0 - REACH_PX, 0), min(tile.y1 + REACH_PX, height)
    x0, x1 = max(tile.x0 - REACH_PX, 0), min(tile.x1 + REACH_PX, width)
    # differences need two pixels an axis: a 1-pixel axis is mirrored
    y1, x1 = max(y1, y0 + 2), max(x1, x0 + 2)
    pixels = source.read(plane, y0, y1, x0, x1)
    features = multiscale_basic_features(  # type: ignore[no-untyped-call]
        pixels, sigma_min=1, sigma_max=_SIGMA_MAX_PX, channel_axis=0
    )
    top, left = tile.y0 - y0, tile.x0 - x0
    inner = features[top : top + tile.shape[0], left : left + tile.shape[1]]
    return np.ascontiguousarray(np.moveaxis(inner, -1, 0), dtype=np.float32)
