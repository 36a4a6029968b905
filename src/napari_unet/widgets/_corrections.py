"""Notes what predictions were before strokes corrected them, in the project too."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_unet.annotation.corrective import Correction, corrections_of
from napari_unet.annotation.tiled import TILE_PX, TiledLabels
from napari_unet.jobs import JobEvent
from napari_unet.session import Session
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._place import Place, go_to
from napari_unet.widgets._project import ProjectKeeper

if TYPE_CHECKING:
    from napari_unet.project import Project
    from napari_unet.widgets._project_opener import ImageOpener

__all__ = ["CorrectionsWatch"]


@dataclass(frozen=True, eq=False)
class CorrectionsRead(JobEvent):
    """What a project that was opened knows of earlier corrections."""

    project: Project
    corrections: list[Correction]


class CorrectionsWatch(QObject):
    """Compares each new stroke with the prediction that it lies on.

    Signals
    -------
    changed : there are more corrections, or those of another project
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Callable[[], Any],
        book: ImageBook,
        session: Session,
        keeper: ProjectKeeper,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._book = viewer, book
        self._session, self._keeper = session, keeper
        self._before: WeakKeyDictionary[Labels, TiledLabels] = WeakKeyDictionary()
        self._unsaved: list[Correction] = []
        self._goal: Correction | None = None
        self._is_accepting = False
        keeper.opened.connect(self._on_opened)
        keeper.heard.connect(self._hear)

    def take(self, entry: AnnotatedImage) -> None:
        """Look at what is newly painted, before a newer prediction comes."""
        layer, after, prediction = entry.annotation, entry.copy, entry.prediction
        if layer is None or after is None:
            return
        before = self._before.get(layer)
        self._before[layer] = after
        if before is None or before.shape != after.shape or prediction is None:
            return  # what was there when the layer came corrects nothing
        if tuple(prediction.data.shape) != after.shape:
            return  # somebody exchanged its data
        planes = np.reshape(prediction.data, (-1, *prediction.data.shape[-2:]))

        def read(plane: int, rows: slice, columns: slice) -> NDArray[np.integer]:
            part: NDArray[np.integer] = planes[plane, rows, columns]
            return part

        found = list(
            corrections_of(
                before,
                after,
                read,
                time_s=time.time(),
                image=str(entry.image.name),
                number=self._keeper.number_of(entry),
                of_objects=entry.mode == "objects",
            )
        )
        if self._is_accepting:
            found = [each for each in found if each.is_correcting]
        if found:
            self._session.corrections += found
            self._unsaved += found
            self.save()
            self.changed.emit()

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Count what is painted within where it corrects something alone.

        Whoever accepts a prediction paints the same as it: that is no proof of it.
        """
        self._is_accepting = True
        try:
            yield
        finally:
            self._is_accepting = False

    def save(self) -> None:
        """Put what is new into the project, once there is one."""
        project = self._keeper.project
        if self._unsaved and project is not None:
            unsaved, self._unsaved = self._unsaved, []
            job = partial(_add, corrections=unsaved)
            self._keeper.ask(lambda desk: desk.wherever(project, job))

    def go_to(self, found: Correction, opener: ImageOpener) -> None:
        """Show the place of a correction; its image is opened where it is not."""
        if self._show(found):
            return
        if found.number is not None and self._keeper.is_named:
            self._goal = found
            opener.open(found.number)

    def arrive(self) -> None:
        """Show the place that an image was opened for."""
        if self._goal is not None and self._show(self._goal):
            self._goal = None

    def _show(self, found: Correction) -> bool:
        entry = next((e for e in self._book if self._is_of(e, found)), None)
        layer = None if entry is None else entry.annotation or entry.prediction
        if entry is None or layer is None or found.plane >= np.prod(entry.shape[:-2]):
            return False
        self._book.choose(entry.image)
        leading = entry.shape[:-2]
        index = np.unravel_index(found.plane, leading) if leading else ()
        height, width = entry.shape[-2:]
        size = min(TILE_PX, height - found.y), min(TILE_PX, width - found.x)
        if min(size) > 0:
            place = Place(tuple(map(int, index)), found.y, found.x, *size)
            go_to(self._viewer(), layer, place, context=1.2)
        return True

    def _is_of(self, entry: AnnotatedImage, found: Correction) -> bool:
        number = self._keeper.number_of(entry)
        if found.number is not None and number is not None:
            return number == found.number
        return str(entry.image.name) == found.image

    def _on_opened(self, _project: Project, is_same_work: bool) -> None:
        if not is_same_work:
            self._session.corrections = []
            self._unsaved = []
            self._keeper.do(_read)
            self.changed.emit()

    def _hear(self, event: JobEvent) -> None:
        if not isinstance(event, CorrectionsRead):
            self.save()
        elif event.project is self._keeper.project:
            self._session.corrections = event.corrections + self._session.corrections
            self.changed.emit()


def _add(
    project: Project, corrections: Sequence[Correction]
) -> Generator[JobEvent, None, None]:
    from napari_unet.project.notes import add_corrections

    yield from ()
    add_corrections(project.folder, corrections)


def _read(project: Project) -> Generator[JobEvent, None, None]:
    from napari_unet.project.notes import read_corrections

    yield CorrectionsRead(project, read_corrections(project.folder))
