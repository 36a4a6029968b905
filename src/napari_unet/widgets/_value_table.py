"""What the values of imported labels are: a row for each, or for many at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtWidgets import QGridLayout, QWidget

from napari_unet.annotation.class_map import ClassMap
from napari_unet.annotation.objects import BACKGROUND
from napari_unet.config import AnnotationMode
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._eliding import ElidingCombo
from napari_unet.widgets._label_import import Survey
from napari_unet.widgets._parts import label

__all__ = ["ValueTable"]

MAX_ROWS = 10
"""More values are numbers of objects, and are one row together."""

_IGNORE, _NEW, _EACH = "ignore", "a new class", "objects, each its own number"
_LIKE_NUMBERS = (
    "These look like numbers of objects. To learn each object by itself, press Objects "
    "above the classes first; here, all of them become one class."
)


@dataclass(frozen=True, eq=False)
class _Row:
    values: tuple[int, ...]
    choice: ElidingCombo


class ValueTable(QWidget):
    """Rows of a value, its pixels, and the choice of what it becomes."""

    def __init__(self) -> None:
        super().__init__()
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        self._layout.setColumnStretch(1, 1)
        self._rows: list[_Row] = []
        self._classes: list[int] = []
        self.note = ""
        """What is to be known of the values."""

    @property
    def has_rows(self) -> bool:
        """Whether any values are known."""
        return bool(self._rows)

    @property
    def choices(self) -> list[ElidingCombo]:
        """The choices, from the first row to the last."""
        return [row.choice for row in self._rows]

    def clear(self) -> None:
        """Forget all values."""
        while self._layout.count():
            item = self._layout.takeAt(0)
            widget = None if item is None else item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self._rows, self.note = [], ""

    def show_values(
        self, found: Survey, mode: AnnotationMode, classes: ClassList
    ) -> None:
        """Make the rows for the values that were found."""
        self.clear()
        many = [value for value in found.n_px if value]
        if mode == "objects":
            groups = [many]
        elif len(many) > MAX_ROWS:
            groups, self.note = [many], _LIKE_NUMBERS
        else:
            groups = [[value] for value in many]
        for group in ([[0]] if 0 in found.n_px else []) + [g for g in groups if g]:
            n_px = sum(found.n_px[value] for value in group)
            self._add(tuple(group), n_px, mode)
        self._classes = []
        if mode == "strokes":
            self.show_classes(classes)
            for row in self._rows:
                value = row.values[0] if len(row.values) == 1 else 2
                known = self._classes.index(value) + 1 if value in self._classes else 0
                new = len(self._classes) + 1
                row.choice.setCurrentIndex(known if known or not value else new)

    def show_classes(self, classes: ClassList) -> None:
        """Offer the classes there are now; what is chosen stays."""
        if not self._rows or self._rows[0].choice.property("of_objects"):
            return
        self._classes = classes.values
        texts = [_IGNORE, *(entry.name for entry in classes), _NEW]
        for row in self._rows:
            index = row.choice.currentIndex()
            is_new = index == row.choice.count() - 1 > 0
            row.choice.set_items(texts)
            row.choice.setCurrentIndex(len(texts) - 1 if is_new else max(0, index))

    def class_map(self, add: Callable[[], int]) -> ClassMap:
        """Return what the rows say; ``add`` makes a class and returns its value."""
        chosen = [row.choice.currentIndex() for row in self._rows]
        targets = [0, *self._classes]
        n_known = len(targets)
        values: dict[int, int] = {}
        for row, index in zip(self._rows, chosen, strict=True):
            target = targets[index] if index < n_known else add()
            values |= dict.fromkeys(row.values, target)
        return ClassMap(values, 0)

    def object_map(self, take: Callable[[int], list[int]]) -> ClassMap:
        """Return the same for objects; ``take`` returns so many unused numbers."""
        values: dict[int, int] = {}
        for row in self._rows:
            text = row.choice.currentText()
            if text == _EACH:
                numbers = take(len(row.values))
                values |= dict(zip(row.values, numbers, strict=True))
            elif text != _IGNORE:
                values |= dict.fromkeys(row.values, BACKGROUND)
        return ClassMap(values, 0)

    def _add(self, group: tuple[int, ...], n_px: int, mode: AnnotationMode) -> None:
        many = f"{len(group):,} values, {group[0]} to {group[-1]}"
        name = f"value {group[0]}" if len(group) == 1 else many
        choice = ElidingCombo("What it becomes in the annotation.")
        if mode == "objects":
            choice.setProperty("of_objects", True)
            is_zero = group == (0,)
            rest = [_IGNORE, "background"]
            choice.set_items(rest if is_zero else [_EACH, *rest])
        line = self._layout.rowCount()
        self._layout.addWidget(label(f"{name}  ·  {n_px:,} px"), line, 0)
        self._layout.addWidget(choice, line, 1)
        self._rows.append(_Row(group, choice))
