"""Which other image layers are read as channels of an image, while they fit it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_unet.widgets._annotated import AnnotatedImage

if TYPE_CHECKING:
    from napari_unet.widgets._images import ImageBook

__all__ = ["ChannelChoice"]


class ChannelChoice:
    """Sets the channels of the images of a book, which tells of it."""

    def __init__(self, book: ImageBook) -> None:
        self._book = book

    def choices(self) -> list[Image]:
        """Return the image layers that could be channels of the current image."""
        entry = self._book.current
        if entry is None:
            return []
        layers = self._book.image_choices()
        return [layer for layer in layers if entry.channels.fits(layer)]

    def choose(self, layers: Sequence[Image], *, is_as_learned: bool = False) -> None:
        """Learn from these layers together with the current image.

        ``is_as_learned``: as many as what was learned from, which goes on.
        """
        entry = self._book.current
        if entry is not None:
            fitting = [layer for layer in layers if entry.channels.fits(layer)]
            if tuple(fitting) != entry.channels.layers:
                self._set(entry, fitting, is_as_learned=is_as_learned)

    def drop(self, entry: AnnotatedImage, layer: Image) -> None:
        """Go on without a channel that was removed from the viewer."""
        self._set(entry, [i for i in entry.channels.layers if i is not layer])
        self._book.refused.emit(
            f"'{layer.name}' was a channel of '{entry.image.name}': learning begins "
            "again without it."
        )

    def drop_unfit(self, entry: AnnotatedImage, *, is_changed: bool = False) -> None:
        """Go on without channels that fit no more, or with another array of one."""
        before = entry.channels.layers
        left = [layer for layer in before if entry.channels.fits(layer)]
        gone = [str(layer.name) for layer in before if layer not in left]
        if gone or is_changed:
            self._set(entry, left)
        if gone:
            self._book.refused.emit(
                f"{', '.join(map(repr, gone))}: no channel of '{entry.image.name}' any "
                "more, because its size or place differs now. Learning begins again."
            )

    def _set(
        self,
        entry: AnnotatedImage,
        layers: Sequence[Image],
        *,
        is_as_learned: bool = False,
    ) -> None:
        """Read other channels, and let the learning begin again."""
        book = self._book
        entry.channels.set(layers, lambda: self.drop_unfit(entry, is_changed=True))
        entry.copy = None
        entry.outdate()
        book.removed.emit(entry.key)  # whoever knows it with other channels
        if not is_as_learned:
            self._leave_out_others(entry)
            book.rechannelled.emit()
        book.painted.emit(entry.key)
        book.changed.emit()

    def _leave_out_others(self, entry: AnnotatedImage) -> None:
        """Do not learn from images of other channels, and say so."""
        n_layers = len(entry.channels.layers)
        for other in self._book:
            is_painted = other.copy is not None and other.copy.any()
            if is_painted and len(other.channels.layers) != n_layers:
                self._book.removed.emit(other.key)
                self._book.refused.emit(
                    f"'{other.image.name}' is left out until it has as many channels "
                    f"as '{entry.image.name}' and a new stroke."
                )
