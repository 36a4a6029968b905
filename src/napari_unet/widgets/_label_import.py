"""Labels that somebody has: which values they hold, and what becomes of them."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.class_map import ClassMap
from napari_unet.errors import AnnotationError
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["MAX_IMPORT_PX", "Pixels", "Survey", "import_job", "survey_job"]

MAX_IMPORT_PX = 64 * 2**20
"""What one step that can be taken back may hold: some 700 MB of indices."""
_BAND_PX = 512


@dataclass(frozen=True)
class Survey:
    """Values of a label array, ascending, with the pixels of each."""

    n_px: dict[int, int]

    @property
    def n_values(self) -> int:
        """How many values there are, beside 0."""
        return len(self.n_px) - (0 in self.n_px)


@dataclass(frozen=True, eq=False)
class Pixels:
    """What is to be painted: indices, one array for each axis, and values (n,)."""

    where: tuple[NDArray[np.int32], ...]
    values: NDArray[np.uint16]


def survey_job(token: CancelToken, data: Any) -> Generator[JobEvent, None, Survey]:
    """Count the pixels of each value; reads a band of rows at a time.

    Raises
    ------
    AnnotationError
        If these are no whole numbers.
    """
    if np.dtype(data.dtype).kind not in "biu":
        raise AnnotationError(
            f"the labels are of the type {data.dtype}: whole numbers are needed"
        )
    n_px: dict[int, int] = {}
    for _, band in _bands(data):
        if token.cancelled:
            break
        for value, n in zip(*np.unique(band, return_counts=True), strict=True):
            n_px[int(value)] = n_px.get(int(value), 0) + int(n)
    return Survey(dict(sorted(n_px.items())))
    yield  # a job, though it has nothing to tell meanwhile


def import_job(
    token: CancelToken, data: Any, class_map: ClassMap
) -> Generator[JobEvent, None, Pixels]:
    """Return what labels are as annotation.

    Raises
    ------
    AnnotationError
        If it is more than one step can hold.
    """
    columns: list[tuple[NDArray[np.int32], ...]] = []
    values: list[NDArray[np.uint16]] = []
    n = 0
    for (index, y), band in _bands(data):
        if token.cancelled:
            break
        mapped: Any = class_map.apply(band)
        rows, places = np.nonzero(mapped)
        n += len(rows)
        if n > MAX_IMPORT_PX:
            raise AnnotationError(
                f"the labels would paint more than {MAX_IMPORT_PX:,} px in one step: "
                "ignore some of their values, or choose the layer itself as Annotation"
            )
        leading = (np.full(len(rows), i, np.int32) for i in index)
        columns.append((*leading, (rows + y).astype(np.int32), places.astype(np.int32)))
        values.append(mapped[rows, places].astype(np.uint16))
    where = tuple(np.concatenate(column) for column in zip(*columns, strict=True))
    return Pixels(where, np.concatenate(values) if values else np.zeros(0, np.uint16))
    yield  # a job, though it has nothing to tell meanwhile


def _bands(data: Any) -> Iterator[tuple[tuple[tuple[int, ...], int], NDArray[Any]]]:
    """Yield the index of each plane and the first row of a band of it, and the band."""
    for index in np.ndindex(*data.shape[:-2]):
        for y in range(0, data.shape[-2], _BAND_PX):
            yield (index, y), np.asarray(data[(*index, slice(y, y + _BAND_PX))])
