"""An OME-Zarr store that is filled tile by tile, and can be gone on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.export.object_store import (
    EVIDENCE,
    ZarrObjects,
    create_objects,
    open_objects,
)
from napari_unet.export.ome_zarr import (
    Layout,
    Pyramid,
    create_levels,
    image_label,
    levels_of,
)
from napari_unet.export.tile_writer import ZarrWriter
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
_IN_EVERY_LEVEL, _IN_THE_FINEST = 1, 2  # how far a tile is written; 0: not


@dataclass(frozen=True, eq=False)
class ZarrStore:
    """Labels, and probabilities and objects where they are wanted, of one image.

    Made by `open_store`. The group of the labels also holds an array ``progress``, one
    number for each tile, until all is done: written after the tile, so that a tile
    which counts as done is whole whenever the program was killed; it tells in which
    levels it is. ``progress`` is None
    where all was done before; ``done`` is what it says, in memory. ``to_cut`` is what
    objects are cut from and where they go, until they are there; see `objects`.
    """

    path: Path
    tile_px: int
    labels: Pyramid
    probabilities: Pyramid | None
    progress: zarr.Array[Any] | None
    done: NDArray[np.uint8]
    to_cut: tuple[zarr.Array[Any], Pyramid] | None = None

    @property
    def objects(self) -> ZarrObjects | None:
        """Where objects go; None if they are not wanted, or are there."""
        if self.to_cut is None:
            return None
        return ZarrObjects(self.path, self.labels, *self.to_cut, self._complete)

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
        self._own_writer.write(index, tile, found)
        with saying_what_failed(self.path):
            self.labels.write_coarser(index, tile, found.labels)
        self._note(index, tile, _IN_EVERY_LEVEL)

    def writer(self) -> ZarrWriter:
        """Return what writes tiles in other processes, which see the same path."""
        return replace(self._own_writer, path=self.path.absolute())

    def mark(self, index: tuple[int, ...], tile: Tile) -> None:
        """Note that a tile is done which a `writer` wrote, into the finest level.

        Raises
        ------
        FileError
            See `write`.
        """
        self._note(index, tile, _IN_THE_FINEST)

    def coarsen(self, index: tuple[int, ...], tile: Tile) -> None:
        """Fill a marked tile's part of the coarser levels now, for who looks at them.

        Where nobody looks, `finish` does it in less time.

        Raises
        ------
        FileError
            See `write`.
        """
        rows, columns = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        place: tuple[int | slice, ...] = (*index, rows, columns)
        with saying_what_failed(self.path):
            labels = np.asarray(self.labels.arrays[0][place])
            self.labels.write_coarser(index, tile, labels)
        self._note(index, tile, _IN_EVERY_LEVEL)

    def _note(self, index: tuple[int, ...], tile: Tile, how: int) -> None:
        assert self.progress is not None
        with saying_what_failed(self.path):
            self.progress[self._number(index, tile)] = how
        self.done[self._number(index, tile)] = how

    @cached_property
    def _own_writer(self) -> ZarrWriter:
        axes, record = self.labels.layout.axes, self.labels.group.attrs[OURS]
        assert isinstance(record, dict)
        return ZarrWriter(
            self.path,
            axes,
            has_probabilities=self.probabilities is not None,
            has_evidence=self.to_cut is not None,
            record={k: value for k, value in record.items() if k != "is_complete"},
        )

    def finish(self) -> Iterator[tuple[int, int]]:
        """Fill coarser levels, then call it complete; yields (done, total) blocks.

        Those of probabilities, and of labels that other processes wrote: the others are
        there since their tiles came. What was cut short begins anew: it takes little
        beside the prediction. Where objects are wanted, it is complete when they are.
        """
        if self.progress is None:
            return
        pyramids = [] if self.probabilities is None else [self.probabilities]
        if (self.done == _IN_THE_FINEST).any():
            pyramids.append(self.labels)
        total = sum(pyramid.n_blocks for pyramid in pyramids)
        done = 0
        with saying_what_failed(self.path):
            _remove_leftovers(self.path)  # of workers that were killed
            if self.probabilities is not None:
                _remove_leftovers(probabilities_path(self.path))
            for pyramid in pyramids:
                for _ in pyramid.fill():
                    done += 1
                    # the last block is reported when all is complete
                    if done < total:
                        yield done, total
            if self.to_cut is None:
                self._complete()
        if total:
            yield total, total

    def _complete(self) -> None:
        """Note that all is done."""
        found = [self.probabilities, self.to_cut[1] if self.to_cut else None]
        # the labels last: they say for all that it is done
        for pyramid in (*found, self.labels):
            if pyramid is not None:
                record = pyramid.group.attrs[OURS]
                assert isinstance(record, dict)
                pyramid.group.attrs[OURS] = {**record, "is_complete": True}
        del self.labels.group[_PROGRESS]

    def _number(self, index: tuple[int, ...], tile: Tile) -> tuple[int, ...]:
        return (*index, tile.y0 // self.tile_px, tile.x0 // self.tile_px)


def open_store(
    path: Path,
    plan: StreamPlan,
    *,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    class_names: Mapping[int, str] | None = None,
    with_probabilities: bool = False,
    with_objects: bool = False,
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
    with_objects
        Whether objects are to be cut when all tiles are there: give what `objects` of
        the store returns to `napari_unet.inference.blockwise.cut_blocks`. They go into
        the same store, ``X.zarr/labels/objects``.
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
        "objects": "with" if with_objects else "without",
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
        store = None
        if old is not None:
            store = _opened(paths, layouts, with_objects)
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
        pyramids.append(Pyramid(group, layout, arrays))
    to_cut = None
    if record["objects"] == "with":
        to_cut = create_objects(pyramids[0], ours)
    n_tiles = _n_tiles(layouts[0])
    # last: a store that has it has everything
    progress = pyramids[0].group.create_array(
        _PROGRESS,
        shape=n_tiles,
        chunks=(*(1 for _ in n_tiles[:-2]), *n_tiles[-2:]),
        dtype=np.uint8,
        fill_value=0,
    )
    return _store(pyramids, paths[0], progress, to_cut)


def _opened(
    paths: list[Path], layouts: list[Layout], with_objects: bool
) -> ZarrStore | None:
    """Return the store to go on with; None where its making was cut short."""
    import zarr

    pyramids = []
    for path, layout in zip(paths, layouts, strict=True):
        if read_record(path) is None:
            return None
        _remove_leftovers(path)
        group = zarr.open_group(path, mode="r+")
        arrays = levels_of(group, layout)
        if arrays is None:
            return None
        pyramids.append(Pyramid(group, layout, arrays))
    group = pyramids[0].group
    if is_complete(paths[0]):
        for name in (_PROGRESS, EVIDENCE):
            if name in group:
                del group[name]
        return _store(pyramids, paths[0], None, None)
    progress = group.get(_PROGRESS)
    to_cut = open_objects(pyramids[0]) if with_objects else None
    if not isinstance(progress, zarr.Array) or (with_objects and to_cut is None):
        return None
    return _store(pyramids, paths[0], progress, to_cut)


def _store(
    pyramids: list[Pyramid],
    path: Path,
    progress: zarr.Array[Any] | None,
    to_cut: tuple[zarr.Array[Any], Pyramid] | None,
) -> ZarrStore:
    labels = pyramids[0]
    probabilities = pyramids[1] if len(pyramids) > 1 else None
    if progress is None:
        done = np.ones(_n_tiles(labels.layout), np.uint8)
    else:
        done = np.array(progress[...], np.uint8)
    tile_px = labels.layout.block_px
    return ZarrStore(path, tile_px, labels, probabilities, progress, done, to_cut)


def _remove_leftovers(path: Path) -> None:
    """Remove what is left of writes that were killed."""
    for leftover in path.rglob("*.partial"):
        leftover.unlink(missing_ok=True)


def _n_tiles(layout: Layout) -> tuple[int, ...]:
    """Return the planes along each axis, and the tiles of a plane along y and x."""
    *leading, height, width = layout.shape
    side = layout.block_px
    return (*leading, -(-height // side), -(-width // side))
