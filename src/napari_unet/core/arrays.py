"""Images as stacks of planes, read lazily: axes, mirrored borders, content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import FileError, ImageError, NapariUnetError

__all__ = ["PlaneStack", "check_axes", "fingerprint", "guess_axes"]

_LEADING = {0: "", 1: "Z", 2: "TZ"}


def guess_axes(
    shape: tuple[int, ...], annotation_shape: tuple[int, ...] | None = None
) -> str:
    """Name the axes of an image from its shape and, where known, its annotation's.

    Parameters
    ----------
    shape
        Shape of the image.
    annotation_shape
        Shape of its annotation, which has every axis but the channels. Without it, a
        last axis of 3 or 4 behind longer ones is taken for RGB(A).

    Returns
    -------
    str
        One of ``"YX"``, ``"YXC"``, ``"CYX"``, ``"ZYX"``, ``"ZYXC"``, ``"TZYX"``, ...

    Raises
    ------
    ImageError
        If the image has fewer than two or more than four spatial and time axes, or the
        annotation's shape is not the image's without one axis.
    """
    channel: int | None = None
    if annotation_shape is not None and tuple(annotation_shape) != tuple(shape):
        # the last axis first, as RGB has it, then the first, then those between
        order = [len(shape) - 1, *range(len(shape) - 1)]
        wanted = tuple(annotation_shape)
        fits = [p for p in order if shape[:p] + shape[p + 1 :] == wanted]
        if len(wanted) < 2 or not fits:
            raise ImageError(
                f"the annotation has the shape {tuple(annotation_shape)} and the image "
                f"{tuple(shape)}: they must be equal, but for a channel axis"
            )
        channel = fits[0]
    elif annotation_shape is None and _looks_like_rgb(shape):
        channel = len(shape) - 1
    n_spatial = len(shape) - (channel is not None)
    if n_spatial - 2 not in _LEADING:
        raise ImageError(
            f"an image of shape {tuple(shape)} has {n_spatial} axes beside channels; "
            "2 to 4 (such as YX, ZYX, TZYX) can be used"
        )
    axes = list(_LEADING[n_spatial - 2] + "YX")
    if channel is not None:
        axes.insert(channel, "C")
    return "".join(axes)


def _looks_like_rgb(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) > 4


class PlaneStack:
    """Any image as planes of shape (C, Y, X), read lazily and never copied whole.

    Parameters
    ----------
    image
        NumPy, dask or zarr array (anything with ``shape``, ``dtype`` and slicing).
    axes
        One letter per axis, from TCZYX, Y before X. None: see `guess_axes`.
    annotation_shape
        Shape of the label array where it is known; helps to guess the axes.

    Raises
    ------
    ImageError
        If axes and shape do not fit, an axis is empty, or the dtype is not real. A lazy
        image that cannot be read is a `FileError`, whenever it is read.
    """

    factor = 1
    """Pixels of the image along Y and X for one of these; more when it is coarser."""
    n_read = 1
    """Pixels that are read along Y and X for one of these."""

    def __init__(
        self,
        image: Any,
        axes: str | None = None,
        annotation_shape: tuple[int, ...] | None = None,
    ) -> None:
        if not hasattr(image, "shape") or not hasattr(image, "dtype"):
            image = np.asarray(image)
        shape = tuple(int(n) for n in image.shape)
        axes = guess_axes(shape, annotation_shape) if axes is None else axes.upper()
        _check_axes(axes, shape)
        if np.dtype(image.dtype).kind not in "buif":
            raise ImageError(
                f"the image has the dtype {image.dtype}; use integers or real numbers"
            )
        self.image = image
        self.axes = axes
        self.spatial_axes = axes.replace("C", "")
        self.spatial_shape = tuple(
            n for n, a in zip(shape, axes, strict=True) if a != "C"
        )
        self.plane_shape = (self.spatial_shape[-2], self.spatial_shape[-1])
        self.leading_shape = self.spatial_shape[:-2]
        self.n_planes = int(np.prod(self.leading_shape, dtype=int))
        n_channels = shape[axes.index("C")] if "C" in axes else 1
        # RGBA: transparency is no measurement
        is_rgba = n_channels == 4 and axes.endswith("C") and image.dtype == np.uint8
        self.n_channels = 3 if is_rgba else n_channels
        if annotation_shape is not None and self.spatial_shape != annotation_shape:
            raise ImageError(
                f"the annotation has the shape {annotation_shape}, but an image of "
                f"shape {shape} with axes {axes} needs {self.spatial_shape}"
            )

    def index(self, plane: int) -> tuple[int, ...]:
        """Return the leading index of a plane in the label array; ``()`` in 2D."""
        return tuple(
            int(i) for i in np.unravel_index(plane, self.leading_shape or (1,))
        )[: len(self.leading_shape)]

    def plane_of(self, index: tuple[int, ...]) -> int:
        """Return the number of the plane at a leading index."""
        if not self.leading_shape:
            return 0
        return int(np.ravel_multi_index(index, self.leading_shape))

    @property
    def has_z(self) -> bool:
        """Whether planes lie above each other."""
        return "Z" in self.axes

    @property
    def n_z(self) -> int:
        """Planes of one volume."""
        axes = self.spatial_axes
        return self.spatial_shape[axes.index("Z")] if self.has_z else 1

    def planes_along_z(self, plane: int, start: int, stop: int) -> list[int]:
        """Return the planes from ``start`` to before ``stop`` above a plane.

        Counted from the plane, negative below; mirrored at the ends of its volume: of
        other time points there are none.
        """
        index = list(self.index(plane))
        if not self.has_z:
            return [plane] * (stop - start)
        axis = self.spatial_axes.index("Z")
        z = index[axis]
        found = []
        for other in _mirror(z + start, z + stop, self.n_z):
            index[axis] = int(other)
            found.append(self.plane_of(tuple(index)))
        return found

    def read(
        self, plane: int, y0: int, y1: int, x0: int, x1: int
    ) -> NDArray[np.float32]:
        """Read a rectangle of a plane, mirrored where it lies beyond the border.

        Returns
        -------
        ndarray of float32, shape (C, y1 - y0, x1 - x0)
            Raw values.
        """
        rows = _mirror(y0, y1, self.plane_shape[0])
        columns = _mirror(x0, x1, self.plane_shape[1])
        top, left = int(rows.min()), int(columns.min())
        block = self._block(
            plane,
            slice(top, int(rows.max()) + 1),
            slice(left, int(columns.max()) + 1),
        )
        height, width = self.plane_shape
        if y0 < 0 or x0 < 0 or y1 > height or x1 > width:
            block = block[:, rows - top][:, :, columns - left]
        return np.ascontiguousarray(block)

    def sample(
        self, plane: int, rows: slice, step: tuple[int, int]
    ) -> NDArray[np.float32]:
        """Read some pixels of some rows, each chunk of a lazy image at most once.

        Returns
        -------
        ndarray of float32, shape (C, h, w)
            Every ``step[0]``-th of ``rows``, of these every ``step[1]``-th pixel.
        """
        picked = slice(rows.start, rows.stop, step[0])
        return self._block(plane, picked, slice(0, self.plane_shape[1], step[1]))

    def _block(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Read slices within a plane, shape (C, h, w)."""
        leading = iter(self.index(plane))
        slices = {"Y": rows, "X": columns, "C": slice(0, self.n_channels)}
        where = tuple(slices[a] if a in slices else next(leading) for a in self.axes)
        block = self._read(where)
        kept = "".join(a for a in self.axes if a in slices)
        if "C" not in kept:
            block, kept = block[None], "C" + kept
        block = block.transpose([kept.index(a) for a in "CYX"])
        # beyond float32 becomes infinite, which is handled
        with np.errstate(over="ignore", invalid="ignore"):
            return np.ascontiguousarray(block, dtype=np.float32)

    def whole(self) -> NDArray[Any]:
        """Read all of the image, in its own shape and dtype.

        Raises
        ------
        FileError
            If it cannot be read.
        """
        return self._read(...)

    def _read(self, where: Any) -> NDArray[Any]:
        """Read a part; what a reader of files raises becomes one sentence."""
        if isinstance(self.image, np.ndarray):
            return np.asarray(self.image[where])
        try:
            return np.asarray(self.image[where])
        except (NapariUnetError, MemoryError):
            raise
        except Exception as error:  # of whatever library reads it
            what = str(error) or type(error).__name__
            raise FileError(
                f"the image of shape {tuple(self.image.shape)} could not be read "
                f"({what}): see that its file and drive are there and whole"
            ) from error


