"""The colours, names and style of the label layers of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Labels

from napari_unet.config import AnnotationMode
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._layers import OverlayStyle, object_colormap

__all__ = ["LayerLooks"]

_OUTLINE_PX = 2


class LayerLooks:
    """Gives layers their look, and no layer the one that it has already."""

    def __init__(self) -> None:
        self._classes: ClassList | None = None
        self.style: OverlayStyle | None = None
        """Of the overlay; None before it was set."""
        self._given: WeakKeyDictionary[Labels, Any] = WeakKeyDictionary()

    def set(self, classes: ClassList, style: OverlayStyle) -> None:
        """Use these from the next layer on."""
        self._classes, self.style = classes, style

    def dress(self, layer: Labels, mode: AnnotationMode, *, is_painted: bool) -> None:
        """Give a layer the colours and names of its classes, where they are others.

        New layers are dressed before they are added: a colormap that is exchanged
        before the first drawing makes napari crash there, now and then.
        """
        classes, style = self._classes, self.style
        if classes is None or style is None:
            return
        names = classes.names
        of_objects = mode == "objects" and is_painted
        has_background = is_painted or style.has_background
        colours = tuple(entry.colour for entry in classes)
        look = of_objects, has_background, colours, tuple(names.items())
        if self._given.get(layer) == look:
            return
        self._given[layer] = look
        if of_objects:
            names = {1: names[1]}
            layer.colormap = object_colormap(has_background=True)
        else:
            layer.colormap = classes.colormap(has_background=has_background)
        layer.features = {
            "index": [0, *names],
            "class": ["unlabelled", *names.values()],
        }

    @staticmethod
    def restyle(layers: Sequence[Labels], style: OverlayStyle) -> None:
        """Apply opacity and outline."""
        contour = _OUTLINE_PX if style.is_outline else 0
        for layer in layers:
            layer.opacity = style.opacity
            if layer.contour != contour:
                layer.contour = contour
