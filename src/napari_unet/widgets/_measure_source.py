"""What the dock *Measurements* measures: arrays and facts of a labels layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from napari.layers import Image, Labels

from napari_unet.errors import ImageError
from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._layers import (
    guess_image_axes,
    image_array,
    image_axes_choices,
    label_shape,
    mode_of,
    role_of,
)
from napari_unet.widgets._stored_layer import StoredLevel

__all__ = ["Source", "axes_of_labels", "fitting_images", "is_of_classes"]

_COPIED_BYTES = 2**28
"""Labels that change in place are copied up to here; above, what changes meanwhile is
measured as it is when it is read."""
_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}


@dataclass(frozen=True)
class Source:
    """A labels layer, what is known of it, and the image beside it."""

    layer: Labels
    image: Image | None = None
    entry: AnnotatedImage | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def options(self, per: str, *, by_plane: bool) -> dict[str, Any]:
        """Return the arguments of `napari_unet.export.measure_job`.

        Raises
        ------
        ImageError
            If the axes of the layer have units that do not go together.
        """
        axes = axes_of_labels(self.layer, self.image, self.entry)
        scale, unit = _scale_and_unit(self.layer, axes)
        options: dict[str, Any] = {
            "labels": _frozen(label_array(self.layer)),
            "per": per,
            "axes": axes,
            "scale": scale,
            "unit": unit,
            "class_names": dict(self.names),
            "by_plane": by_plane and "Z" in axes,
        }
        if self.image is not None:
            options |= _image_options(self.image, self.layer, self.entry)
            options["image_name"] = str(self.image.name)
        if per == "object" and mode_of(self.layer) == "objects":
            options["background"] = (1,)
        classes = self._classes
        if per == "object" and classes is not None:
            options["classes"] = _frozen(classes)
        return options

    @property
    def _classes(self) -> Any:
        """The classes that the objects of a prediction were cut from."""
        entry = self.entry
        if entry is None or self.layer is not entry.objects:
            return None
        return None if entry.prediction is None else label_array(entry.prediction)


def label_array(layer: Labels) -> Any:
    """Return a layer's labels at full resolution, maybe lazy."""
    array = layer.data[0] if layer.multiscale else layer.data
    return array.stored if isinstance(array, StoredLevel) else array


def is_of_classes(layer: Labels, entry: AnnotatedImage | None) -> bool:
    """Whether the values of a layer of ours are classes, and not objects."""
    if role_of(layer) == "annotation":
        return mode_of(layer) != "objects"
    return entry is not None and layer in (entry.prediction, entry.stored)


def fitting_axes(image: Image, layer: Labels) -> str | None:
    """Return how to read an image so that labels lie on it; None if they cannot."""
    shape = tuple(int(n) for n in label_array(layer).shape)
    for axes in image_axes_choices(image):
        if label_shape(image, axes) == shape:
            return axes
    return None


def axes_of_labels(
    layer: Labels, image: Image | None, entry: AnnotatedImage | None
) -> str:
    """Return the axes of a labels layer: of its image, else as its axes are called.

    Raises
    ------
    ImageError
        If it has too few or too many axes.
    """
    if entry is not None:
        return entry.axes.replace("C", "")
    if image is not None:
        axes = fitting_axes(image, layer) or guess_image_axes(image)
        return axes.replace("C", "")
    if layer.ndim not in _AXES:
        raise ImageError(
            f"the labels '{layer.name}' have {layer.ndim} axes; 2 to 4 can be measured"
        )
    named = "".join(str(label)[:1].upper() for label in layer.axis_labels)
    return named if named in ("YX", "ZYX", "TYX", "TZYX") else _AXES[layer.ndim]


def _image_options(
    image: Image, layer: Labels, entry: AnnotatedImage | None
) -> dict[str, Any]:
    if entry is not None and image is entry.image:
        channels = entry.channels
        named = [str(i.name) for i in (image, *channels.layers)]
        names = named if channels.layers and len(set(named)) == len(named) else None
        return {
            "image": channels.pixels,
            "image_axes": channels.axes,
            "channel_names": names,
        }
    return {"image": image_array(image), "image_axes": fitting_axes(image, layer)}


def _scale_and_unit(layer: Labels, axes: str) -> tuple[tuple[float, ...], str]:
    """Return world units per pixel, all in the unit of the last axis."""
    steps = [abs(float(step)) for step in layer.scale]
    last = layer.units[-1]
    for place, (unit, axis) in enumerate(zip(layer.units, axes, strict=True)):
        if unit != last and axis != "T":
            steps[place] *= _factor(unit, last, layer)
    return tuple(steps), str(last)


def _factor(unit: Any, other: Any, layer: Labels) -> float:
    try:
        return float((1 * unit).to(other).magnitude)
    except Exception as error:  # of pint, which napari brings
        units = ", ".join(map(str, layer.units))
        raise ImageError(
            f"the axes of '{layer.name}' have the units {units}, which do not go "
            "together: give them lengths, or pixels"
        ) from error


def _frozen(array: Any) -> Any:
    """Copy what may be painted in while it is measured, where it is not large."""
    if isinstance(array, np.ndarray) and array.nbytes <= _COPIED_BYTES:
        return array.copy()
    return array


def fitting_images(layer: Labels | None, layers: Sequence[Any]) -> list[Image]:
    """Return the image layers that a labels layer lies on."""
    images = (i for i in layers if isinstance(i, Image) and layer is not None)
    return [image for image in images if fitting_axes(image, layer) is not None]
