"""What the worker may know of an image of the viewer, copied on the GUI thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._images import ImageBook
from napari_unet.widgets._layers import image_array, transform_of

if TYPE_CHECKING:
    from napari_unet.widgets._desk_events import ImageFacts

__all__ = ["facts_of"]


def facts_of(entry: AnnotatedImage, book: ImageBook) -> ImageFacts:
    """Return the facts of an image of a book."""
    from napari_unet.widgets._desk_events import ImageFacts

    image = entry.image
    unit = str(image.units[-1])
    source = image.source
    return ImageFacts(
        key=entry.key,
        name=str(image.name),
        pixels=image_array(image),
        axes=entry.axes,
        shape=entry.shape,
        path=None if source.path is None else str(source.path),
        reader=source.reader_plugin,
        scale=tuple(map(float, transform_of(image, entry.axes)["scale"])),
        unit=None if unit == "pixel" else unit,
        channels=tuple(str(layer.name) for layer in entry.channels.layers),
        layers=book.annotation_ids(entry),
        others=frozenset(other.key for other in book if other is not entry),
    )
