"""An OME-Zarr store that is filled tile by tile, and can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.export.ome_zarr import (
    Layout,
    create_levels,
    fill_level,
    image_label,
    levels_of,
)
from napari_unet.export.zarr_record import (
    OURS,
    check_room,
    check_same,
    is_complete,
    make_room,
    probabilities_path,
    read_record,
    saying_what_failed,
)

if TYPE_CHECKING:
    import zarr

    # they bring torch, and opening a dock must not wait for it
    from napari_unet.inference.prediction import Prediction
    from napari_unet.inference.stream import StreamPlan
    from napari_unet.inference.tiles import Tile

__all__ = ["ZarrStore", "open_store"]

_PROGRESS = "progress"


@dataclass(frozen=True, eq=False)
class ZarrStore:
    """Labels, and probabilities where they are wanted, of one image.

    Made by `open_store`. The group of the labels also holds an array ``progress``, one
    number for each tile, until all is done: written after the tile, so that a tile
    which counts as done is whole whenever the program was killed. ``progress`` is None
    where all was done before; ``done`` is what it says, in memory.
    """

    path: Path
    tile_px: int
    labels: _Pyramid
    probabilities: _Pyramid | None
    progress: zarr.Array[Any] | None
    done: NDArray[np.uint8]

    @property
    def n_tiles(self) -> int:
        """How many tiles make up the image."""
        return self.done.size

    @property
    def n_done(self) -> int:
        """How many of them are in the store."""
        return int(np.count_nonzero(self.done))

    def is_done(self, index: tuple[int, ...], tile: Tile) -> bool:
        """Whether a tile of the plane at this leading index is in it already."""
        return bool(self.done[self._number(index, tile)])

    def write(self, index: tuple[int, ...], tile: Tile, found: Prediction) -> None:
        """Keep a tile (h, w), and that it is done.

        Raises
        ------
        FileError
            If the disk is full, or the store was taken away.
        """
        assert self.progress is not None
        rows, columns = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        with saying_what_failed(self.path):
            if self.probabilities is not None:
                n_times = int("T" in self.probabilities.layout.axes)
                where: tuple[int | slice, ...] = (*index[:n_times], slice(None))
                where = (*where, *index[n_times:], rows, columns)
                self.probabilities.arrays[0][where] = found.probabilities
            self.labels.write(index, tile, found.labels)
            self.progress[self._number(index, tile)] = 1
        self.done[self._number(index, tile)] = 1

    def finish(self) -> Iterator[tuple[int, int]]:
        """Fill coarser levels, then call it complete; yields (done, total) blocks.

        Those of probabilities: labels have theirs since each tile came. What was cut
        short begins anew: it takes little beside the prediction.
        """
        if self.progress is None:
            return
        maps = self.probabilities
        total = 0 if maps is None else maps.n_blocks
        with saying_what_failed(self.path):
            if maps is not None:
                for done, _ in enumerate(maps.fill(), start=1):
                    # the last block is reported when all is complete
                    if done < total:
                        yield done, total
            # the labels last: they say for both that all is done
            for pyramid in (*([] if maps is None else [maps]), self.labels):
                record = pyramid.group.attrs[OURS]
                assert isinstance(record, dict)
                pyramid.group.attrs[OURS] = {**record, "is_complete": True}
            del self.labels.group[_PROGRESS]
        if total:
            yield total, total

    def _number(self, index: tuple[int, ...], tile: Tile) -> tuple[int, ...]:
        return (*index, tile.y0 // self.tile_px, tile.x0 // self.tile_px)


@dataclass(frozen=True, eq=False)
class _Pyramid:
    """The arrays of a multiscale image, finest first."""

    group: zarr.Group
    layout: Layout
    arrays: list[zarr.Array[Any]]

    def write(self, index: tuple[int, ...], tile: Tile, labels: NDArray[Any]) -> None:
        """Write labels (h, w) into every level, of which each takes every second pixel.

        A tile alone tells its part of all of them, to the pixel.
        """
        for level, array in enumerate(self.arrays):
            step = 2**level
            y, x = -(-tile.y0 // step), -(-tile.x0 // step)
            part = labels[y * step - tile.y0 :: step, x * step - tile.x0 :: step]
            if part.size:
                height, width = part.shape
                place: tuple[int | slice, ...] = (*index, slice(y, y + height))
                array[(*place, slice(x, x + width))] = part

    def fill(self) -> Iterator[None]:
        """Fill the coarser levels, each from the one before."""
        for lower, upper in zip(self.arrays, self.arrays[1:], strict=False):
            yield from fill_level(lower, upper, self.layout)

    @property
    def n_blocks(self) -> int:
        """How often `fill` yields."""
        side = self.layout.block_px
        return sum(
            int(np.prod(leading, dtype=int)) * -(-height // side) * -(-width // side)
            for *leading, height, width in self.layout.shapes[1:]
        )


def open_store(
    path: Path,
    plan: StreamPlan,
    *,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    class_names: Mapping[int, str] | None = None,
    with_probabilities: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> ZarrStore:
    """Make an OME-Zarr store for an image's labels, or go on with one.

    Parameters
    ----------
    path
        Folder to make, ``X.zarr``: labels as a multiscale image with colours and names.
        Probabilities go beside it, into ``X-probabilities.zarr``, with the classes as
        channels.
    plan
        What the prediction says about itself.
    scale
        World units per pixel for each axis of the labels.
    unit
        Unit of the spatial axes, such as ``"micrometer"`` or ``"um"``.
    class_names
        Names of label values.
    with_probabilities
        Whether probabilities are kept too.
    resume
        Go on where an earlier run was stopped, if there is one.
    overwrite
        Remove a store of ours that is there, finished or not, and begin anew.

    Raises
    ------
    StoreTakenError
        If a store to go on with is one of another model, image or kind.
    FileError
        If the path holds something else, or an unfinished store that is not to be gone
        on with; if it cannot be written; if OME-Zarr cannot hold these axes.
    """
    record = {
        **plan.made_by,
        "probabilities": "with" if with_probabilities else "without",
    }
    paths = [path, probabilities_path(path)][: 1 + with_probabilities]
    tile_px = plan.tile_px
    old = read_record(path) if resume and not overwrite else None
    if old is not None:
        check_same(path, old, record)
        tile_px = int(old["tile_px"])
    layouts = [Layout(plan.shape, plan.axes, scale, unit, tile_px)]
    if with_probabilities:
        layouts.append(layouts[0].with_classes(len(plan.values)))
    for each, layout in zip(paths, layouts, strict=True):
        layout.check(each)
    with saying_what_failed(path):
        store = _opened(paths, layouts) if old is not None else None
        if store is None:
            for each in paths:  # before any of them goes
                check_room(each, resume or overwrite)
            for each in paths:
                make_room(each, resume or overwrite)
            store = _created(paths, layouts, plan, record, class_names or {})
    return store


def _created(
    paths: list[Path],
    layouts: list[Layout],
    plan: StreamPlan,
    record: Mapping[str, Any],
    class_names: Mapping[int, str],
) -> ZarrStore:
    import zarr

    from napari_unet.inference.prediction import label_dtype

    tile_px = layouts[0].block_px
    ours = {**record, "tile_px": tile_px, "is_complete": False}
    names = [class_names.get(value, f"class {value}") for value in plan.values]
    dtypes = (label_dtype(plan.values), np.float32)
    metadata: tuple[dict[str, Any], ...] = (image_label(plan.values, class_names), {})
    pyramids = []
    for number, (path, layout) in enumerate(zip(paths, layouts, strict=True)):
        mine = {**ours, "classes": names}
        group = zarr.create_group(path, zarr_format=3, attributes={OURS: mine})
        arrays = create_levels(group, layout, dtypes[number], metadata[number])
        pyramids.append(_Pyramid(group, layout, arrays))
    n_tiles = _n_tiles(layouts[0])
    # last: a store that has it has everything
    progress = pyramids[0].group.create_array(
        _PROGRESS,
        shape=n_tiles,
        chunks=(*(1 for _ in n_tiles[:-2]), *n_tiles[-2:]),
        dtype=np.uint8,
        fill_value=0,
    )
    return _store(pyramids, paths[0], progress)


def _opened(paths: list[Path], layouts: list[Layout]) -> ZarrStore | None:
    """Return the store to go on with; None where its making was cut short."""
    import zarr

    pyramids = []
    for path, layout in zip(paths, layouts, strict=True):
        if read_record(path) is None:
            return None
        for leftover in path.rglob("*.partial"):  # of a write that was killed
            leftover.unlink()
        group = zarr.open_group(path, mode="r+")
        arrays = levels_of(group, layout)
        if arrays is None:
            return None
        pyramids.append(_Pyramid(group, layout, arrays))
    group = pyramids[0].group
    if is_complete(paths[0]):
        if _PROGRESS in group:
            del group[_PROGRESS]
        return _store(pyramids, paths[0], None)
    progress = group.get(_PROGRESS)
    if not isinstance(progress, zarr.Array):
        return None
    return _store(pyramids, paths[0], progress)


def _store(
    pyramids: list[_Pyramid], path: Path, progress: zarr.Array[Any] | None
) -> ZarrStore:
    labels = pyramids[0]
    probabilities = pyramids[1] if len(pyramids) > 1 else None
    if progress is None:
        done = np.ones(_n_tiles(labels.layout), np.uint8)
    else:
        done = np.array(progress[...], np.uint8)
    tile_px = labels.layout.block_px
    return ZarrStore(path, tile_px, labels, probabilities, progress, done)


def _n_tiles(layout: Layout) -> tuple[int, ...]:
    """Return the planes along each axis, and the tiles of a plane along y and x."""
    *leading, height, width = layout.shape
    side = layout.block_px
    return (*leading, -(-height // side), -(-width // side))
