"""The rows of a table of objects, measured block by block."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.export.frames import BLOCK_PX, Frames, Part, blocks_of
from napari_unet.export.quantities import Quantity, Region
from napari_unet.jobs import CancelToken, JobEvent, Progress

__all__ = ["Objects", "Rows", "object_rows"]

Box = tuple[tuple[int, ...], tuple[int, ...]]
Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Objects:
    """What is measured.

    Attributes
    ----------
    frames
        Labels and image.
    scale
        World units per pixel within a frame.
    classes
        Of each object by its number, or frames of a label image of classes; None: not
        known.
    background
        Labels besides 0 that are no objects.
    """

    frames: Frames
    scale: tuple[float, ...]
    classes: NDArray[Any] | Frames | None = None
    background: Collection[int] = ()


@dataclass(frozen=True, eq=False)
class Rows:
    """What was measured.

    Attributes
    ----------
    keys
        Index of the frame, label and class of each row, (n, leading axes + 2).
    values
        One column per number, (n, n_columns); (0, 0) where nothing was found.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def of(
        cls, frames: Frames, keys: list[tuple[int, ...]], values: list[list[float]]
    ) -> Rows:
        """Return these rows."""
        n_keys = len(frames.leading_axes) + 2
        n_columns = len(values[0]) if values else 0
        return cls(
            np.array(keys, np.int64).reshape(-1, n_keys),
            np.array(values, np.float64).reshape(-1, n_columns or 1)[:, :n_columns],
        )


def object_rows(
    token: CancelToken, objects: Objects, quantities: Sequence[Quantity]
) -> Generator[JobEvent, None, Rows | None]:
    """Measure every object of every frame; None where cancelled.

    Rows come by frame, and within it by label.
    """
    frames = objects.frames
    keys: list[tuple[int, ...]] = []
    values: list[list[float]] = []
    for n_done, index in enumerate(frames):
        boxes = yield from _find_boxes(token, objects, index)
        if boxes is None:
            return None
        found: dict[int, tuple[int, list[float]]] = {}
        for group, part in _groups(boxes, frames.shape):
            window = _Window(objects, index, part)
            for label in group:
                if token.cancelled:
                    return None
                row = window.measure(label, boxes[label], quantities)
                if row is not None:
                    found[label] = row
            share = (n_done + len(found) / len(boxes)) / len(frames)
            yield Progress(round(1000 * share), 1000, "measured")
        for label in sorted(found):
            of_class, numbers = found[label]
            keys.append((*index, label, of_class))
            values.append(numbers)
    return Rows.of(frames, keys, values)


def _find_boxes(
    token: CancelToken, objects: Objects, index: Index
) -> Generator[JobEvent, None, dict[int, Box] | None]:
    """Return the box of each object of a frame: first pixel, and behind the last."""
    boxes: dict[int, Box] = {}
    for part in blocks_of(objects.frames.shape):
        if token.cancelled:
            return None
        corner = tuple(p.start for p in part)
        for label, box in _boxes_within(objects.frames.labels(index, part)):
            start = tuple(c + s.start for c, s in zip(corner, box, strict=True))
            stop = tuple(c + s.stop for c, s in zip(corner, box, strict=True))
            if label in boxes:
                start = tuple(map(min, start, boxes[label][0]))
                stop = tuple(map(max, stop, boxes[label][1]))
            boxes[label] = start, stop
    for label in objects.background:
        boxes.pop(label, None)
    yield from ()
    return boxes


def _boxes_within(block: NDArray[Any]) -> Iterator[tuple[int, Part]]:
    from scipy import ndimage

    values = None
    if int(block.max(initial=0)) > max(block.size, 1000):
        # a list as long as the highest number would not fit
        values, places = np.unique(block, return_inverse=True)
        block = places.reshape(block.shape) + 1
    elif block.dtype == np.uint64:
        block = block.astype(np.int64)
    for number, box in enumerate(ndimage.find_objects(block), start=1):
        label = number if values is None else int(values[number - 1])
        if box is not None and label > 0:
            yield label, box


def _groups(
    boxes: dict[int, Box], shape: tuple[int, ...]
) -> Iterator[tuple[list[int], Part]]:
    """Yield objects that lie together, and the part of the frame that holds them."""
    side = [max(1, n) for n in _first_block(shape)]
    together: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for label, (start, _stop) in boxes.items():
        together[tuple(a // n for a, n in zip(start, side, strict=True))].append(label)
    for group in together.values():
        part = _around([boxes[label] for label in group])
        if math.prod(p.stop - p.start for p in part) <= 2 * BLOCK_PX:
            yield group, part
        else:  # a large object among them: each by itself
            for label in group:
                yield [label], _around([boxes[label]])


def _first_block(shape: tuple[int, ...]) -> list[int]:
    return [part.stop for part in next(blocks_of(shape, BLOCK_PX // 4))]


def _around(boxes: Sequence[Box]) -> Part:
    starts, stops = zip(*boxes, strict=True)
    low, high = np.min(starts, axis=0), np.max(stops, axis=0)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


class _Window:
    """A part of a frame, read once for the objects in it."""

    def __init__(self, objects: Objects, index: Index, part: Part) -> None:
        frames = objects.frames
        self._objects = objects
        self._corner = tuple(p.start for p in part)
        self._labels = frames.labels(index, part)
        self._image = frames.image(index, part)
        self._classes: NDArray[Any] | None = None
        if isinstance(objects.classes, Frames):
            self._classes = objects.classes.labels(index, part)

    def measure(
        self, label: int, box: Box, quantities: Sequence[Quantity]
    ) -> tuple[int, list[float]] | None:
        """Return class and numbers of an object; None if it went in the meantime."""
        start, stop = box
        ends = zip(start, stop, self._corner, strict=True)
        part = tuple(slice(a - c, b - c) for a, b, c in ends)
        mask = self._labels[part] == label
        if not mask.any():  # the layer is being painted in
            return None
        values = self._image[(slice(None), *part)][:, mask].astype(np.float64)
        region = Region(
            mask, start, self._objects.frames.shape, self._objects.scale, values
        )
        with np.errstate(invalid="ignore", over="ignore"):  # of infinite values
            numbers = [float(n) for q in quantities for n in q.measure(region)]
        return self._class_of(label, part, mask), numbers

    def _class_of(self, label: int, part: Part, mask: NDArray[np.bool_]) -> int:
        """Return the class of an object, 0 where it is not known."""
        classes = self._objects.classes
        if self._classes is not None:
            inside = self._classes[part][mask]
            values, counts = np.unique(inside[inside != 0], return_counts=True)
            return int(values[np.argmax(counts)]) if len(values) else 0
        if isinstance(classes, np.ndarray):
            return int(classes[label]) if label < len(classes) else 0
        return 0
