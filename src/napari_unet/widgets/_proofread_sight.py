"""What an image shows and has painted, as proofreading sees it.

Both together are what a person looks at: where something is painted, that; elsewhere
what was predicted. Layers are read by the box, so that of a large overlay only what is
needed comes from the disk.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.proofreading import (
    Part,
    Slices,
    known_objects,
    part_at,
)
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import AnnotationError
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._layers import is_grey

__all__ = ["FreshIds", "Sight", "Thing"]

_MAX_ID = 65_535
Point = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Thing:
    """An object, or a region of one class.

    ``label`` is its class or, where objects are annotated, its number in the
    annotation; 0: it has none yet. ``is_painted``: it is what is annotated.
    """

    part: Part
    label: int
    is_painted: bool = False

    @property
    def is_background(self) -> bool:
        """Whether it is what is around objects."""
        return self.label == BACKGROUND


class FreshIds:
    """Numbers for new objects: of no annotated one, nor of the one being painted."""

    def __init__(self, painted: TiledLabels | None, layer: Labels) -> None:
        self._painted = painted
        self._highest = min(_MAX_ID, int(np.iinfo(layer.data.dtype).max))
        used = 1 if painted is None else painted.highest
        self._last = max(used, int(layer.selected_label), BACKGROUND)
        self._gaps: list[int] | None = None

    def take(self, n: int) -> list[int]:
        """Return so many numbers, ascending while there are higher ones.

        Raises
        ------
        AnnotationError
            If all numbers that the layer can hold are in use.
        """
        numbers: list[int] = []
        while len(numbers) < n and self._last < self._highest:
            self._last += 1
            if not is_grey(self._last):
                numbers.append(self._last)
        if len(numbers) < n:
            numbers += self._from_gaps(n - len(numbers))
        return numbers

    def _from_gaps(self, n: int) -> list[int]:
        if self._gaps is None:
            is_used = np.zeros(_MAX_ID + 2, bool)
            tiles = () if self._painted is None else self._painted.tiles.values()
            for tile in tiles:
                is_used[tile] = True
            free = np.flatnonzero(~is_used[: self._highest + 1]).tolist()
            self._gaps = [i for i in free if i > BACKGROUND and not is_grey(i)]
        taken, self._gaps = self._gaps[:n], self._gaps[n:]
        if len(taken) < n:
            raise AnnotationError(
                f"the annotation has no number left for another object: it can hold "
                f"{self._highest - 1:,} of them"
            )
        return taken


class Sight:
    """One image at one moment.

    Parameters
    ----------
    entry
        The image; it must have an annotation.
    shows_objects
        Whether objects with ids are shown, and not classes.
    """

    def __init__(self, entry: AnnotatedImage, shows_objects: bool) -> None:
        assert entry.annotation is not None
        self.entry, self.layer = entry, entry.annotation
        self.of_objects = entry.mode == "objects"
        self.shows_objects = shows_objects and entry.objects is not None
        self.shape = tuple(int(n) for n in entry.shape)
        axes = entry.axes.replace("C", "")
        is_volume = self.of_objects or self.shows_objects
        # ids of objects that go through z are those of the whole image
        self.through = (axes.index("Z"),) if "Z" in axes and is_volume else ()
        self.fresh = FreshIds(entry.copy, entry.annotation)

    # --- layers, by the box ----------------------------------------------------------

    def painted(self, box: Slices) -> NDArray[Any]:
        """Return the annotation."""
        return np.asarray(self.layer.data[box])

    def classes(self, box: Slices) -> NDArray[Any]:
        """Return predicted classes: of the overlay, where it has none of the store."""
        live, stored = self.entry.prediction, self.entry.stored
        found = np.zeros([s.stop - s.start for s in box], np.uint8)
        if live is not None:
            found = np.asarray(live.data[box])
        if stored is not None and not found.all():
            level = stored.data[0] if stored.multiscale else stored.data
            found = np.where(found == 0, np.asarray(level[box]), found)
        return found

    def objects(self, box: Slices) -> NDArray[Any]:
        """Return predicted objects, 0 elsewhere."""
        layer = self.entry.objects
        if layer is None or not self.shows_objects:
            return np.zeros([s.stop - s.start for s in box], np.uint16)
        return np.asarray(layer.data[box])

    def seen_classes(self, box: Slices) -> NDArray[Any]:
        """Return classes; where something is painted, that."""
        painted = self.painted(box)
        return np.where(painted > 0, painted, self.classes(box))

    def seen_objects(self, box: Slices) -> NDArray[Any]:
        """Return predicted objects, without what is painted over them."""
        painted, found = self.painted(box), self.objects(box)
        is_over = painted > 0 if self.of_objects else painted == BACKGROUND
        return np.where(is_over, 0, found)

    def seen_background(self, box: Slices) -> NDArray[np.uint8]:
        """Return 1 where annotated objects have background, painted or predicted."""
        painted = self.painted(box)
        background: NDArray[np.uint8] = (painted == BACKGROUND).astype(np.uint8)
        background[painted == 0] = self._background(box)[painted == 0]
        return background

    # --- what is at a place ----------------------------------------------------------

    def has(self, point: Point) -> bool:
        """Whether a point lies in the image."""
        return all(0 <= i < n for i, n in zip(point, self.shape, strict=True))

    def is_object(self, box: Slices) -> NDArray[np.bool_]:
        """Return where there are objects, or classes that are not background."""
        if self.of_objects:
            found = (self.painted(box) > BACKGROUND) | (self.seen_objects(box) > 0)
        else:
            found = self.seen_classes(box) > BACKGROUND
        return np.asarray(found, bool)

    def thing_at(self, point: Point, *, is_predicted: bool = False) -> Thing | None:
        """Return what is seen at a point, or what is predicted; None: nothing."""
        if not self.has(point):
            return None
        if self.of_objects and not is_predicted:
            number = int(self.painted(_pixel(point)).item())
            if number > BACKGROUND:
                part = self._by_number(self.painted, point)
                return None if part is None else Thing(part, number, True)
        objects = self.objects if is_predicted else self.seen_objects
        part = self._by_number(objects, point)
        if part is not None and self.of_objects:
            return Thing(part, 0)
        if part is not None:
            label = self._class_of(part)
            if not label:
                return None
            if not is_predicted:  # what was painted there as another class is not its
                painted = self.painted(part.box)
                is_its = part.mask & ((painted == 0) | (painted == label))
                part = replace(part, mask=is_its)
            if _has(part, point):
                return Thing(part, label)
        classes = self.classes if is_predicted else self.seen_classes
        if self.of_objects:
            classes = self._background if is_predicted else self.seen_background
        part = self._connected(classes, point)
        return None if part is None else Thing(part, part.value)

    def mark_at(self, point: Point) -> Thing | None:
        """Return what is painted at a point: an object, or a connected mark."""
        if not self.has(point):
            return None
        number = int(self.painted(_pixel(point)).item())
        if self.of_objects and number > BACKGROUND:
            part = self._by_number(self.painted, point)
        else:
            part = self._connected(self.painted, point)
        return None if part is None else Thing(part, number, True)

    def number_of(self, thing: Thing) -> int:
        """Return the number of an object in the annotation; a new one if it has none.

        One that was painted in part keeps that number.
        """
        if thing.label:
            return thing.label
        found = np.where(self.objects(thing.part.box) == thing.part.value, 1, 0)
        known = known_objects(found, self.painted(thing.part.box))
        return known[1] if known else self.fresh.take(1)[0]

    def _background(self, box: Slices) -> NDArray[np.uint8]:
        is_it = (self.objects(box) == 0) & (self.classes(box) == BACKGROUND)
        found: NDArray[np.uint8] = is_it.astype(np.uint8)
        return found

    def _class_of(self, part: Part) -> int:
        """Return the class that most pixels of an object have, but background."""
        counts = np.bincount(self.seen_classes(part.box)[part.mask])
        counts[: BACKGROUND + 1] = 0
        return int(counts.argmax()) if counts.any() else 0

    def _by_number(self, read: Any, point: Point) -> Part | None:
        return part_at(
            read, self.shape, point, is_connected=False, through=self.through
        )

    def _connected(self, read: Any, point: Point) -> Part | None:
        return part_at(read, self.shape, point, is_connected=True)


def _has(part: Part, point: Point) -> bool:
    here = tuple(i - s.start for i, s in zip(point, part.box, strict=True))
    return bool(part.mask[here])


def _pixel(point: Point) -> Slices:
    return tuple(slice(i, i + 1) for i in point)
