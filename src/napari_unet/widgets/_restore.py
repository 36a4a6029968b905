"""Annotations that were kept on disk, back as layers of the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._images import ImageBook

__all__ = ["restore_annotation"]


def restore_annotation(
    book: ImageBook,
    entry: AnnotatedImage,
    mode: AnnotationMode,
    labels: TiledLabels,
    outlines: Sequence[dict[str, Any]],
) -> Labels:
    """Show what was painted on an image before; return the layer that has it.

    Where something else is painted on it already, that stays the annotation, and what
    was painted before comes as a hidden layer, to be chosen.
    """
    layer = entry.annotation if mode == entry.mode else entry.kept(mode)
    is_second = layer is not None and TiledLabels.of(layer.data).any()
    if layer is None or is_second:
        layer = entry.make_annotation(book.layers, mode, is_second=is_second)
    kind = np.promote_types(labels.dtype, layer.data.dtype)
    layer.data = np.asarray(labels, kind)  # memory only where it is painted
    if is_second:
        return layer
    if mode == "objects" and outlines:
        shapes = entry.regions.make(book.layers, is_active=False)
        for outline in outlines:
            shapes.add(np.asarray(outline["corners"]), shape_type=outline["kind"])
        shapes.visible = mode == entry.mode
    if mode == entry.mode:
        entry.make_prediction(book.layers)
        book.painted.emit(entry.key)
    book.changed.emit()
    return layer
