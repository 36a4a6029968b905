"""The images that the interactive loop was told of, and why some do not count."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from napari_unet.errors import FileError, ImageError, NapariUnetError
from napari_unet.jobs import JobEvent, Notice
from napari_unet.learning.inbox import Annotated

if TYPE_CHECKING:
    from napari_unet.learning.learner import Learner

__all__ = ["ToldOf"]

_START_OVER = (
    "Start over, in the dock's menu, forgets what was learned and begins with this one."
)


class ToldOf:
    """Annotated images, by their key.

    Attributes
    ----------
    images
        All of them, counted or not.
    refused
        Why an image's strokes do not count.
    unreadable
        Keys of those of them that are to be tried again.
    """

    def __init__(self) -> None:
        self.images: dict[str, Annotated] = {}
        self.refused: dict[str, str] = {}
        self.unreadable: set[str] = set()

    @property
    def why_refused(self) -> str:
        """Why the first one that was refused does not count; ``""``: all do."""
        return next(iter(self.refused.values()), "")

    def forget(self, key: str) -> None:
        """Forget an image that was closed."""
        self.images.pop(key, None)
        self.try_again(key)

    def try_again(self, key: str | None = None) -> None:
        """Forget that an image was refused; None: that any was."""
        if key is None:
            self.refused.clear()
            self.unreadable.clear()
        else:
            self.refused.pop(key, None)
            self.unreadable.discard(key)

    def tell(self, learner: Learner, key: str) -> Generator[JobEvent, None, None]:
        """Tell the learner of an image's strokes; yield why they do not count."""
        item = self.images[key]
        self.try_again(key)
        try:
            learner.annotate(
                item.image,
                item.annotation,
                key=key,
                axes=item.axes,
                complete=item.complete,
                scale=item.scale,
            )
        except NapariUnetError as error:
            text = str(error)
            if isinstance(error, ImageError) and not learner.n_classes_painted:
                text += f". {_START_OVER}"
            self.refused[key] = text
            if isinstance(error, FileError):
                self.unreadable.add(key)
            yield Notice(text, "warning")
