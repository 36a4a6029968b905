"""The images of one viewer that are or may be annotated, and which one is current."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Shapes
from qtpy.QtCore import QObject, Signal

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.errors import NapariUnetError
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._channel_choice import ChannelChoice
from napari_unet.widgets._layers import (
    OWNER,
    guess_image_axes,
    image_axes_choices,
    mode_of,
    role_of,
)
from napari_unet.widgets._snapshot import fault_of

__all__ = ["ImageBook"]


class ImageBook(QObject):
    """Follows the viewer's layer list while it listens.

    Signals
    -------
    changed : another current image, annotation or axes; a layer came or went
    changing : another annotation is about to be painted in
    painted : key of an image whose annotation may have changed
    removed : key of an image that lost its layer or its annotation
    refused : one sentence, why a layer cannot be used
    objects_removed : a layer of found objects was removed
    entered : AnnotatedImage that is followed from now on
    leaving : AnnotatedImage whose layer or annotation was just removed
    rechannelled : an image has other channels than what was learned
    """

    changed = Signal()
    changing = Signal()
    painted = Signal(str)
    removed = Signal(str)
    refused = Signal(str)
    objects_removed = Signal()
    entered = Signal(object)
    leaving = Signal(object)
    rechannelled = Signal()

    def __init__(
        self, viewer: Callable[[], Any], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._images: dict[str, AnnotatedImage] = {}
        self._current: str | None = None
        self.channels = ChannelChoice(self)
        """Which other layers are read with an image."""
        self.mode: AnnotationMode = "strokes"
        self.is_listening = False

    def __iter__(self) -> Iterator[AnnotatedImage]:
        return iter(list(self._images.values()))

    @property
    def layers(self) -> Any:
        """The viewer's layer list."""
        return self._viewer().layers

    @property
    def current(self) -> AnnotatedImage | None:
        """The image that is worked on."""
        return self._images.get(self._current or "")

    def get(self, key: str) -> AnnotatedImage | None:
        """Return the image with this key, if it is still there."""
        return self._images.get(key)

    def listen(self) -> None:
        """Follow the layer list, and choose an image where none is chosen."""
        self.is_listening = True
        events = self.layers.events
        events.inserted.connect(self._on_inserted)
        events.removed.connect(self._on_removed)
        events.renamed.connect(self._on_renamed)
        self.layers.selection.events.active.connect(self._on_active)
        for entry in self:
            self._check(entry)
        if self.current is None:
            self._choose_any()
        self.changed.emit()

    def deafen(self) -> None:
        """Stop following the layer list."""
        self.is_listening = False
        events = self.layers.events
        events.inserted.disconnect(self._on_inserted)
        events.removed.disconnect(self._on_removed)
        events.renamed.disconnect(self._on_renamed)
        self.layers.selection.events.active.disconnect(self._on_active)

    def annotation_ids(self, entry: AnnotatedImage) -> tuple[str, ...]:
        """Return ids of the layers that were made to annotate an image, or do."""
        viewer = self._viewer()
        layers = () if viewer is None else viewer.layers
        return tuple(
            str(layer.unique_id)
            for layer in layers
            if layer is entry.annotation
            or layer.metadata.get(OWNER, ("",))[0] == entry.key
        )

    def image_choices(self) -> list[Image]:
        """Return the image layers."""
        return [layer for layer in self.layers if _is_image(layer)]

    def annotation_choices(self) -> list[Labels]:
        """Return the label layers that could annotate the current image."""
        if self.current is None:
            return []
        return [
            layer
            for layer in self.layers
            if isinstance(layer, Labels)
            and role_of(layer) != "prediction"
            and mode_of(layer) in ("", self.mode)
        ]

    def choose(self, image: Image | None, axes: str | None = None) -> None:
        """Make an image the current one and take up an annotation that waits for it.

        ``axes`` are those that it is known to have; of others it is a guess.
        """
        key = None if image is None else str(image.unique_id)
        if key is not None and image is not None and key not in self._images:
            try:
                guessed = guess_image_axes(image)
            except NapariUnetError as error:
                self.refused.emit(str(error))
                return
            is_possible = axes in image_axes_choices(image)
            self._enter(image, axes if axes and is_possible else guessed, key)
        if key != self._current:
            self._current = key
            self._adopt()
            self.changed.emit()

    def choose_axes(self, axes: str) -> None:
        """Read the current image's axes differently; its annotation must still fit."""
        entry = self.current
        if entry is None or axes == entry.axes:
            return
        self.changing.emit()
        annotation, regions = entry.annotation, entry.regions.layer
        has_channels = bool(entry.channels.layers)
        self._forget(entry)
        entry = self._enter(entry.image, axes, entry.key)
        if regions is not None and regions.ndim == len(entry.shape):
            entry.regions.bind(regions)
        self._current = entry.key
        if has_channels:
            self.rechannelled.emit()
        if annotation is not None and not entry.misfit(annotation):
            self.annotate_in(annotation)
        else:
            self.changed.emit()

    def annotate_in(self, layer: Labels | None) -> None:
        """Use a label layer as the current image's annotation."""
        entry = self.current
        if entry is None or layer is entry.annotation:
            return
        self.changing.emit()
        if layer is not None:
            reason = entry.misfit(layer) or fault_of(layer, self.mode)
            if reason:
                self.refused.emit(reason)
                self.changed.emit()
                return
            for other in self:  # one layer annotates one image
                if other is not entry and other.annotation is layer:
                    other.bind_annotation(None)
                    self.removed.emit(other.key)
        entry.bind_annotation(layer)
        if layer is None:
            self.removed.emit(entry.key)
        else:
            entry.make_prediction(self.layers)
            self.painted.emit(entry.key)
            is_foreign = self.mode == "objects" and not mode_of(layer)
            tiles = TiledLabels.of(layer.data).tiles.values() if is_foreign else ()
            if any((tile == 1).any() for tile in tiles):
                self.refused.emit(
                    f"'{layer.name}' holds the number 1, which is background here: "
                    "objects have 2 and up, and 0 is unlabelled."
                )
        self.changed.emit()

    def new_annotation(self) -> Labels | None:
        """Make an annotation layer for the current image and take the brush."""
        entry = self.current
        if entry is None:
            return None
        earlier = entry.annotation
        self.changing.emit()
        layer = entry.make_annotation(self.layers)
        if earlier is not None and np.any(earlier.data):
            self.refused.emit(
                f"'{earlier.name}' stays as it is, but only one annotation of an image "
                "is learned from: choose it again to go on with it."
            )
        entry.make_prediction(self.layers)
        self.layers.selection.active = layer
        layer.mode = "paint"
        self.painted.emit(entry.key)
        self.changed.emit()
        return layer

    def set_mode(self, mode: AnnotationMode) -> None:
        """Paint strokes, or objects: each image takes up its layer of that mode."""
        self.changing.emit()
        self.mode = mode
        kept_layers = [(entry, entry.set_mode(mode)) for entry in self]
        for entry, kept in kept_layers:
            self.removed.emit(entry.key)
            taken = [other.annotation for other in self]
            is_there = kept in self.layers and kept not in taken
            if kept is not None and is_there and not entry.misfit(kept):
                kept.visible = True
                entry.bind_annotation(kept)
                self.painted.emit(entry.key)
        self._adopt()
        current = self.current
        if current is not None:  # or the next stroke goes into a layer that is hidden
            self.layers.selection.active = current.annotation or current.image
        self.changed.emit()

    def complete_region(self) -> Shapes | None:
        """Let a rectangle be drawn in which all objects of the image are painted."""
        entry = self.current
        if entry is None or entry.annotation is None or self.mode != "objects":
            return None
        return entry.regions.make(self.layers)

    def make_prediction(self) -> None:
        """Bring back the current image's prediction layer if it was removed."""
        entry = self.current
        if entry is not None and entry.prediction is None:
            entry.make_prediction(self.layers)
            self.changed.emit()

    def _enter(self, image: Image, axes: str, key: str) -> AnnotatedImage:
        entry = AnnotatedImage(image, axes, lambda: self.painted.emit(key), self.mode)
        entry.watch_pixels(lambda: self._on_replaced(entry))
        self._images[key] = entry
        self.entered.emit(entry)
        return entry

    def _adopt(self) -> None:
        """Take up a waiting annotation layer of ours, as a sample brings one."""
        entry = self.current
        if entry is None or entry.annotation is not None:
            return
        taken = [other.annotation for other in self]
        for layer in self.annotation_choices():
            is_free = role_of(layer) == "annotation" and layer not in taken
            if is_free and self._may_have(entry, layer) and not entry.misfit(layer):
                layer.visible = True
                self.annotate_in(layer)
                return

    def _may_have(self, entry: AnnotatedImage, layer: Labels) -> bool:
        """Whether a layer is this image's, or nobody's; or of one that came again."""
        key, name = layer.metadata.get(OWNER, (entry.key, ""))
        is_gone = all(str(i.unique_id) != key for i in self.image_choices())
        is_again = is_gone and name == str(entry.image.name)
        return bool(key == entry.key or is_again)

    def _choose_any(self) -> None:
        """Choose the selected image layer, else the topmost one."""
        choices = self.image_choices()
        active = self.layers.selection.active
        self._current = None
        if choices:
            self.choose(active if active in choices else choices[-1])

    def _forget(self, entry: AnnotatedImage) -> None:
        entry.release()
        del self._images[entry.key]
        self.removed.emit(entry.key)

    def _check(self, entry: AnnotatedImage) -> None:
        """Notice layers that went while nobody listened."""
        present = list(self.layers)
        for layer in (*entry.layers, *entry.channels.layers):
            if layer not in present:
                self._drop(layer)

    def _on_inserted(self, _event: Any) -> None:
        if self.current is None:
            self._choose_any()
        else:
            self._adopt()
        self.changed.emit()

    def _on_active(self, _event: Any) -> None:
        """Work on the image that is selected, or whose annotation is: it is seen."""
        active = self.layers.selection.active
        if active is None:
            return
        current = self.current
        if current is not None and active in current.channels.layers:
            return  # to set its contrast, say
        if _is_image(active):
            self.choose(active)
            return
        for entry in self:
            if active in entry.layers:
                self.choose(entry.image)

    def _on_removed(self, event: Any) -> None:
        self._drop(event.value)
        self.changed.emit()

    def _on_replaced(self, entry: AnnotatedImage) -> None:
        """Learn from other pixels of an image; begin anew where the shape differs."""
        self.channels.drop_unfit(entry)
        if entry.take_pixels():
            self.painted.emit(entry.key)
            self.changed.emit()
            return
        is_current = entry is self.current
        self._forget(entry)
        self.refused.emit(
            f"'{entry.image.name}' was given another shape: its strokes no longer fit, "
            "make a new annotation."
        )
        if is_current:
            self._current = None
            self.choose(entry.image)
        self.changed.emit()

    def _on_renamed(self, _event: Any) -> None:
        self.changed.emit()

    def _drop(self, layer: Any) -> None:
        for entry in self:
            if layer in entry.channels.layers:
                self.channels.drop(entry, layer)
            if layer is entry.image or layer is entry.annotation:
                self.leaving.emit(entry)
            if layer is entry.image:
                self._forget(entry)
            elif layer is entry.annotation:
                entry.bind_annotation(None)
                self.removed.emit(entry.key)
            elif layer is entry.prediction:
                entry.drop_prediction()
            elif layer is entry.objects:
                entry.drop_objects()
                self.objects_removed.emit()
            elif layer is entry.regions.layer:
                entry.regions.bind(None)
                self.painted.emit(entry.key)
        if self.current is None:
            self._choose_any()


def _is_image(layer: Any) -> bool:
    """Whether a layer is an image of hers, not one that we show something in."""
    return isinstance(layer, Image) and not role_of(layer)
