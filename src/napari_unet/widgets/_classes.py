"""The classes of one viewer: value, name, colour, and what was painted of each."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.annotation.advice import advise_missing_objects
from napari_unet.annotation.objects import BACKGROUND, INSIDE, object_targets
from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.export.picture import class_colour
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["ClassList", "Counted", "LabelClass", "Painted", "count_job"]

_STRUCTURE = np.ones((3, 3))


@dataclass(frozen=True, eq=False)
class Painted:
    """What is to be counted: an annotation, and where it is complete."""

    annotation: TiledLabels
    mode: AnnotationMode = "strokes"
    complete: TiledLabels | None = None


@dataclass(frozen=True)
class LabelClass:
    """One class: ``value`` is what is painted into the annotation.

    Objects are a class as well, and their number is that of its strokes.
    """

    value: int
    name: str
    colour: str
    n_px: int = 0
    n_strokes: int = 0


@dataclass(frozen=True)
class Counted(JobEvent):
    """What is painted in one image: class value -> (pixels, strokes or objects).

    ``targets`` are what is learned from objects, and ``is_complete`` tells whether a
    region is.
    """

    key: str
    counts: dict[int, tuple[int, int]]
    mode: AnnotationMode = "strokes"
    targets: tuple[int, ...] = ()
    is_complete: bool = False


def count_job(
    token: CancelToken, painted: Mapping[str, Painted]
) -> Generator[JobEvent, None, None]:
    """Count what is painted in images; a stroke is one connected mark in a plane."""
    for key, part in painted.items():
        count = _count_strokes if part.mode == "strokes" else _count_objects
        counted = count(token, key, part)
        if counted is None:
            return
        yield counted


def _count_strokes(token: CancelToken, key: str, painted: Painted) -> Counted | None:
    """Count pixels and strokes of each class; None where cancelled."""
    counter = _StrokeCounter()
    for plane in painted.annotation.cells:
        for _, part in painted.annotation.groups(plane):
            if token.cancelled:
                return None
            counter.add(part)
    return Counted(key, counter.counts)


class _StrokeCounter:
    """Adds up the pixels and connected marks of each class."""

    def __init__(self) -> None:
        self.counts: dict[int, tuple[int, int]] = {}

    def add(self, part: NDArray[np.integer]) -> None:
        """Count a part of a plane, (Y, X); no mark goes on in another."""
        from scipy import ndimage

        # each class in the box that its strokes need: a hundred classes cost hardly
        # more than one
        for value, box in enumerate(ndimage.find_objects(part), start=1):
            if box is not None:
                marks = part[box] == value
                n_strokes = int(ndimage.label(marks, structure=_STRUCTURE)[1])
                n_px, n_before = self.counts.get(value, (0, 0))
                n_px += int(np.count_nonzero(marks))
                self.counts[value] = n_px, n_before + n_strokes


def _count_objects(token: CancelToken, key: str, painted: Painted) -> Counted | None:
    """Count the background's strokes, and objects; None where cancelled."""
    ids, complete = painted.annotation, painted.complete
    background = _StrokeCounter()
    n_px = np.zeros(ids.highest + 1, np.int64)
    targets: set[int] = set()
    for _, _, part, region in ids.groups_with(complete):
        if token.cancelled:
            return None
        background.add(np.where(part == BACKGROUND, part, 0))
        n_px += np.bincount(part.ravel(), minlength=len(n_px))
        targets |= set(np.unique(object_targets(part, region)).tolist())
    counts = background.counts
    n_px_of_objects = n_px[INSIDE:]
    if n_px_of_objects.any():
        n_objects = int(np.count_nonzero(n_px_of_objects))
        counts[INSIDE] = int(n_px_of_objects.sum()), n_objects
    values = tuple(sorted(targets - {0}))
    is_complete = complete is not None and complete.any()
    return Counted(key, counts, "objects", values, is_complete)


