"""Labels on their way into a file: read block by block, with what the file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ImageError
from napari_unet.export.picture import class_colour
from napari_unet.export.tiff import check_scale
from napari_unet.jobs import CancelToken

__all__ = ["AXES", "LabelBlocks", "LabelImage", "Stopped", "label_axes"]

AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}
"""Axes of a label array by its number of dimensions."""

_SIDE_PX = (
    2048  # of the blocks that are looked at; a multiple of what stores are cut in
)
_NO_CLASS = "object"


class Stopped(Exception):
    """A read was asked for after the job had been told to stop."""


class LabelBlocks:
    """Labels in the smallest dtype that holds them, read where they are sliced.

    Parameters
    ----------
    labels
        Integers of 0 or more (or bool) with 2 to 4 axes, the last two Y and X: an array
        in memory, or one that is read as it is sliced (dask, zarr).
    token
        Every read asks it.

    Raises
    ------
    ImageError
        If the array holds no labels (dtype, axes, negative values).
    Stopped
        If the token is cancelled.
    """

    def __init__(self, labels: Any, token: CancelToken | None = None) -> None:
        if not hasattr(labels, "dtype"):
            labels = np.asarray(labels)
        self._labels, self._token = labels, token
        self.shape = tuple(int(n) for n in labels.shape)
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = np.dtype(labels.dtype)
        self._check()
        self.largest = self._find_largest()
        self.dtype = self._smallest_dtype()

    def __getitem__(self, place: Any) -> NDArray[Any]:
        if self._token is not None and self._token.cancelled:
            raise Stopped
        part = np.asarray(self._labels[place])
        return part.astype(self.dtype, copy=False)

    @property
    def planes(self) -> list[tuple[int, ...]]:
        """Index of every plane (Y, X)."""
        return list(np.ndindex(self.shape[:-2]))

    def places(self) -> Iterator[tuple[int | slice, ...]]:
        """Yield where every block is: at most 2048 px a side, in one plane."""
        height, width = self.shape[-2:]
        corners = list(product(range(0, height, _SIDE_PX), range(0, width, _SIDE_PX)))
        for index in self.planes:
            for y, x in corners:
                yield (*index, slice(y, y + _SIDE_PX), slice(x, x + _SIDE_PX))

    @cached_property
    def values(self) -> list[int]:
        """All values but 0, ascending; reads everything when it is first asked for."""
        found: set[int] = set()
        for place in self.places():
            found.update(np.unique(self[place]).tolist())
        return sorted(found - {0})

    def _check(self) -> None:
        if self.dtype.kind not in "bui":
            raise ImageError(
                f"labels must be integers, but their dtype is {self.dtype}; for "
                "probabilities use write_probabilities"
            )
        if self.ndim not in AXES:
            raise ImageError(
                f"labels of shape {self.shape} have {self.ndim} axes; 2 to 4 can be"
                " written"
            )

    def _find_largest(self) -> int:
        largest = 0
        for place in self.places():
            block = self[place]
            smallest = block.min(initial=0)
            if smallest < 0:
                raise ImageError(
                    f"labels must be 0 or more, but the smallest is {smallest}"
                )
            largest = max(largest, int(block.max(initial=0)))
        return largest

    def _smallest_dtype(self) -> np.dtype[Any]:
        # an array that is already small stays as it is: planes of one series agree
        if self.dtype in (np.uint8, np.uint16):
            return self.dtype
        for dtype in (np.uint8, np.uint16, np.uint32):
            if self.largest <= np.iinfo(dtype).max:
                return np.dtype(dtype)
        return np.dtype(np.uint64)


@dataclass(frozen=True, eq=False)
class LabelImage:
    """A label image, and what a file should say about it.

    Attributes
    ----------
    labels
        Shape (Y, X), (Z, Y, X), (T, Y, X) or (T, Z, Y, X).
    axes
        One letter per axis, in the order of TZYX.
    scale
        World units per pixel, one number per axis; None: unknown.
    unit
        Unit of the spatial axes, under any usual name.
    class_names
        Names of class values.
    class_colours
        RGB of class values, 0..255; those of `class_colour` where it says nothing.
    are_objects
        Whether each value is the number of an object instead of a class.
    class_labels
        With objects: class values, of the shape of ``labels``, by which the class of
        each object is told.
    background
        A value that, like 0, is no class and no object; None: only 0 is not.
    name
        Of the image that the labels are of.
    """

    labels: LabelBlocks
    axes: str
    scale: Sequence[float] | None = None
    unit: str | None = None
    class_names: Mapping[int, str] = field(default_factory=dict)
    class_colours: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)
    are_objects: bool = False
    class_labels: LabelBlocks | None = None
    background: int | None = None
    name: str = "image"

    def __post_init__(self) -> None:
        label_axes(self.axes, self.labels.ndim)
        check_scale(self.scale, self.labels.ndim)
        classes = self.class_labels
        if classes is not None and classes.shape != self.labels.shape:
            raise ImageError(
                f"the classes have the shape {classes.shape}, the objects "
                f"{self.labels.shape}: give the classes of the same image"
            )

    def class_of(self, value: int) -> int:
        """Return the class of a label value; 0 for an object of no known class."""
        return self.object_classes.get(value, 0) if self.are_objects else value

    def name_of(self, class_value: int) -> str:
        """Return what a class is called; ``"object"`` for 0, which is no class."""
        if not class_value:
            return _NO_CLASS
        return self.class_names.get(class_value, f"class {class_value}")

    def colour_of(self, class_value: int) -> tuple[int, int, int]:
        """Return a class's RGB; that of the first one behind the background for 0."""
        default = class_colour(class_value or 2)
        return self.class_colours.get(class_value, default)

    @cached_property
    def object_classes(self) -> dict[int, int]:
        """Class of each object: the one that most of its pixels have, but 0."""
        if self.class_labels is None:
            return {}
        counts: dict[tuple[int, int], int] = {}
        for place in self.labels.places():
            ids, classes = self.labels[place], self.class_labels[place]
            both = (ids != 0) & (classes != 0)
            pairs = np.stack([ids[both], classes[both]], dtype=np.int64)
            found, n_px = np.unique(pairs, axis=1, return_counts=True)
            for of_object, n in zip(found.T.tolist(), n_px.tolist(), strict=True):
                key = (of_object[0], of_object[1])
                counts[key] = counts.get(key, 0) + n
        best: dict[int, tuple[int, int]] = {}
        for (number, value), n in sorted(counts.items()):
            if n > best.get(number, (0, 0))[0]:
                best[number] = n, value
        return {number: value for number, (_, value) in best.items()}

    def plane_name(self, index: tuple[int, ...]) -> dict[str, int]:
        """Return where a plane is, from 0, such as ``{"t": 0, "z": 3}``."""
        return dict(zip(self.axes[:-2].lower(), index, strict=True))


def label_axes(axes: str | None, ndim: int) -> str:
    """Return the axes of labels, by default YX, ZYX or TZYX.

    Raises
    ------
    ImageError
        If they do not fit the number of dimensions, or are in another order.
    """
    axes = axes or AXES[ndim]
    if len(axes) != ndim or len(set(axes)) != ndim or not set(axes) <= set("TZYX"):
        raise ImageError(
            f"the axes '{axes}' do not name the {ndim} axes of the labels: one letter "
            "of TZYX each"
        )
    if axes != "".join(sorted(axes, key="TZYX".index)):
        raise ImageError(f"the axes '{axes}' must be in the order of TZYX")
    return axes
