"""An image under a name, read as normalised planes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.coarse import CoarseStack
from napari_unet.errors import ImageError

__all__ = ["MAX_SAMPLE_PX", "ImageSource", "Normaliser"]

MAX_SAMPLE_PX = 400_000
_MAX_READ_PX = 2**26  # of a lazy image, to find its percentiles
_uids = count(1)


@dataclass(frozen=True)
class Normaliser:
    """Maps each channel's bulk to about -1..1, whatever the dtype and the outliers.

    ``low`` and ``high`` are the 0.5 and 99.5 percentiles of a regular sample of the
    whole image, so that every tile, the GUI and the command line see the same numbers.
    Values beyond are compressed logarithmically: a hot pixel cannot flatten the rest,
    and bright rare objects keep their contrast.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    has_values: bool = True
    """Whether any sampled value is finite."""

    @property
    def is_flat(self) -> bool:
        """Whether no channel has two different values."""
        return self.low == self.high

    @classmethod
    def fit(cls, stack: PlaneStack) -> Normaliser:
        """Measure the percentiles on at most about 400,000 pixels a channel.

        They lie in up to 16 planes, and where planes are huge, in bands of rows.
        """
        n_sampled = min(stack.n_planes, 16)
        planes = np.unique(np.linspace(0, stack.n_planes - 1, n_sampled).astype(int))
        max_px = _MAX_READ_PX // len(planes) // stack.n_read**2
        bands = _bands(stack.plane_shape, max_px)
        n_rows = sum(band.stop - band.start for band in bands)
        n_px = len(planes) * n_rows * stack.plane_shape[1]
        step = max(1, int(np.sqrt(n_px / MAX_SAMPLE_PX)))
        parts = [
            stack.sample(int(plane), band, (step, step)).reshape(stack.n_channels, -1)
            for plane in planes
            for band in bands
        ]
        values = np.concatenate(parts, axis=1)
        low, high = [], []
        has_values = bool(np.isfinite(values).any())
        for channel in values:
            finite = channel[np.isfinite(channel)].astype(np.float64)
            bounds = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 0.0)
            if bounds[0] == bounds[1] and finite.size:  # nearly empty image
                bounds = (finite.min(), finite.max())
            low.append(float(bounds[0]))
            high.append(float(bounds[1]))
        return cls(tuple(low), tuple(high), has_values)

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise an array of shape (C, ...); NaN and constant channels become 0."""
        shape = (-1,) + (1,) * (array.ndim - 1)
        low = np.reshape(np.array(self.low, np.float64), shape)
        high = np.reshape(np.array(self.high, np.float64), shape)
        half = (high - low) / 2
        scale = np.where(half > 0, 1 / np.where(half > 0, half, 1), 0)
        with np.errstate(invalid="ignore"):  # infinite times 0, of a constant channel
            values = (array.astype(np.float64) - (low + high) / 2) * scale
        np.nan_to_num(values, copy=False)
        size = np.abs(values)
        is_far = size > 1
        if is_far.any():
            values[is_far] = np.sign(values[is_far]) * (1 + np.log(size[is_far]))
            np.clip(values, -6, 6, out=values)
        return values.astype(np.float32)


def _bands(plane_shape: tuple[int, int], max_px: int) -> list[slice]:
    """Return the rows to read of a plane: all of them, or 16 bands of a huge one."""
    height, width = plane_shape
    n_rows = max(max_px // width // 16, 1)
    if height <= 16 * n_rows:
        return [slice(0, height)]
    starts = np.linspace(0, height - n_rows, 16).astype(int)
    return [slice(int(y), int(y) + n_rows) for y in starts]


@dataclass(frozen=True)
class ImageSource:
    """An image under a name, read as normalised planes.

    ``uid`` names these very pixels in caches: the same key may get another image later.
    ``anisotropy`` is the distance of two planes over the size of a pixel, where known.
    ``normalised_as`` is whose normalisation it has; None: its own. ``coarser`` has what
    `coarsened` made, by factor.
    """

    key: str
    stack: PlaneStack
    anisotropy: float | None = None
    uid: int = field(default_factory=lambda: next(_uids))
    normalised_as: ImageSource | None = None
    coarser: dict[int, ImageSource] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def normaliser(self) -> Normaliser:
        """The image's normalisation, measured when first needed."""
        if self.normalised_as is not None:
            return self.normalised_as.normaliser
        return Normaliser.fit(self.stack)

    def coarsened(self, factor: int) -> ImageSource:
        """Return the image with a pixel for each block of ``factor`` by ``factor``.

        Itself where it is so already, else the same one each time. It is normalised by
        its own percentiles, so that it is seen as if it had been given as a file, and
        a pyramid's finest level need not be read. Scores are the same with those of the
        full image, within 0.002 on five sets.
        """
        if factor == self.stack.factor:
            return self
        if factor not in self.coarser:
            like = self.normalised_as and self.normalised_as.coarsened(factor)
            self.coarser[factor] = ImageSource(
                self.key,
                CoarseStack(self.stack, factor),
                anisotropy=self.anisotropy and self.anisotropy / factor,
                normalised_as=like,
            )
        return self.coarser[factor]

    @property
    def why_empty(self) -> str:
        """Say that every value is NaN or infinite, where that is so; else ''.

        Only real numbers can be; of large images a sample is looked at.
        """
        image = self.stack.image
        if np.dtype(image.dtype).kind != "f" or self.normaliser.has_values:
            return ""
        return (
            f"the image of shape {tuple(image.shape)}, {image.dtype}, holds no "
            "number: every value is NaN, infinite or beyond 3.4e38"
        )

    def require_values(self) -> None:
        """Raise an `ImageError` where `why_empty` says why."""
        if self.why_empty:
            raise ImageError(
                f"{self.why_empty}. Nothing can be learned from it: check the file and "
                "how it was made"
            )

    def read(
        self, plane: int, y0: int, y1: int, x0: int, x1: int
    ) -> NDArray[np.float32]:
        """Read a normalised rectangle (C, y1 - y0, x1 - x0), mirrored at borders."""
        return self.normaliser.apply(self.stack.read(plane, y0, y1, x0, x1))

    def read_slab(
        self, plane: int, n_planes: int, around: int, box: tuple[int, int, int, int]
    ) -> NDArray[np.float32]:
        """Read a normalised rectangle of planes above each other, mirrored at borders.

        Parameters
        ----------
        plane
            Number of the lowest plane.
        n_planes
            Planes from there on.
        around
            Further planes on both sides, mirrored at the ends of the stack.
        box
            y0, y1, x0, x1 (px).

        Returns
        -------
        ndarray of float32, shape (C, n_planes + 2 * around, y1 - y0, x1 - x0)
        """
        if n_planes == 1 and not around:
            return self.read(plane, *box)[:, None]
        planes = self.stack.planes_along_z(plane, -around, n_planes + around)
        read = {p: self.stack.read(p, *box) for p in sorted(set(planes))}
        return self.normaliser.apply(np.stack([read[p] for p in planes], axis=1))

    def cut_across(self, axis: str) -> ImageSource:
        """Return the volume with ``axis``, one of ZYX, in the place of z.

        Normalised as this one is; to turn it back, exchange the two axes again.
        """
        stack = self.stack
        if axis == "Z":
            return self
        image = stack.whole().swapaxes(stack.axes.index("Z"), stack.axes.index(axis))
        return ImageSource(self.key, PlaneStack(image, stack.axes), normalised_as=self)
