"""One image of the viewer with its annotation layer and what was predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.jobs import ObjectsFound, TilePredicted
from napari_unet.widgets._channels import Channels
from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._layer_looks import LayerLooks
from napari_unet.widgets._layers import (
    OWNER,
    OverlayStyle,
    add_below,
    follow,
    image_array,
    is_inside,
    label_shape,
    make_labels,
    misfit,
    object_colormap,
    put_data,
    role_of,
    watch_data,
)
from napari_unet.widgets._regions import Regions
from napari_unet.widgets._snapshot import snapshot

__all__ = ["AnnotatedImage"]


class AnnotatedImage:
    """Ties an image layer to its two label layers until one of them is removed.

    Parameters
    ----------
    image
        The image layer.
    axes
        Its axes, such as ``"ZYX"`` or ``"YXC"``.
    on_paint
        Called without arguments whenever the annotation may have changed.
    mode
        What is painted: strokes of classes, or objects.
    """

    def __init__(
        self,
        image: Image,
        axes: str,
        on_paint: Callable[[], None],
        mode: AnnotationMode = "strokes",
    ) -> None:
        self.image = image
        self.axes = axes
        self.channels = Channels(image, axes)
        """Layers that are read with it."""
        self.mode = mode
        self.regions = Regions(image, axes, on_paint)
        """Where the annotation of objects is complete."""
        self.key = str(image.unique_id)
        self.annotation: Labels | None = None
        self.prediction: Labels | None = None
        self.objects: Labels | None = None
        """Objects with ids, once they were asked for."""
        self.stored: Labels | None = None
        """Classes of the whole image, in a store on disk."""
        self.has_all_objects = False
        """Whether they are those of the whole image and of what is predicted."""
        self._numbered_by: int | None = None
        """Generation of the whole image that numbered them; None: of visible fields."""
        self.copy: TiledLabels | None = None
        """The newest frozen copy of the annotation, None before the first."""
        self.complete: TiledLabels | None = None
        """Where it is complete, taken with it; None: nowhere."""
        self._kept: dict[AnnotationMode, Labels] = {}
        self._looks = LayerLooks()
        self._covered: dict[tuple[int, ...], int] = {}
        self._generation = -1
        self._on_paint = on_paint
        self._releases: dict[str, Callable[[], None]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the label array, px."""
        return label_shape(self.image, self.axes)

    @property
    def scale(self) -> tuple[float, ...] | None:
        """World units per pixel along the annotation's axes; None without one."""
        layer = self.annotation
        return None if layer is None else tuple(map(float, layer.scale))

    @property
    def layers(self) -> list[Layer]:
        """Its layers, as far as there are any."""
        ours = (self.image, self.annotation, self.regions.layer, *self.predicted)
        return [layer for layer in ours if layer is not None]

    @property
    def is_complete(self) -> bool:
        """Whether the whole image was predicted with the model that is shown."""
        return sum(self._covered.values()) >= int(np.prod(self.shape))

    def outdate(self) -> None:
        """Note that the model changed: what is predicted belongs to an older one."""
        self._covered.clear()
        self.has_all_objects = False

    def watch_pixels(self, on_replaced: Callable[[], None]) -> None:
        """Call a function whenever the image layer is given another array."""
        self._releases["image"] = watch_data(self.image, on_replaced)

    def take_pixels(self) -> bool:
        """Go on with another array; False where it has not the shape of the layers."""
        layers = [i for i in (self.annotation, *self.predicted) if i is not None]
        if image_array(self.image).ndim != len(self.axes) or any(
            tuple(layer.data.shape) != self.shape for layer in layers
        ):
            return False
        self.copy = None
        self.outdate()
        return True

    def bind_annotation(self, layer: Labels | None) -> None:
        """Listen to a label layer as this image's annotation, or to none."""
        if layer is self.annotation:
            return
        self._release("annotation")
        self.annotation = layer
        self.copy = self.complete = None
        if layer is None:
            return
        emitters = (layer.events.paint, layer.events.set_data, layer.events.data)

        def heard(_event: Any = None) -> None:
            self._on_paint()

        for emitter in emitters:
            emitter.connect(heard)
        unfollow = (
            follow(layer, self.image, self.axes)
            if role_of(layer) == "annotation"
            else None
        )

        def release() -> None:
            for emitter in emitters:
                emitter.disconnect(heard)
            if unfollow is not None:
                unfollow()

        self._releases["annotation"] = release

    def set_mode(self, mode: AnnotationMode) -> Labels | None:
        """Paint strokes, or objects; what was predicted goes.

        The annotation of the other mode is hidden and kept. Returns the one that was
        kept of this mode, if there was one; it is not bound yet.
        """
        old, before = self.annotation, self.mode
        self.bind_annotation(None)
        self.mode = mode
        if old is not None:
            old.visible = False
            self._kept[before] = old
        self.regions.show(mode == "objects")
        self.outdate()
        for layer in self.predicted:
            if isinstance(layer.data, np.ndarray):
                put_data(layer, np.zeros_like(layer.data))
        return self._kept.pop(mode, None)

    def kept(self, mode: AnnotationMode) -> Labels | None:
        """Return the annotation of a mode that is not painted in now."""
        return self._kept.get(mode)

    def make_annotation(
        self,
        layers: Any,
        mode: AnnotationMode | None = None,
        *,
        is_second: bool = False,
    ) -> Labels:
        """Add an empty annotation layer on top, ready to paint on.

        That of another mode than the present one is hidden, and kept for that; a second
        one of a mode is only hidden.
        """
        mode = mode or self.mode
        of_objects = mode == "objects"
        what = "annotated objects" if of_objects else "annotation"
        layer = make_labels(
            self.image,
            self.axes,
            name=f"{self.image.name} {what}",
            role="annotation",
            mode=mode,
            dtype=np.uint16 if of_objects else np.uint8,
        )
        if of_objects:  # they cover more of the image than strokes
            layer.opacity = 0.6
        self._dress(layer)
        shortest = min(self.shape[-2:])
        layer.brush_size = int(np.clip(shortest / 64, 3, 12))
        layer.visible = mode == self.mode and not is_second
        layer.metadata[OWNER] = self.key, str(self.image.name)
        # before it is added: who hears of that must not take it for another image's
        if not is_second and mode == self.mode:
            self.bind_annotation(layer)
        elif not is_second:
            self._kept[mode] = layer
        selected = layers.selection.active
        layers.append(layer)
        if not layer.visible:
            layers.selection.active = selected
        return layer

    def make_prediction(self, layers: Any) -> Labels:
        """Add the prediction layer below the annotation, once; return it."""
        if self.prediction is None:
            layer = make_labels(
                self.image,
                self.axes,
                name=f"{self.image.name} prediction",
                role="prediction",
            )
            self.prediction = layer
            self._dress(layer)
            add_below(layers, layer, self.annotation)
            self._releases["prediction"] = follow(layer, self.image, self.axes)
        return self.prediction

    def drop_prediction(self) -> None:
        """Let go of a prediction layer that was removed from the viewer."""
        self._release("prediction")
        self.prediction = None
        self.outdate()

    @property
    def predicted(self) -> list[Labels]:
        """The layers that show what was predicted."""
        ours = (self.stored, self.prediction, self.objects)
        return [layer for layer in ours if layer is not None]

    def make_objects(self, layers: Any, style: OverlayStyle) -> None:
        """Add the layer of objects below the annotation, once."""
        if self.objects is not None:
            return
        layer = make_labels(
            self.image,
            self.axes,
            name=f"{self.image.name} objects",
            role="prediction",
            dtype=np.uint16,
        )
        layer.colormap = object_colormap()
        self.objects = layer  # before it is added: who hears of that looks here
        add_below(layers, layer, self.annotation)
        self._releases["objects"] = follow(layer, self.image, self.axes)
        self.restyle(style)

    def show_stored(self, layers: Any, layer: Labels) -> None:
        """Add the layer of a store below other labels; hide one that was before."""
        if self.stored is not None:
            self.stored.visible = False
            self.drop_stored()
        self.stored = layer
        self._dress(layer)
        if self._looks.style is not None:
            self.restyle(self._looks.style)
        add_below(layers, layer, self.prediction or self.annotation)
        self._releases["stored"] = follow(layer, self.image, self.axes)

    def drop_stored(self) -> None:
        """Let go of the layer of a store."""
        self._release("stored")
        self.stored = None

    def drop_objects(self) -> None:
        """Let go of a layer of objects that was removed from the viewer."""
        self._release("objects")
        self.objects = None
        self.has_all_objects = False

    def write_objects(self, event: ObjectsFound) -> bool:
        """Write objects into their layer and draw; False where they fit no more."""
        layer = self.objects
        if layer is None or not isinstance(layer.data, np.ndarray):
            return False
        labels, shape = np.asarray(event.labels), layer.data.shape
        if not is_inside(event, shape):
            return False
        y1, x1 = event.y + labels.shape[-2], event.x + labels.shape[-1]
        if event.is_whole:
            put_data(layer, labels)  # a stack is not copied while the window waits
        else:
            if self._numbered_by is not None:
                if self.has_all_objects and event.generation == self._numbered_by:
                    return False  # the same objects, and only those in sight
                put_data(layer, np.zeros(shape, np.uint16))  # it had other numbers
            if labels.max(initial=0) > np.iinfo(layer.data.dtype).max:
                put_data(layer, layer.data.astype(np.uint32))
            part = layer.data[event.index]
            part[..., event.y : y1, event.x : x1] = labels
        self.has_all_objects = event.is_whole
        self._numbered_by = event.generation if event.is_whole else None
        layer.refresh(extent=False, thumbnail=True, highlight=False)
        return True

    def misfit(self, layer: Labels) -> str:
        """Say why a layer cannot annotate this image; ``""`` if it can."""
        if role_of(layer) == "prediction":
            return f"'{layer.name}' is a prediction; choose or make an annotation."
        return misfit(layer, self.image, self.axes)

    def take_copy(self) -> bool:
        """Copy what is painted, and where it is complete; return whether it changed."""
        if self.annotation is None:
            return False
        new = snapshot(self.annotation, self.copy, self.mode)
        complete = self.regions.mask() if self.mode == "objects" else None
        if new is None and complete is self.complete:
            return False
        if new is not None:
            self.copy = new
        self.complete = complete
        return True

    def write(self, tile: TilePredicted) -> bool:
        """Write a predicted tile into the prediction layer, in place.

        Returns False for a tile that fits no more: the layer is gone or was given
        another shape. The caller asks napari to draw.
        """
        layer = self.prediction
        if layer is None or not isinstance(layer.data, np.ndarray):
            return False
        labels = np.asarray(tile.labels)
        y1, x1 = tile.y + labels.shape[0], tile.x + labels.shape[1]
        if layer.data.shape != self.shape or not is_inside(tile, self.shape):
            return False
        if labels.dtype.itemsize > layer.data.dtype.itemsize:
            put_data(layer, layer.data.astype(labels.dtype))
        plane = layer.data[tile.index]
        plane[tile.y : y1, tile.x : x1] = labels
        if tile.generation != self._generation:
            self.outdate()
            self._generation = tile.generation
        # tiles lie on one grid per plane, so their areas add up
        self._covered[(*tile.index, tile.y, tile.x)] = labels.size
        return True

    def redraw(self, *, with_thumbnail: bool) -> None:
        """Show what was written; the light form, which copies nothing for uint8."""
        if self.prediction is not None:
            self.prediction.refresh(
                extent=False, thumbnail=with_thumbnail, highlight=False
            )

    def dress(self, classes: ClassList, style: OverlayStyle) -> None:
        """Give both layers the classes' colours and names and the overlay its style."""
        self._looks.set(classes, style)
        for layer in (self.annotation, self.prediction, self.stored):
            if layer is not None:
                self._dress(layer)
        self.restyle(style)

    def _dress(self, layer: Labels) -> None:
        self._looks.dress(layer, self.mode, is_painted=layer not in self.predicted)

    def restyle(self, style: OverlayStyle) -> None:
        """Apply opacity and outline to what is predicted."""
        self._looks.restyle(self.predicted, style)

    def release(self) -> None:
        """Stop listening to every layer."""
        self.regions.bind(None)
        self.channels.release()
        for name in list(self._releases):
            self._release(name)

    def _release(self, name: str) -> None:
        release = self._releases.pop(name, None)
        if release is not None:
            release()
