"""OME-Zarr 0.5 (https://ngff.openmicroscopy.org/0.5): arrays, pyramids, metadata.

Our own metadata over zarr: the libraries that write OME-Zarr drop label properties,
invent labels between two others in pyramids, or fix the versions of half the stack.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import FileError
from napari_unet.export.picture import class_colour
from napari_unet.export.tiff import Pixels, check_scale
from napari_unet.export.units import unit_name
from napari_unet.export.zarr_record import (
    OURS,
    check_room,
    make_room,
    saying_what_failed,
)
from napari_unet.jobs import Progress

if TYPE_CHECKING:
    # it brings torch, and opening a dock must not wait for it
    import zarr

    from napari_unet.inference.tiles import Tile

__all__ = [
    "Layout",
    "Pyramid",
    "create_levels",
    "fill_level",
    "image_label",
    "levels_of",
    "write_zarr",
    "zarr_blocks",
]

_CHUNK_PX = 512
_TYPES = {"T": "time", "C": "channel"}


@dataclass(frozen=True)
class Layout:
    """Shape and place of a multiscale image.

    Attributes
    ----------
    shape, axes
        Of the finest level, one letter per axis in the order of TCZYX.
    scale
        World units per pixel, one number per axis (1 for C); None: all 1.
    unit
        Unit of the spatial axes, under any usual name.
    block_px
        Side of the squares (px) that are written at once: files hold no more than one.
    is_mean
        Whether coarser levels are means of 2 x 2 pixels; else every second pixel, for
        labels: no mean of two labels means anything.
    """

    shape: tuple[int, ...]
    axes: str
    scale: Sequence[float] | None
    unit: str | None
    block_px: int = 1024
    is_mean: bool = False

    def with_classes(self, n_classes: int) -> Layout:
        """Return the layout of probabilities: behind T an axis C more."""
        place = int("T" in self.axes)
        scale = self.scale
        return replace(
            self,
            shape=(*self.shape[:place], n_classes, *self.shape[place:]),
            axes=f"{self.axes[:place]}C{self.axes[place:]}",
            scale=None if scale is None else (*scale[:place], 1.0, *scale[place:]),
            is_mean=True,
        )

    def check(self, path: Path) -> None:
        """Raise `FileError` or `ImageError` where OME-Zarr cannot hold this."""
        axes = self.axes
        if axes != "".join(sorted(axes, key="TCZYX".index)):
            raise FileError(
                f"{path} was not written: OME-Zarr has its axes in the order TCZYX, "
                f"these are {axes}; write a TIFF, or name the axes (--axes)"
            )
        check_scale(self.scale, len(axes))

    def places(self) -> Iterator[tuple[int | slice, ...]]:
        """Yield where each block of the finest level is."""
        *leading, height, width = self.shape
        side = self.block_px
        corners = list(product(range(0, height, side), range(0, width, side)))
        for index in np.ndindex(*leading):
            for y, x in corners:
                yield (*index, slice(y, y + side), slice(x, x + side))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each level; the last one fits into a chunk."""
        *leading, height, width = self.shape
        shapes = [self.shape]
        while max(height, width) > _CHUNK_PX:
            height, width = -(-height // 2), -(-width // 2)
            shapes.append((*leading, height, width))
        return shapes

    def storage(self, level: int) -> dict[str, Any]:
        """Chunks of at most 512 px a side; of large images, many in one file.

        A coarser level of labels has a file for each chunk: it grows by parts of them,
        and who reads it meanwhile must not find one half old and half new.
        """
        leading = (1,) * (len(self.shape) - 2)
        is_divided = self.block_px % _CHUNK_PX == 0
        chunk = _CHUNK_PX if is_divided else self.block_px
        is_large = min(self.shape[-2:]) > self.block_px > chunk
        is_large = is_large and (level == 0 or self.is_mean)
        shards = (*leading, self.block_px, self.block_px) if is_large else None
        return {"chunks": (*leading, chunk, chunk), "shards": shards}

    def multiscales(self, name: str) -> list[dict[str, Any]]:
        """Return the metadata of that name."""
        unit = unit_name(self.unit)
        axes = []
        for letter in self.axes:
            axis = {"name": letter.lower(), "type": _TYPES.get(letter, "space")}
            if unit and axis["type"] == "space":
                axis["unit"] = unit
            axes.append(axis)
        datasets = [
            {"path": str(level), "coordinateTransformations": self._place(level)}
            for level in range(len(self.shapes))
        ]
        kind = "mean" if self.is_mean else "nearest"
        return [{"name": name, "axes": axes, "datasets": datasets, "type": kind}]

    def _place(self, level: int) -> list[dict[str, Any]]:
        """Return where the pixels of a level are: the first lies on the origin."""
        steps = [abs(step) for step in self.scale or (1.0,) * len(self.axes)]
        scale, shift = list(steps), [0.0] * len(steps)
        for axis in (-2, -1):
            scale[axis] *= 2**level
            if self.is_mean:  # the centre of the pixels that a mean was made of
                shift[axis] = steps[axis] * (2**level - 1) / 2
        place: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(shift):
            place.append({"type": "translation", "translation": shift})
        return place


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The arrays of a multiscale image, finest first."""

    group: zarr.Group
    layout: Layout
    arrays: list[zarr.Array[Any]]

    def write_coarser(
        self, index: tuple[int, ...], tile: Tile, labels: NDArray[Any]
    ) -> None:
        """Write labels (h, w) into every level but the finest: every second pixel.

        A tile alone tells its part of all of them, to the pixel.
        """
        for level, array in enumerate(self.arrays[1:], start=1):
            step = 2**level
            y, x = -(-tile.y0 // step), -(-tile.x0 // step)
            part = labels[y * step - tile.y0 :: step, x * step - tile.x0 :: step]
            if part.size:
                height, width = part.shape
                place: tuple[int | slice, ...] = (*index, slice(y, y + height))
                array[(*place, slice(x, x + width))] = part

    def fill(self) -> Iterator[None]:
        """Fill the coarser levels, each from the one before."""
        for lower, upper in pairwise(self.arrays):
            yield from fill_level(lower, upper, self.layout)

    @property
    def n_blocks(self) -> int:
        """How often `fill` yields."""
        side = self.layout.block_px
        return sum(
            int(np.prod(leading, dtype=int)) * -(-height // side) * -(-width // side)
            for *leading, height, width in self.layout.shapes[1:]
        )


def create_levels(
    group: zarr.Group, layout: Layout, dtype: Any, metadata: Mapping[str, Any]
) -> list[zarr.Array[Any]]:
    """Make the empty arrays of every level, and the group's OME metadata."""
    multiscales = layout.multiscales(Path(str(group.store_path)).stem)
    ome = {"version": "0.5", "multiscales": multiscales, **metadata}
    group.attrs.update({"ome": ome})
    return [
        group.create_array(
            str(level),
            shape=shape,
            dtype=dtype,
            dimension_names=list(layout.axes.lower()),
            fill_value=0,
            overwrite=True,
            **layout.storage(level),
        )
        for level, shape in enumerate(layout.shapes)
    ]


def write_zarr(
    path: Path, array: Pixels, layout: Layout, metadata: Mapping[str, Any]
) -> None:
    """Write an array with all its levels, whole or not at all; see `zarr_blocks`."""
    deque(zarr_blocks(path, array, layout, metadata), maxlen=0)


def zarr_blocks(
    path: Path, array: Pixels, layout: Layout, metadata: Mapping[str, Any]
) -> Iterator[Progress]:
    """Write an array block by block, with all its levels, whole or not at all.

    Raises
    ------
    FileError
        If the path holds anything but a complete store of ours, or cannot be written
        to; if OME-Zarr cannot hold these axes.
    """
    import zarr

    layout.check(path)
    with saying_what_failed(path):
        check_room(path)
        record = {"tile_px": layout.block_px, "is_complete": True}
        with TemporaryDirectory(prefix=f".{path.stem}.", dir=path.parent) as folder:
            new = Path(folder) / path.name
            group = zarr.create_group(new, zarr_format=3, attributes={OURS: record})
            levels = create_levels(group, layout, array.dtype, metadata)
            pyramid = Pyramid(group, layout, levels)
            places = list(layout.places())
            n_blocks = len(places) + pyramid.n_blocks
            for done, where in enumerate(places, start=1):
                levels[0][where] = array[where]
                yield Progress(done, n_blocks, "blocks")
            for done, _ in enumerate(pyramid.fill(), start=len(places) + 1):
                yield Progress(done, n_blocks, "blocks")
            make_room(path)
            new.replace(path)


def levels_of(group: zarr.Group, layout: Layout) -> list[zarr.Array[Any]] | None:
    """Return the arrays that `create_levels` made; None if one is missing or other."""
    import zarr

    found = [group.get(str(level)) for level in range(len(layout.shapes))]
    arrays = [array for array in found if isinstance(array, zarr.Array)]
    return arrays if [array.shape for array in arrays] == layout.shapes else None


def image_label(
    values: Sequence[int],
    class_names: Mapping[int, str],
    colours: Mapping[int, tuple[int, int, int]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the metadata of that name: colour and name of each label value.

    Without values, as of objects, viewers choose colours: a label for which there is
    none, beside others, would be seen through.
    """
    if not values:
        return {"image-label": {}}
    rgb = {value: class_colour(value) for value in values} | dict(colours or {})
    colors = [{"label-value": value, "rgba": [*rgb[value], 255]} for value in values]
    properties = [
        {"label-value": value, "class": class_names.get(value, f"class {value}")}
        for value in values
    ]
    return {"image-label": {"colors": colors, "properties": properties}}


def fill_level(
    lower: zarr.Array[Any], upper: zarr.Array[Any], layout: Layout
) -> Iterator[None]:
    """Fill a level from the next finer one, a block at a time; yields after each."""
    *leading, height, width = upper.shape
    side = layout.block_px
    corners = product(range(0, height, side), range(0, width, side))
    for y, x in corners:
        y1, x1 = min(y + side, height), min(x + side, width)
        fine = (slice(2 * y, 2 * y1), slice(2 * x, 2 * x1))
        coarse = (slice(y, y1), slice(x, x1))
        for index in np.ndindex(*leading):
            block = np.asarray(lower[(*index, *fine)])
            upper[(*index, *coarse)] = _mean(block) if layout.is_mean else _first(block)
            yield


def _first(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return block[::2, ::2]


def _mean(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the means of 2 x 2 pixels; the last row or column may stand alone."""
    odd = [(0, n % 2) for n in block.shape]
    even = np.pad(block, odd, mode="edge")
    height, width = (n // 2 for n in even.shape)
    means: np.ndarray[Any, Any] = even.reshape(height, 2, width, 2).mean(axis=(1, 3))
    return means
