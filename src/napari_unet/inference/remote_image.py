"""An image as other processes come to it: opened there, or sent tile by tile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.coarse import Pyramid
from napari_unet.core.source import ImageSource, Normaliser
from napari_unet.errors import ImageError
from napari_unet.inference.predictor import Predictor
from napari_unet.inference.stream import SlabTile
from napari_unet.inference.tiles import Tile

__all__ = ["OpenImage", "RemoteImage", "SentPixels", "opener_of", "pixels_of"]

OpenImage = Callable[[], Any]
"""Opens an image where it is called; can be pickled."""

_SAMPLE_PX = 64


@dataclass(frozen=True, eq=False)
class SentPixels:
    """What a tile needs of an image: the same rectangle of some planes.

    Of the image as the predictor sees it, which may be coarser: ``planes`` maps numbers
    of planes to raw values (C, h, w), mirrored beyond the image's border; ``y0`` and
    ``x0`` are where they begin (px).
    """

    y0: int
    x0: int
    planes: Mapping[int, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class RemoteImage:
    """What a process must know of an image that it does not have.

    The normalisation comes with it: measured elsewhere, it might be another one.

    Attributes
    ----------
    key, axes, shape, dtype, anisotropy
        As of the image's `ImageSource` and its stack.
    factor, normaliser
        Of the image as the predictor sees it.
    open_image
        Opens it; None: what a tile needs is sent.
    sample
        Fingerprint of some of its pixels: the same path may be another file elsewhere.
    """

    key: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    anisotropy: float | None
    factor: int
    normaliser: Normaliser
    open_image: OpenImage | None
    sample: str

    @classmethod
    def of(
        cls, source: ImageSource, predictor: Predictor, open_image: OpenImage | None
    ) -> RemoteImage:
        """Return what is to be known of an image."""
        stack = source.stack
        seen, _ = predictor.window(source, Tile(0, 1, 0, 1))
        return cls(
            key=source.key,
            axes=stack.axes,
            shape=tuple(stack.image.shape),
            dtype=np.dtype(stack.image.dtype),
            anisotropy=source.anisotropy,
            factor=seen.stack.factor,
            normaliser=seen.normaliser,
            open_image=open_image,
            sample=_sample(stack),
        )

    def opened(self) -> ImageSource:
        """Open it here.

        Raises
        ------
        FileError, ImageError
            If it cannot be opened, or is another image here.
        """
        assert self.open_image is not None
        stack = PlaneStack(self.open_image(), self.axes)
        shape, dtype = tuple(stack.image.shape), np.dtype(stack.image.dtype)
        is_same = (shape, dtype) == (self.shape, self.dtype)
        if not is_same or _sample(stack) != self.sample:
            raise ImageError(f"{self.key} is another image here")
        source = ImageSource(self.key, stack, anisotropy=self.anisotropy)
        vars(source.coarsened(self.factor))["normaliser"] = self.normaliser
        return source

    def received(self, sent: SentPixels) -> ImageSource:
        """Return a source that has what was sent, and nothing else."""
        windows = _Windows(self, sent)
        seen = ImageSource(self.key, windows, anisotropy=self.anisotropy)
        vars(seen)["normaliser"] = self.normaliser
        if self.factor == 1:
            return seen
        nothing = PlaneStack(_Elsewhere(self.shape, self.dtype), self.axes)
        source = ImageSource(self.key, nothing, anisotropy=self.anisotropy)
        source.coarser[self.factor] = seen
        return source


def opener_of(image: Any) -> OpenImage | None:
    """Return what opens zarr arrays on this machine's disk again, and their levels.

    None for all else, of which pixels are to be sent.
    """
    import zarr
    from zarr.storage import LocalStore

    levels = image.levels if isinstance(image, Pyramid) else (image,)
    places = []
    for level in levels:
        if not isinstance(level, zarr.Array) or not isinstance(level.store, LocalStore):
            return None
        places.append((str(Path(level.store.root).absolute()), level.path))
    return partial(_open_zarr, tuple(places))


def _open_zarr(places: Sequence[tuple[str, str]]) -> Any:
    import zarr

    levels = [zarr.open_array(root, path=path, mode="r") for root, path in places]
    return Pyramid(levels) if len(levels) > 1 else levels[0]


def pixels_of(
    source: ImageSource, slab_tile: SlabTile, predictor: Predictor
) -> SentPixels:
    """Read what a tile needs, with its surroundings."""
    seen, window = predictor.window(source, slab_tile.tile)
    stack, around = seen.stack, predictor.planes_around
    numbers = {
        number
        for plane, n_planes in slab_tile.planes
        for number in stack.planes_along_z(plane, -around, n_planes + around)
    }
    planes = {
        number: stack.read(number, window.y0, window.y1, window.x0, window.x1)
        for number in sorted(numbers)
    }
    # reading makes float32 of everything; of less where nothing is lost
    dtype = np.dtype(stack.image.dtype)
    if np.can_cast(dtype, np.float32) and stack.factor == 1:
        planes = {number: pixels.astype(dtype) for number, pixels in planes.items()}
    return SentPixels(window.y0, window.x0, planes)


def _sample(stack: PlaneStack) -> str:
    """Return a fingerprint of the middle of the middle plane."""
    height, width = stack.plane_shape
    y0, x0 = max(height - _SAMPLE_PX, 0) // 2, max(width - _SAMPLE_PX, 0) // 2
    y1, x1 = min(y0 + _SAMPLE_PX, height), min(x0 + _SAMPLE_PX, width)
    pixels = stack.read(stack.n_planes // 2, y0, y1, x0, x1)
    return hashlib.blake2b(pixels.tobytes(), digest_size=12).hexdigest()


@dataclass(frozen=True)
class _Elsewhere:
    """Has an image's shape and dtype, but not its pixels."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class _Windows(PlaneStack):
    """A stack, as a predictor sees it, of which a rectangle of some planes is here."""

    def __init__(self, image: RemoteImage, sent: SentPixels) -> None:
        super().__init__(_Elsewhere(image.shape, image.dtype), image.axes)
        self._sent = sent
        self.factor = image.factor
        height, width = self.plane_shape
        self.plane_shape = (-(-height // self.factor), -(-width // self.factor))
        self.spatial_shape = (*self.leading_shape, *self.plane_shape)

    def read(
        self, plane: int, y0: int, y1: int, x0: int, x1: int
    ) -> NDArray[np.float32]:
        """Return a rectangle (C, y1 - y0, x1 - x0) as the whole stack gives it."""
        pixels = self._sent.planes[plane]
        top, left = y0 - self._sent.y0, x0 - self._sent.x0
        part = pixels[:, top : top + y1 - y0, left : left + x1 - x0]
        # a predictor that looks further than it says
        assert min(top, left) >= 0
        assert part.shape[1:] == (y1 - y0, x1 - x0)
        return np.ascontiguousarray(part, np.float32)
