"""The classes of one viewer: value, name, colour, and what was painted of each."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.export.picture import class_colour
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["ClassList", "Counted", "LabelClass", "count_job"]


@dataclass(frozen=True)
class LabelClass:
    """One class: ``value`` is what is painted into the annotation."""

    value: int
    name: str
    colour: str
    n_px: int = 0
    n_strokes: int = 0


@dataclass(frozen=True)
class Counted(JobEvent):
    """What is painted in one image: class value -> (pixels, strokes)."""

    key: str
    counts: dict[int, tuple[int, int]]


def count_job(
    token: CancelToken, annotations: Mapping[str, NDArray[np.integer]]
) -> Generator[JobEvent, None, None]:
    """Count pixels and strokes per class; a stroke is one connected mark in a plane."""
    from scipy import ndimage

    for key, annotation in annotations.items():
        planes = annotation.reshape(-1, *annotation.shape[-2:])
        n_strokes: dict[int, int] = {}
        n_px: dict[int, int] = {}
        for plane in planes:
            if token.cancelled:
                return
            if not plane.any():
                continue
            # each class in the box that its strokes need: a hundred classes cost
            # hardly more than one
            for value, box in enumerate(ndimage.find_objects(plane), start=1):
                if box is not None:
                    marks = plane[box] == value
                    n = ndimage.label(marks, structure=np.ones((3, 3)))[1]
                    n_strokes[value] = n_strokes.get(value, 0) + int(n)
                    n_px[value] = n_px.get(value, 0) + int(np.count_nonzero(marks))
        yield Counted(key, {v: (n_px[v], n_strokes[v]) for v in n_px})


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
        self._classes: dict[int, LabelClass] = {}
        self._counts: dict[str, dict[int, tuple[int, int]]] = {}
        self._insert(1, "background")
        self._insert(2, "object")

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

    def recolour(self, value: int, colour: str) -> None:
        """Give a class another colour, ``"#rrggbb"``."""
        if colour != self._classes[value].colour:
            self._classes[value] = replace(self._classes[value], colour=colour)
            self.changed.emit()

    def set_counts(self, key: str, counts: dict[int, tuple[int, int]]) -> None:
        """Take over what is painted in one image; totals run over all images."""
        self._counts[key] = counts
        for value, old in self._classes.items():
            parts = [c[value] for c in self._counts.values() if value in c]
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
