"""Objects of an image in an OME-Zarr store: a labels image beside the classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.export.ome_zarr import (
    Pyramid,
    create_levels,
    image_label,
    levels_of,
)
from napari_unet.export.zarr_record import OURS, saying_what_failed

if TYPE_CHECKING:
    import zarr

__all__ = ["EVIDENCE", "ZarrObjects", "create_objects", "objects_path", "open_objects"]

_LABELS, _OBJECTS = "labels", "objects"  # where OME-Zarr looks for them
EVIDENCE = "evidence"
"""Array beside the classes, of which nothing is left when all is done."""


@dataclass(frozen=True, eq=False)
class ZarrObjects:
    """Ids of objects, uint32, and what they are cut from; an `ObjectStore`.

    Made by `napari_unet.export.open_store`. The group of the classes also holds an
    array ``evidence``, what the cut needs beside the labels, until all is done.
    """

    path: Path
    classes: Pyramid
    evidence: zarr.Array[Any]
    ids: Pyramid
    complete: Callable[[], None]
    """Called when nothing remains to be done."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the labels."""
        return self.classes.layout.shape

    @property
    def axes(self) -> str:
        """One letter per axis."""
        return self.classes.layout.axes

    def read(
        self, index: tuple[int, ...], place: tuple[slice, ...]
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return labels, and the probability of each and of no border (0..1)."""
        where: tuple[int | slice, ...] = (*index, *place)
        with saying_what_failed(self.path):
            labels = np.asarray(self.classes.arrays[0][where])
            return labels, np.asarray(self.evidence[where], np.float32)

    def read_ids(
        self, index: tuple[int, ...], place: tuple[slice, ...]
    ) -> NDArray[np.uint32]:
        """Return ids that were written before."""
        where: tuple[int | slice, ...] = (*index, *place)
        with saying_what_failed(self.path):
            return np.asarray(self.ids.arrays[0][where], np.uint32)

    def write_ids(
        self,
        index: tuple[int, ...],
        place: tuple[slice, ...],
        ids: NDArray[np.uint32],
    ) -> None:
        """Keep ids.

        Raises
        ------
        FileError
            If the disk is full, or the store was taken away.
        """
        where: tuple[int | slice, ...] = (*index, *place)
        with saying_what_failed(self.path):
            self.ids.arrays[0][where] = ids

    def finish(self) -> Iterator[tuple[int, int]]:
        """Fill the coarser levels, then call all complete; yields (done, total)."""
        total = self.ids.n_blocks
        with saying_what_failed(self.path):
            for done, _ in enumerate(self.ids.fill(), 1):
                if done < total:
                    yield done, total
            self.complete()
            del self.classes.group[EVIDENCE]
        if total:
            yield total, total


def objects_path(path: Path) -> Path:
    """Return where the objects are of a store of classes."""
    return path / _LABELS / _OBJECTS


def create_objects(
    classes: Pyramid, record: Mapping[str, Any]
) -> tuple[zarr.Array[Any], Pyramid]:
    """Make the empty arrays of evidence and of objects, in the store of the classes."""
    layout = classes.layout
    labels = classes.group.create_group(_LABELS)
    labels.attrs.update({"ome": {"version": "0.5", "labels": [_OBJECTS]}})
    group = labels.create_group(_OBJECTS, attributes={OURS: dict(record)})
    arrays = create_levels(group, layout, np.uint32, image_label((), {}))
    evidence = classes.group.create_array(
        EVIDENCE,
        shape=layout.shape,
        dtype=np.float32,
        fill_value=0,
        **layout.storage(0),
    )
    return evidence, Pyramid(group, layout, arrays)


def open_objects(classes: Pyramid) -> tuple[zarr.Array[Any], Pyramid] | None:
    """Return what `create_objects` made; None where something is missing."""
    import zarr

    evidence = classes.group.get(EVIDENCE)
    group = classes.group.get(f"{_LABELS}/{_OBJECTS}")
    if not isinstance(evidence, zarr.Array) or not isinstance(group, zarr.Group):
        return None
    arrays = levels_of(group, classes.layout)
    if arrays is None:
        return None
    return evidence, Pyramid(group, classes.layout, arrays)
