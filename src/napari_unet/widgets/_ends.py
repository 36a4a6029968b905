"""What becomes of a viewer's state when a job ended or failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.errors import NapariUnetError
from napari_unet.widgets._notify import notify_error

if TYPE_CHECKING:
    from napari_unet.widgets._state import ViewerState

__all__ = ["Ends"]


class Ends:
    """Says how a job ended, and leaves every control usable."""

    def __init__(self, state: ViewerState) -> None:
        self._state = state

    def note(self) -> None:
        """Note that no job runs any more."""
        self._state.whole.forget()
        self._state.session.stop()

    def tell_ended(self) -> None:
        """Show that the job returned."""
        self.note()
        self._state.renewed.emit()

    def tell_failed(self, error: BaseException) -> None:
        """Say why a job stopped."""
        sentence = notify_error(error)
        if not isinstance(error, NapariUnetError):
            sentence = f"Stopped by {sentence}. Paint or press Learn to start again."
        self.note()
        self._state.session.fail(sentence)
        self._state.renewed.emit()

    def tell_not_counted(self, error: BaseException) -> None:
        """Say that the numbers beside the classes are old; the job goes on."""
        sentence = f"The strokes could not be counted: {notify_error(error)}"
        self._state.session.say(sentence, "warning")
        self._state.renewed.emit()

    def go_on_as_before(self) -> None:
        """Go on with the learner that is there, whose scores were taken away."""
        self._state.live.send_if_running("refresh")
        self._state.changed.emit()