def _check_axes(axes: str, shape: tuple[int, ...]) -> None:
    check_axes(axes)
    if len(axes) != len(shape):
        raise ImageError(
            f"axes {axes!r} do not fit an image of shape {shape}: give one of the "
            "letters T, C, Z, Y, X per axis"
        )
    if min(shape) == 0:
        raise ImageError(f"the image has the shape {shape}: one of its axes is empty")


def check_axes(axes: str) -> None:
    """Raise an `ImageError` unless these letters can name an image's axes."""
    if not set(axes) <= set("TCZYX") or len(set(axes)) != len(axes):
        raise ImageError(
            f"axes {axes!r}: give each of the letters T, C, Z, Y, X at most once"
        )
    if not axes.replace("C", "").endswith("YX"):
        raise ImageError(
            f"axes {axes!r}: Y and X must come last among the axes beside channels"
        )


def _mirror(start: int, stop: int, n: int) -> NDArray[np.intp]:
    """Return indices start..stop folded back into 0..n-1 at both borders."""
    indices = np.arange(start, stop)
    if start >= 0 and stop <= n:
        return indices
    if n == 1:
        return np.zeros_like(indices)
    period = 2 * (n - 1)
    folded = np.abs(indices) % period
    return np.where(folded >= n, period - folded, folded)


def fingerprint(stack: PlaneStack) -> str:
    """Return a name for an image's content: equal pixels give equal names.

    Images beyond about 16 million pixels are told apart by a regular sample of rows.
    """
    digest = hashlib.blake2b(digest_size=12)
    head = (stack.axes, tuple(stack.image.shape), str(stack.image.dtype))
    digest.update(repr(head).encode())
    if stack.image.size <= 2**24:
        digest.update(np.ascontiguousarray(stack.whole()).tobytes())
        return digest.hexdigest()
    height = stack.plane_shape[0]
    for plane in np.unique(np.linspace(0, stack.n_planes - 1, 16).astype(int)):
        rows = stack.sample(int(plane), slice(0, height), (max(height // 64, 1), 1))
        digest.update(rows.tobytes())
    return digest.hexdigest()
