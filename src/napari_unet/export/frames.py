"""Labels and their image as frames that are measured one by one, read in parts.

A frame is a plane or a volume at one time point. It is never read whole where it is
large.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack, check_axes
from napari_unet.errors import FileError, ImageError, NapariUnetError

__all__ = ["BLOCK_PX", "Frames", "Part", "blocks_of"]

BLOCK_PX = 2**24
"""Pixels that are read at once, about."""

_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}
Part = tuple[slice, ...]


class Frames:
    """The frames of a label image, and of the image that they were found in.

    Parameters
    ----------
    labels
        Integers of 0 or more, or bool: NumPy, dask or zarr array.
    image
        Array with the axes of the labels, channels beside them; None: no intensities.
    axes
        One letter of TZYX per axis of ``labels``; by default those of the image, else
        YX, ZYX, TZYX.
    image_axes
        One letter of TCZYX per axis of ``image``; None: found from the shapes.
    by_plane
        Whether each plane of a z stack is a frame, instead of each volume.

    Raises
    ------
    ImageError
        If labels are no whole numbers, or axes or shapes do not fit.
    """

    def __init__(
        self,
        labels: Any,
        image: Any = None,
        *,
        axes: str | None = None,
        image_axes: str | None = None,
        by_plane: bool = False,
    ) -> None:
        self._labels = _checked(labels)
        if axes is None and image_axes is not None:
            axes = image_axes.upper().replace("C", "")
        self.axes = _label_axes(axes, self._labels.shape)
        n_leading = len(self.axes) - (3 if "Z" in self.axes and not by_plane else 2)
        self.frame_axes = self.axes[n_leading:]
        """Axes within a frame: YX or ZYX."""
        self.by_plane = by_plane
        self.whole_shape = shape = tuple(int(n) for n in self._labels.shape)
        self.shape = shape[n_leading:]
        """Shape of a frame."""
        self.leading_axes, self._leading = self.axes[:n_leading], shape[:n_leading]
        self._image: _Image | None = None
        if image is not None:
            self._image = _Image(PlaneStack(image, image_axes, shape), self.axes)

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        """Yield the indices of the frames."""
        return iter(np.ndindex(*self._leading))

    def __len__(self) -> int:
        return math.prod(self._leading)

    @property
    def n_channels(self) -> int:
        """Channels of the image; 0 without one."""
        return 0 if self._image is None else self._image.stack.n_channels

    @property
    def is_rgb(self) -> bool:
        """Whether the channels are the colours of a picture."""
        return self._image is not None and self._image.is_rgb

    def labels(self, index: tuple[int, ...], part: Part) -> NDArray[Any]:
        """Read labels of a part of a frame."""
        values = _read(self._labels, (*index, *part), "the labels")
        if values.dtype.kind == "i" and values.min(initial=0) < 0:
            raise ImageError(f"labels must be 0 or more; one is {values.min()}")
        return values.astype(np.uint8) if values.dtype.kind == "b" else values

    def image(self, index: tuple[int, ...], part: Part) -> NDArray[Any]:
        """Read a part of a frame of the image, (C, ...); C is 0 without one."""
        if self._image is None:
            return np.empty((0, *(p.stop - p.start for p in part)))
        where: tuple[int | slice, ...] = (*index, *part)
        places = dict(zip(self.axes, where, strict=True))
        return self._image.read(places)


@dataclass(frozen=True)
class _Image:
    """An image by the letters that its labels give to the axes."""

    stack: PlaneStack
    label_axes: str

    @property
    def is_rgb(self) -> bool:
        """Whether the channels come last, and are three."""
        return self.stack.axes.endswith("C") and self.stack.n_channels == 3

    def read(self, places: dict[str, int | slice]) -> NDArray[Any]:
        """Read a part, channels first."""
        letters = iter(self.label_axes)
        axes = "".join(a if a == "C" else next(letters) for a in self.stack.axes)
        places = {"C": slice(0, self.stack.n_channels), **places}
        block = _read(self.stack.image, tuple(places[a] for a in axes), "the image")
        if "C" not in axes:
            return block[None]
        kept = [a for a in axes if isinstance(places[a], slice)]
        return np.moveaxis(block, kept.index("C"), 0)


def blocks_of(shape: Sequence[int], most_px: int | None = None) -> Iterator[Part]:
    """Yield the parts of a frame, of ``most_px`` pixels or fewer (`BLOCK_PX`).

    They are slabs of whole planes where a plane is not larger, else tiles of one.
    """
    most_px = most_px or BLOCK_PX
    side = max(1, math.isqrt(most_px))
    sizes = [min(int(n), side) for n in shape[-2:]]
    if math.prod(shape[-2:]) <= most_px:
        sizes = [int(n) for n in shape[-2:]]
    if len(shape) == 3:
        sizes.insert(0, max(1, most_px // max(1, math.prod(sizes))))
    starts = [range(0, int(n), size) for n, size in zip(shape, sizes, strict=True)]
    for start in itertools.product(*starts):
        ends = zip(start, sizes, shape, strict=True)
        yield tuple(slice(a, min(a + size, int(n))) for a, size, n in ends)


def _checked(labels: Any) -> Any:
    if not hasattr(labels, "shape") or not hasattr(labels, "dtype"):
        labels = np.asarray(labels)
    if np.dtype(labels.dtype).kind not in "bui":
        raise ImageError(
            f"labels must be integers, but their dtype is {labels.dtype}; measure the "
            "labels, and give probabilities or the image beside them"
        )
    return labels


def _label_axes(axes: str | None, shape: tuple[int, ...]) -> str:
    if axes is None and len(shape) not in _AXES:
        raise ImageError(
            f"labels of shape {tuple(shape)} have {len(shape)} axes; 2 to 4 can be "
            "measured"
        )
    axes = (axes or _AXES[len(shape)]).upper()
    check_axes(axes)
    if len(axes) != len(shape) or axes not in ("YX", "ZYX", "TYX", "TZYX"):
        raise ImageError(
            f"the axes '{axes}' do not fit labels of shape {tuple(shape)}: give YX, "
            "ZYX, TYX or TZYX"
        )
    if min(shape) == 0:
        raise ImageError(f"the labels have the shape {tuple(shape)}: an axis is empty")
    return axes


def _read(array: Any, place: tuple[int | slice, ...], what: str) -> NDArray[Any]:
    """Read a part; what a reader of files raises becomes one sentence."""
    try:
        return np.asarray(array[place])
    except (NapariUnetError, MemoryError):
        raise
    except Exception as error:  # of whatever library reads it
        if type(error).__module__.startswith("napari_unet"):
            raise  # ours, such as the wish to stop
        reason = str(error) or type(error).__name__
        raise FileError(
            f"{what} of shape {tuple(array.shape)} could not be read ({reason}): see "
            "that file and drive are there and whole"
        ) from error
