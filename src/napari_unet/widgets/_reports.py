"""What the job, the layers and the project report, taken into a viewer's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.jobs import (
    ConfidenceFound,
    JobEvent,
    ModelSaved,
    Notice,
    ObjectsFound,
    Scored,
    TilePredicted,
)
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._notify import notify

if TYPE_CHECKING:
    from napari_unet.widgets._state import ViewerState

__all__ = ["Reports"]


class Reports:
    """Passes each report on to the parts of the state that it concerns."""

    def __init__(self, state: ViewerState) -> None:
        self._state = state

    def take(self, event: JobEvent) -> None:
        """Take one event of the job into layers and session."""
        state = self._state
        state.interactions.hear(event)
        if state.guide.hear(event):
            return
        if isinstance(event, TilePredicted):
            if not state.overlay.write(event):
                return  # its layer is gone, or has another shape by now
        elif isinstance(event, ObjectsFound):
            if not state.objects.write(event):
                return
        elif isinstance(event, ConfidenceFound):
            state.proofread.hear(event)
            return
        elif isinstance(event, Scored) and event.is_changed:
            for entry in state.book:
                entry.outdate()
        elif isinstance(event, ModelSaved) and state.rounds.take(event.path):
            return
        elif isinstance(event, Notice) and event.level in ("caution", "warning"):
            notify(event.message)
        if not state.stored.hear(event):
            return
        state.session.apply(state.whole.bar.hear(event))
        state.rounds.hear(event)

    def take_copied(self, entry: AnnotatedImage) -> None:
        """Learn from strokes that were copied, and save them."""
        state = self._state
        state.corrections.take(entry)  # first: the prediction is that before the stroke
        if entry.copy is not None:
            state.live.annotate(
                entry.key,
                entry.channels.pixels,
                entry.copy,
                entry.channels.axes,
                entry.complete,
                entry.scale,
            )
        if state.live.has_annotations:
            state.session.be_ready()
        state.project.save(entry, is_correction=bool(state.session.shown))
        state.overlay.look_soon()
        state.renewed.emit()

    def take_told(self, sentence: str) -> None:
        """Show one sentence."""
        self._state.session.say(sentence)
        self._state.renewed.emit()

    def take_other_told(self) -> None:
        """Note that the job knows of images that are not open."""
        if self._state.live.has_annotations:
            self._state.session.be_ready()
        self._state.renewed.emit()

    def take_project_said(self, sentence: str, level: str) -> None:
        """Show what the project says."""
        if level == "warning":
            self._state.warn(sentence)
        else:
            self._state.session.say(sentence, level)
            self._state.renewed.emit()

    def take_removed(self, key: str) -> None:
        """Forget an image; without any other strokes, the job stops."""
        self._state.live.forget(key)
        self._state.stored.forget(key)
        if not self._state.live.has_annotations:
            self._state.stop()
