"""Writes tiles into a store that is there: in this process or on another machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.errors import FileError
from napari_unet.export.object_store import EVIDENCE
from napari_unet.export.zarr_record import (
    probabilities_path,
    read_record,
    saying_what_failed,
)

if TYPE_CHECKING:
    import zarr

    # they bring torch, and opening a dock must not wait for it
    from napari_unet.inference.prediction import Prediction
    from napari_unet.inference.tiles import Tile

__all__ = ["ZarrWriter"]


@dataclass(frozen=True)
class ZarrWriter:
    """Writes the tiles of a store's finest level, wherever its path can be seen.

    It says nothing about what is done: one process keeps that, `ZarrStore.mark`. No two
    tiles share a file, and files are replaced as a whole, so that several may write at
    the same time, and the same tile twice.

    Attributes
    ----------
    path
        The folder of the labels.
    axes
        Of the labels, one letter per axis.
    has_probabilities
        Whether the probabilities, beside the labels, are written too.
    has_evidence
        Whether what objects are cut from is written too.
    record
        What the store says about its making.
    """

    path: Path
    axes: str
    has_probabilities: bool
    has_evidence: bool
    record: Mapping[str, Any]

    def check(self) -> None:
        """See whether this very store is here, and can be written to.

        Raises
        ------
        FileError
            If it is missing, another one, or read-only.
        """
        for path in self._paths:
            found = read_record(path)
            if found is None:
                raise FileError(f"there is no {path} here")
            if any(found.get(name) != value for name, value in self.record.items()):
                raise FileError(f"{path} is another store here, of another run")
            if not os.access(path, os.W_OK):
                raise FileError(f"{path} cannot be written to from here")

    def write(self, index: tuple[int, ...], tile: Tile, found: Prediction) -> None:
        """Write a tile (h, w) of the plane at this leading index.

        Raises
        ------
        FileError
            If the disk is full, or the store was taken away.
        """
        leading: tuple[int | slice, ...] = index
        rows, columns = slice(tile.y0, tile.y1), slice(tile.x0, tile.x1)
        arrays = self._arrays
        with saying_what_failed(self.path):
            if self.has_probabilities:
                n_times = int("T" in self.axes)
                of_all = (*leading[:n_times], slice(None), *leading[n_times:])
                where = (*of_all, rows, columns)
                arrays["probabilities"][where] = found.probabilities
            arrays["labels"][(*leading, rows, columns)] = found.labels
            if self.has_evidence:
                arrays["evidence"][(*leading, rows, columns)] = found.evidence

    @property
    def _paths(self) -> list[Path]:
        paths = [self.path, probabilities_path(self.path)]
        return paths if self.has_probabilities else paths[:1]

    @cached_property
    def _arrays(self) -> dict[str, zarr.Array[Any]]:
        """The finest level of each image that is written."""
        import zarr

        arrays = {"labels": self.path / "0"}
        if self.has_probabilities:
            arrays["probabilities"] = probabilities_path(self.path) / "0"
        if self.has_evidence:
            arrays["evidence"] = self.path / EVIDENCE
        with saying_what_failed(self.path):
            return {
                name: zarr.open_array(path, mode="r+") for name, path in arrays.items()
            }
