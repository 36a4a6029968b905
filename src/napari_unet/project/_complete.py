"""Where annotations are complete: a layer of the store beside theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.project.annotations import AnnotationStore, Outline

__all__ = ["load_complete", "save_complete"]


def load_complete(
    store: AnnotationStore, number: int, layer: str
) -> TiledLabels | None:
    """Return where the annotation of an image is complete; None: nowhere."""
    mask = store.load(number, _name(layer))
    return mask.astype(bool) if mask is not None and mask.any() else None


def save_complete(
    store: AnnotationStore,
    number: int,
    layer: str,
    complete: TiledLabels | None,
    outlines: Sequence[Outline],
) -> None:
    """Keep where an annotation is complete, if it is or was anywhere."""
    name = _name(layer)
    before = store.load(number, name)
    if complete is not None:
        store.save(number, name, complete.astype(np.uint8))
    elif before is not None:
        store.save(number, name, TiledLabels(before.shape, before.dtype, {}))
    if outlines or store.load_outlines(number, layer):
        store.save_outlines(number, layer, list(outlines))


def _name(layer: str) -> str:
    """Return the name under which the complete regions of a layer are kept."""
    return f"{layer} complete"
