"""Several arrays as the channels of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ImageError

__all__ = ["StackedChannels"]


class StackedChannels:
    """Arrays of one shape, read together along a new first axis; nothing is copied.

    Viewers and microscopes keep each channel as an image of its own.

    Parameters
    ----------
    arrays
        At least one array (..., Y, X): NumPy, dask or zarr, all of one shape.

    Attributes
    ----------
    shape
        (C, ..., Y, X).
    dtype
        A type that holds the values of all.
    coarser
        The coarser levels (`napari_unet.core.coarse.Pyramid`) that all of them have.

    Raises
    ------
    ImageError
        If their shapes differ.
    """

    def __init__(self, arrays: Sequence[Any]) -> None:
        shapes = [tuple(int(n) for n in array.shape) for array in arrays]
        if len(set(shapes)) != 1:
            raise ImageError(
                f"channels of the shapes {', '.join(map(str, dict.fromkeys(shapes)))}: "
                "those of one image must have the same"
            )
        self.arrays = tuple(arrays)
        self.shape = (len(self.arrays), *shapes[0])
        self.dtype = np.result_type(*(np.dtype(array.dtype) for array in arrays))
        levels = zip(*(getattr(array, "coarser", ()) for array in arrays), strict=False)
        self.coarser = tuple(StackedChannels(level) for level in levels)

    @property
    def ndim(self) -> int:
        """Number of axes, with that of the channels."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=int))

    def __getitem__(self, where: Any) -> NDArray[Any]:
        """Read a part; the first index is an integer or a slice of the channels."""
        place = where if isinstance(where, tuple) else (where,)
        channels, rest = place[0], place[1:]
        if channels is Ellipsis:
            channels, rest = slice(None), place
        if not isinstance(channels, slice):
            return np.asarray(self.arrays[channels][rest]).astype(self.dtype)
        parts = [np.asarray(array[rest]) for array in self.arrays[channels]]
        return np.stack(parts).astype(self.dtype)
