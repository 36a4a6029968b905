"""The prediction of a whole image: asked for, shown by a bar, and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_unet.jobs import JobEvent, Progress
from napari_unet.session import Session
from napari_unet.widgets._store_place import objects_fit

if TYPE_CHECKING:
    from napari_unet.widgets._state import ViewerState

__all__ = ["WholeBar", "WholeRequest"]


class WholeRequest:
    """Has the live loop predict the whole current image of a viewer's state."""

    def __init__(self, state: ViewerState) -> None:
        self._state = state
        self.bar = WholeBar(state.session)

    def ask(self) -> None:
        """Predict the whole image; a large one into a store, or pause that."""
        state = self._state
        entry = state.book.current
        if entry is None or not state.can_learn:
            return
        if self.is_for_disk and state.stored.running == entry.key:
            self.end()
            state.renewed.emit()
            return
        state.painting.take()
        state.book.make_prediction()
        if self.is_for_disk:
            state.stored.begin(entry)
        else:
            state.stored.end()
            scale = None if entry.prediction is None else entry.prediction.scale
            self.send(entry.key, scale)

    @property
    def is_for_disk(self) -> bool:
        """Whether the whole current image goes into a store on disk.

        Objects are cut in memory, where they fit; of larger images there are classes.
        """
        state = self._state
        entry = state.book.current
        if entry is None or state.stored.of(entry) is None:
            return False
        return not (state.objects.is_on and objects_fit(entry.shape))

    def send(
        self, key: str, scale: Any, opener: Any = None, cluster: Any = None
    ) -> None:
        """Tell the job to predict an image, and show that it was told."""
        state = self._state
        state.session.unsay()
        self.bar.begin()
        state.live.send("predict_all", key, scale, opener, cluster)
        state.renewed.emit()

    def end(self) -> None:
        """Stop predicting a whole image, if one is under way."""
        self.forget()
        self._state.live.send_if_running("cancel_prediction")

    def forget(self) -> None:
        """Note that none is under way any more."""
        self.bar.end()
        self._state.stored.end()


class WholeBar:
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
