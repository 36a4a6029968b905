"""Keeps track of the prediction of a whole image, for the progress bar."""

from __future__ import annotations

from napari_unet.jobs import JobEvent, Notice, Progress, TilePredicted
from napari_unet.session import Session
from napari_unet.widgets._annotated import AnnotatedImage

__all__ = ["WholeImage"]


class WholeImage:
    """Shows a bar from the wish to the job's last word on it, whatever that is."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._entry: AnnotatedImage | None = None

    def begin(self, entry: AnnotatedImage) -> None:
        """Show the bar: the image was asked for."""
        self._entry = entry
        self._session.want_prediction()

    def end(self) -> None:
        """Take the bar away."""
        self._entry = None
        self._session.end_prediction()

    def hear(self, event: JobEvent) -> JobEvent:
        """Follow the job; returns the event as the session shall see it."""
        if isinstance(event, TilePredicted):
            if self._entry is not None and self._entry.is_complete:
                self._entry = None
        elif isinstance(event, Progress) and self._entry is None:
            return Progress(event.total, event.total)  # the visible field: no bar
        elif isinstance(event, Notice):
            self._hear_notice(event)
        return event

    def _hear_notice(self, event: Notice) -> None:
        progress = self._session.progress
        has_begun = progress is not None and progress.done > 0
        if event.level == "warning" or (event.level == "info" and has_begun):
            self.end()
        elif event.level == "advice" and event.message and not has_begun:
            # the job may refuse with it; if not, its first tile brings the bar back
            self._session.end_prediction()
