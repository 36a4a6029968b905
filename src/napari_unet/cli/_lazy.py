"""An array that stays on disk, read part by part; damage is one sentence."""

from __future__ import annotations

import logging
import math
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import FileError

__all__ = ["LazyArray"]


class LazyArray:
    """Reads a zarr array where it is sliced.

    Parameters
    ----------
    path
        The file or folder, for messages.
    array
        The zarr array.
    kept
        Which of its axes are looked at; the others have a length of 1. None: all.
    close
        Called when nobody looks at it any more.
    coarser
        The same image at lower resolutions, the finest first.
    """

    def __init__(
        self,
        path: Path,
        array: Any,
        kept: Sequence[bool] | None = None,
        close: Callable[[], None] | None = None,
        coarser: Sequence[LazyArray] = (),
    ) -> None:
        self._path, self._array = path, array
        self._kept = kept or [True] * len(array.shape)
        sizes = zip(array.shape, self._kept, strict=True)
        self.shape = tuple(int(n) for n, is_kept in sizes if is_kept)
        self.dtype = np.dtype(array.dtype)
        self.coarser = tuple(coarser)
        if close is not None:
            weakref.finalize(self, close)
        # zarr reads chunks side by side, and each that fails after the first would
        # print its traceback
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __getitem__(self, place: Any) -> NDArray[Any]:
        parts = () if place is Ellipsis else place
        parts = list(parts if isinstance(parts, tuple) else (parts,))
        parts += [slice(None)] * (self.ndim - len(parts))
        whole = tuple(parts.pop(0) if is_kept else 0 for is_kept in self._kept)
        try:
            return np.asarray(self._array[whole])
        except MemoryError:
            raise
        except Exception as error:  # decoders of damaged chunks raise anything there is
            detail = str(error).strip().splitlines()
            raise FileError(
                f"{self._path} cannot be read; it is damaged or incomplete"
                + (f" ({detail[0][:120]})" if detail else "")
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)
