"""Keeps track of the prediction of a whole image, for the progress bar."""

from __future__ import annotations

from napari_unet.jobs import JobEvent, Progress
from napari_unet.session import Session

__all__ = ["WholeImage"]


class WholeImage:
    """Shows a bar from the wish to `WholeEnded`, and none that nobody waits for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_wanted = False

    def begin(self) -> None:
        """Show the bar: the image was asked for."""
        self._is_wanted = True
        self._session.want_prediction()

    def end(self) -> None:
        """Take the bar away."""
        self._is_wanted = False
        self._session.end_prediction()

    def hear(self, event: JobEvent) -> JobEvent:
        """Follow the job; returns the event as the session shall see it."""
        if isinstance(event, Progress) and not self._is_wanted:
            return Progress(event.total, event.total)  # it was stopped just now
        return event
