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
        self._since: tuple[float, Progress] | None = None
        self._newest_s = 0.0

    def begin(self) -> None:
        """Show the bar: the image was asked for."""
        self._is_wanted = True
        self._since = None
        self._session.want_prediction()

    def end(self) -> None:
        """Take the bar away."""
        self._is_wanted = False
        self._session.end_prediction()

    def hear(self, event: JobEvent) -> JobEvent:
        """Follow the job; returns the event as the session shall see it."""
        if not isinstance(event, Progress):
            return event
        if not self._is_wanted:
            return Progress(event.total, event.total)  # it was stopped just now
        self._newest_s = self._session.clock()
        first = None if self._since is None else self._since[1]
        # other work is counted anew, and so is what was begun anew
        if first is None or first.what != event.what or first.done > event.done:
            self._since = self._newest_s, event
        return event

    @property
    def left_s(self) -> float | None:
        """Seconds left, as fast as it went so far; None while that is not known."""
        now = self._session.progress
        if now is None or self._since is None:
            return None
        began_s, first = self._since
        n_done = now.done - first.done
        if n_done <= 0 or now.what != first.what:
            return None
        return (now.total - now.done) * (self._newest_s - began_s) / n_done
