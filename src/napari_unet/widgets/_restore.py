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
) -> Labels | None:
    """Show what was painted on an image before.

    Returns
    -------
    Labels or None
        The layer that has it; None where something else is painted there already.
    """
    layer = entry.annotation if mode == entry.mode else entry.kept(mode)
    if layer is not None and TiledLabels.of(layer.data).any():
        return None
    if layer is None:
        layer = entry.make_annotation(book.layers, mode)
    kind = np.promote_types(labels.dtype, layer.data.dtype)
    layer.data = np.asarray(labels, kind)  # memory only where it is painted
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
