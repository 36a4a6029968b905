"""The table of annotated objects: the background, and the objects."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

from napari_unet.widgets._class_table import NO_LAYER, ROW_PX, Swatch
from napari_unet.widgets._classes import LabelClass
from napari_unet.widgets._keys import KEYS, class_key
from napari_unet.widgets._layers import object_colormap
from napari_unet.widgets._parts import (
    Button,
    card,
    eliding,
    fill,
    label,
    row,
    set_part,
    sync_property,
)
from napari_unet.widgets._state import ViewerState
from napari_unet.widgets._style import Palette

__all__ = ["ObjectTable", "background_text", "objects_text"]

_REGION = "Complete region"
_REGION_TIP = (
    f"{_REGION}: draw a rectangle ({KEYS['complete']}), or with napari's own tools a "
    "polygon, around a part of the image in which every object is painted: what is "
    "unpainted there counts as background. Drag it, change it, delete it as any shape. "
    f"{KEYS['next_class']} goes on painting."
)


def objects_text(entry: LabelClass) -> str:
    """Return how many objects were painted, such as ``"12 objects, 3,410 px"``."""
    if not entry.n_px:
        return "no object painted yet"
    objects = "1 object" if entry.n_strokes == 1 else f"{entry.n_strokes:,} objects"
    return f"{objects}, {entry.n_px:,} px"


def background_text(entry: LabelClass, n_regions: int) -> str:
    """Return what is known of the background, such as ``"1,204 px, 2 regions"``."""
    regions = "1 region" if n_regions == 1 else f"{n_regions:,} regions"
    if not entry.n_px:
        return regions if n_regions else "not painted yet"
    return f"{entry.n_px:,} px, {regions}" if n_regions else f"{entry.n_px:,} px"


class _Row(QFrame):
    """Background, or the objects; a click takes it up.

    Signals
    -------
    chosen : 1 for the background, 2 for the object that is being painted
    """

    chosen = Signal(int)

    def __init__(self, value: int, name: str, *rest: QLabel) -> None:
        super().__init__()
        self._value = value
        set_part(self, "row")
        self.setFixedHeight(ROW_PX)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.swatch = Swatch()
        self.swatch.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.painted = eliding("muted" if name else "")
        names = [label(name)] if name else []
        layout = row(self.swatch, *names, self.painted, *rest, spacing=5)
        layout.setContentsMargins(4, 0, 4, 0)
        layout.setStretch(layout.indexOf(self.painted), 1)
        if name:  # what was painted ends beside the key
            self.painted.setAlignment(
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            )
        self.setLayout(layout)

    def show_state(self, painted: str, colour: str, is_chosen: bool) -> None:
        """Show what is painted, and in which colour."""
        self.painted.setText(painted)
        self.swatch.colour = colour
        self.swatch.update()
        sync_property(self, "chosen", is_chosen)

    def mousePressEvent(self, _event: QMouseEvent | None) -> None:
        self.chosen.emit(self._value)


class ObjectTable(QWidget):
    """Takes the place of the class table; ``tools`` belong above it."""

    def __init__(self, state: ViewerState) -> None:
        super().__init__()
        self._state = state
        self._colours = object_colormap(has_background=True)
        self.background = _Row(1, "background", label(class_key(1), "muted"))
        next_one = label("next object", "muted"), label(KEYS["next_class"], "key")
        self.objects = _Row(2, "", *next_one)
        self.complete = Button(_REGION, "region", key=KEYS["complete"])
        self.tools = QWidget()
        self.tools.setLayout(row(1, self.complete))
        frame, inner = card(spacing=1)
        inner.setContentsMargins(4, 4, 4, 4)
        fill(inner, self.background, self.objects)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(frame)
        for piece in (self.background, self.objects):
            piece.chosen.connect(state.brush.select)
        self.complete.clicked.connect(lambda: state.book.complete_region())

    def refresh(self) -> None:
        """Show what the state holds."""
        brush = self._state.brush
        background, objects = self._state.classes
        entry = self._state.book.current
        n_regions = entry.regions.n if entry is not None else 0
        number = max(brush.object_id, 2)
        self.background.show_state(
            background_text(background, n_regions), self._colour(1), brush.value == 1
        )
        self.objects.show_state(
            objects_text(objects), self._colour(number), brush.value == 2
        )
        has_annotation = brush.value > 0
        for piece, tip in (
            (
                self.background,
                f"Paint background: click, or press {class_key(1)}. Complete regions "
                "have it wherever there is no object.",
            ),
            (
                self.objects,
                f"Go on with object {number}: click, or press {class_key(2)}. "
                f"{KEYS['next_class']} begins another, with a number of its own.",
            ),
        ):
            piece.setEnabled(has_annotation)
            piece.setToolTip(tip if has_annotation else NO_LAYER)
        self.complete.offer(has_annotation, _REGION_TIP, NO_LAYER)

    def shorten(self, is_short: bool) -> None:
        """Leave room for another button beside those above the table."""
        self.complete.set_caption("Region" if is_short else _REGION)

    def _colour(self, number: int) -> str:
        return QColor.fromRgbF(*map(float, self._colours.map(number))).name()

    def set_palette(self, palette: Palette) -> None:
        """Follow the theme."""
        self.complete.set_palette(palette)
