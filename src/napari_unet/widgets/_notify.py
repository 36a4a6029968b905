"""Errors in front of a person: one sentence, and for a bug napari's own report."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_warning

from napari_unet.errors import NapariUnetError

__all__ = ["notify", "notify_error"]


def notify(sentence: str) -> None:
    """Show one sentence as napari's notification."""
    show_warning(sentence)


def notify_error(error: BaseException) -> str:
    """Notify of an error that ended a job, and return what the dock should say.

    An expected error has its own sentence; a bug keeps its traceback, which napari's
    notification shows.
    """
    if isinstance(error, NapariUnetError):
        notify(str(error))
        return str(error)
    notification_manager.receive_error(type(error), error, error.__traceback__)
    return f"a fault in the program ({type(error).__name__}: {error})"