class ClassList(QObject):
    """The classes, in the order of their values; the first is the background.

    Signals
    -------
    changed : a class was added, renamed or recoloured
    counted : other numbers of pixels or strokes
    """

    changed = Signal()
    counted = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._of_mode: dict[AnnotationMode, dict[int, LabelClass]] = {
            "strokes": {},
            "objects": {},
        }
        self._counted: dict[str, Counted] = {}
        for mode, classes in self._of_mode.items():
            self._mode, self._classes = mode, classes
            self._insert(1, "background")
            self._insert(2, "object")
        self.set_mode("strokes")

    def __iter__(self) -> Iterator[LabelClass]:
        return iter(sorted(self._classes.values(), key=lambda c: c.value))

    def __len__(self) -> int:
        return len(self._classes)

    @property
    def values(self) -> list[int]:
        """Class values, ascending."""
        return sorted(self._classes)

    @property
    def names(self) -> dict[int, str]:
        """Class value -> name."""
        return {value: self._classes[value].name for value in self.values}

    def set_mode(self, mode: AnnotationMode) -> None:
        """Go over to the classes of strokes, or to background and object."""
        self._mode, self._classes = mode, self._of_mode[mode]
        self._counted.clear()
        self._add_up()
        self.changed.emit()

    @property
    def can_learn(self) -> bool:
        """Whether enough is painted to learn from; as the learner itself has it."""
        if self._mode == "strokes":
            return sum(1 for entry in self if entry.n_px) >= 2
        counted = self._counted.values()
        targets = tuple(sorted({value for part in counted for value in part.targets}))
        is_filled = any(part.is_complete for part in counted)
        return not advise_missing_objects(targets, is_filled)

    def get(self, value: int) -> LabelClass | None:
        """Return the class with this value, if there is one."""
        return self._classes.get(value)

    def add(self) -> LabelClass:
        """Append a class with the next value, a name and a colour."""
        value = max(self._classes) + 1
        self._insert(value, f"class {value}")
        self.changed.emit()
        return self._classes[value]

    def ensure(self, values: Iterable[int]) -> None:
        """Add the classes of an annotation that are not in the list yet."""
        new = [v for v in values if v and v not in self._classes]
        for value in new:
            self._insert(value, f"class {value}")
        if new:
            self.changed.emit()

    def rename(self, value: int, name: str) -> None:
        """Name a class; an empty name is ignored."""
        name = name.strip()
        if name and name != self._classes[value].name:
            self._classes[value] = replace(self._classes[value], name=name)
            self.changed.emit()

    def rename_all(self, names: Mapping[int, str]) -> None:
        """Take over names, adding classes where needed."""
        self.ensure(names)
        for value, name in names.items():
            self.rename(value, name)

    def replace(self, classes: Iterable[LabelClass]) -> None:
        """Have these classes of strokes instead, such as a project's."""
        strokes = self._of_mode["strokes"]
        strokes.clear()
        strokes.update({entry.value: entry for entry in classes})
        self._add_up()
        self.changed.emit()

    def recolour(self, value: int, colour: str) -> None:
        """Give a class another colour, ``"#rrggbb"``."""
        if colour != self._classes[value].colour:
            self._classes[value] = replace(self._classes[value], colour=colour)
            self.changed.emit()

    def set_counts(self, counted: Counted) -> None:
        """Take over what is painted in one image; totals run over all images."""
        if counted.mode == self._mode:
            self.ensure(counted.counts)
            self._counted[counted.key] = counted
            self._add_up()

    def copy_counts(self, key: str, new_key: str) -> None:
        """Count what is painted in one image under another key as well."""
        if key in self._counted:
            self._counted[new_key] = replace(self._counted[key], key=new_key)
            self._add_up()

    def drop_counts(self, key: str) -> None:
        """Note that nothing is painted in an image, or that it went."""
        self._counted.pop(key, None)
        self._add_up()

    def _add_up(self) -> None:
        for value, old in self._classes.items():
            all_counts = (part.counts for part in self._counted.values())
            parts = [counts[value] for counts in all_counts if value in counts]
            self._classes[value] = replace(
                old,
                n_px=sum(n for n, _ in parts),
                n_strokes=sum(n for _, n in parts),
            )
        self.counted.emit()

    def colormap(self, *, has_background: bool = True) -> DirectLabelColormap:
        """Return the colours for a label layer; each layer needs its own instance."""
        colours: dict[int | None, str] = {None: "#FFFFFF", 0: "transparent"}
        for entry in self._classes.values():
            colours[entry.value] = entry.colour
        if not has_background:
            colours[1] = "transparent"
        return DirectLabelColormap(color_dict=colours)

    def _insert(self, value: int, name: str) -> None:
        colour = "#{:02X}{:02X}{:02X}".format(*class_colour(value))
        self._classes[value] = LabelClass(value, name, colour)
