"""Goes from one image of a project to another: one leaves the viewer, one comes."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QApplication

from napari_unet.errors import NapariUnetError
from napari_unet.jobs import JobEvent
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._brush import Brush
from napari_unet.widgets._canvas import keep_shaders
from napari_unet.widgets._layers import SHOWN_OF, image_array, role_of
from napari_unet.widgets._painting import Painting
from napari_unet.widgets._project_others import OtherImages
from napari_unet.widgets._snapshot import snapshot

if TYPE_CHECKING:
    from napari_unet.project import ProjectImage

__all__ = ["ImageOpener"]

TURN_MS = 20
"""Between the layers that leave and those that come, for what else is to be heard."""


class ImageOpener(QObject):
    """Opens images of the project in the viewer, one after the other.

    Then the image that was current leaves, with all its layers: it is saved, and goes
    on being learned from. One that is in no file stays, because it could not come back.

    Signals
    -------
    said : (sentence, level)
    turned : another image of the project is current
    """

    said = Signal(str, str)
    turned = Signal()

    def __init__(
        self,
        viewer: Callable[[], Any],
        others: OtherImages,
        painting: Painting,
        brush: Brush,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._others, self._keeper, self._book = others, others.keeper, others.book
        self._painting, self._brush = painting, brush
        self._value = 0
        """The class that was painted with, to go on with."""
        self._awaited: str | None = None
        """Key of the image that was opened and is not recognised yet."""
        self._is_turning = False
        self._keeper.heard.connect(self._hear)

    @property
    def current(self) -> int | None:
        """The number of the current image, if it is in the project."""
        entry = self._book.current
        return None if entry is None else self._keeper.number_of(entry)

    def open(self, number: int) -> None:
        """Open an image, or go to it where it is in the viewer."""
        self._find(number)

    def open_next(self) -> None:
        """Open the next image that is not done."""
        if self._keeper.project is None or not self._keeper.is_named:
            self.said.emit("Open or make a project first.", "info")
        else:
            self._find(None)

    def toggle_done(self) -> None:
        """Say that the current image is done, or that it is not."""
        from napari_unet.widgets._project_actions import set_done

        number, project = self.current, self._keeper.project
        if number is None or project is None or not self._keeper.is_named:
            self.said.emit("The current image is not in a project.", "info")
            return
        is_done = project.record.image(number).is_done
        self._keeper.do(partial(set_done, numbers=[number], is_done=not is_done))

    def _find(self, number: int | None) -> None:
        from napari_unet.widgets._project_reading import find_image

        if self._is_turning:
            return
        numbers = map(self._keeper.number_of, self._book)
        here = frozenset(n for n in numbers if n is not None)
        self._keeper.do(
            partial(find_image, number=number, after=self.current, here=here)
        )

    def _hear(self, event: JobEvent) -> None:
        from napari_unet.widgets._desk_events import Recognised
        from napari_unet.widgets._project_reading import ImageFound

        if isinstance(event, ImageFound):
            self._turn_to(event.image, event.path)
        elif isinstance(event, Recognised) and event.key == self._awaited:
            self._awaited = None
            self._take_brush(event.key)

    def _turn_to(self, image: ProjectImage, path: Path | None) -> None:
        entry = next(
            (e for e in self._book if self._keeper.number_of(e) == image.number), None
        )
        current = self._book.current
        if self._is_turning or (entry is not None and entry is current):
            return
        self._value = self._brush.value or self._value
        if entry is not None:
            self._book.choose(entry.image)
            layer = entry.annotation or entry.image
            self._book.layers.selection.active = layer
            self.turned.emit()
        elif path is not None and (current is None or self._is_kept(current)):
            self._come(image, path, current)

    # --- one comes ------------------------------------------------------------------

    def _is_kept(self, entry: AnnotatedImage) -> bool:
        """Copy what is painted on an image; False where it cannot be kept."""
        self._painting.take()
        try:
            if entry.annotation is not None:
                snapshot(entry.annotation, entry.copy, entry.mode)
        except NapariUnetError as error:
            self.said.emit(f"Cannot be left: {error}.", "warning")
            return False
        return True

    def _come(
        self, image: ProjectImage, path: Path, before: AnnotatedImage | None
    ) -> None:
        viewer = self._viewer()
        if viewer is None or not self._book.is_listening:
            return  # it closed in that moment
        self._book.deafen()
        try:
            layers = _open(viewer, path, image.reader)
            layer = _pick(layers, image)
            self._keeper.expect(str(layer.unique_id), image.number)
            self._book.choose(layer, image.axes)
        except Exception as error:  # whatever a reader raises
            self.said.emit(f"{path} could not be opened: {error}", "warning")
            return
        finally:
            self._book.listen()
        entry = self._book.current
        if entry is None or entry is before:
            return
        if image.channels:
            come = {_plain(i.name): i for i in layers if isinstance(i, Image)}
            found = [come[name] for name in map(_plain, image.channels) if name in come]
            self._book.channels.choose(found, is_as_learned=before is not None)
        self._awaited = entry.key
        viewer.reset_view()
        self.turned.emit()
        if before is not None:
            self._is_turning = True
            keep_shaders()
            _draw_now()
            QTimer.singleShot(TURN_MS, partial(self._leave, before))

    def _take_brush(self, key: str) -> None:
        """Be ready to paint, on what came back or on a new annotation."""
        entry = self._book.get(key)
        if entry is None or entry is not self._book.current:
            return
        if entry.annotation is None:
            self._book.new_annotation()
        self._brush.select(self._value or self._brush.value)

    # --- one leaves -----------------------------------------------------------------

    def _leave(self, entry: AnnotatedImage) -> None:
        """Let an image of the project leave the viewer, and go on learning from it."""
        self._is_turning = False
        if self._viewer() is None or not self._book.is_listening:
            return  # it closed in that moment
        number, project = self._keeper.number_of(entry), self._keeper.project
        if number is None or project is None or entry not in list(self._book):
            return  # not of the project: it stays
        if project.record.image(number).path is None:
            return  # it is in no file, and could not come back
        self._others.take_over(entry, number)
        gone = self._layers_of(entry)
        self._book.deafen()
        for layer in gone:
            self._book.layers.remove(layer)
        self._book.listen()
        _draw_now()

    def _layers_of(self, entry: AnnotatedImage) -> list[Layer]:
        """Return an image's layers and ours on it, the image first."""
        layers = self._book.layers
        path = entry.image.source.path
        of_file = [
            layer
            for layer in layers
            if isinstance(layer, Image) and path and layer.source.path == path
        ]
        kept = [entry.kept("strokes"), entry.kept("objects")]
        weights = f"{entry.image.name} border weights"
        shown = [i for i in layers if role_of(i) == "weights" and i.name == weights]
        shown += [i for i in layers if i.metadata.get(SHOWN_OF) == entry.key]
        ours = [*entry.layers, *entry.channels.layers, *kept, *of_file, *shown]
        once = {id(layer): layer for layer in ours if layer is not None}
        return [layer for layer in once.values() if layer in layers]


def _draw_now() -> None:
    """Draw the canvases, once between what comes and what leaves.

    Where layers leave and others come before napari has drawn, it may crash; on a busy
    computer, waiting is not enough.
    """
    for widget in QApplication.allWidgets():
        if isinstance(widget, QOpenGLWidget):
            widget.repaint()


def _open(viewer: Any, path: Path, reader: str | None) -> list[Layer]:
    """Open a file in the viewer, with napari's own reader where there are several."""
    from napari.errors import MultipleReaderError

    try:
        layers = viewer.open(str(path), plugin=reader)
    except MultipleReaderError:
        layers = viewer.open(str(path), plugin="napari")
    return list(layers)


def _plain(name: str) -> str:
    """Return a layer's name without the number that napari gives to the second one."""
    return re.sub(r" \[\d+\]$", "", name)


def _pick(layers: list[Layer], image: ProjectImage) -> Image:
    """Return the layer of a file that is the image.

    Raises
    ------
    ValueError
        If there is no image among them.
    """
    from napari_unet.widgets._project_files import pick_layer

    images = [layer for layer in layers if isinstance(layer, Image)]
    if not images:
        raise ValueError("there is no image in it")
    names = [str(layer.name) for layer in images]
    shapes = [tuple(image_array(layer).shape) for layer in images]
    return images[pick_layer(names, shapes, image)]
