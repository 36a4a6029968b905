"""The program's layers: made beside an image and kept in step with it.

Everything here runs on the GUI thread. The job never sees a layer: it gets the image's
array and a frozen private copy of the annotation (`_snapshot`).
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import CyclicLabelColormap
from numpy.typing import NDArray

from napari_unet.config import AnnotationMode
from napari_unet.errors import ImageError
from napari_unet.export.picture import class_colour
from napari_unet.jobs import ObjectsFound, TilePredicted

__all__ = [
    "MODE",
    "OWNER",
    "ROLE",
    "SHOWN_OF",
    "OverlayStyle",
    "add_below",
    "follow",
    "guess_image_axes",
    "image_array",
    "image_axes_choices",
    "is_grey",
    "is_inside",
    "is_rectangle_inside",
    "label_shape",
    "make_labels",
    "misfit",
    "mode_of",
    "object_colormap",
    "put_data",
    "role_of",
    "transform_of",
    "watch_data",
]

ROLE = "napari-unet"
"""Key in ``layer.metadata`` under which our layers say what they are."""
OWNER = f"{ROLE} image"
"""Key under which they say which image they are of: its key and its name."""
SHOWN_OF = f"{ROLE} of"
"""Key under which layers that only show something say the key of their image."""
MODE = f"{ROLE} mode"
"""Key under which our annotations say what is painted in them."""

_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
_GOLDEN = 0.618034  # of the circle of hues: any run of numbers is spread over it
_SATURATIONS = (0.85, 0.5)
_N_OBJECT_COLOURS = 240  # with the background's, one byte each on the way to the GPU
_CHOICES = {
    2: ["YX"],
    3: ["ZYX", "TYX", "CYX"],
    4: ["TZYX", "ZCYX", "CZYX", "TCYX", "CTYX"],
    5: ["TZCYX", "TCZYX", "CTZYX"],
}


class OverlayStyle:
    """How predictions are drawn; one style for all of a viewer's images."""

    def __init__(self) -> None:
        self.opacity = 0.5
        self.is_outline = False
        self.has_background = False


def image_array(image: Image) -> Any:
    """Return an image layer's pixels: at full resolution, not copied, maybe lazy."""
    return image.data[0] if image.multiscale else image.data


def image_axes_choices(image: Image) -> list[str]:
    """Return the ways to read an image's axes, the likeliest first."""
    tail = "C" if image.rgb else ""
    choices = [
        axes + tail
        for axes in _CHOICES.get(image.ndim, [])
        if not (tail and "C" in axes)
    ]
    named = "".join(str(label)[:1].upper() for label in image.axis_labels) + tail
    if named in choices:
        choices.remove(named)
        choices.insert(0, named)
    return choices


def guess_image_axes(image: Image) -> str:
    """Read the axes from the layer's axis labels, else from their number.

    Raises
    ------
    ImageError
        If the image has too few or too many axes.
    """
    choices = image_axes_choices(image)
    if not choices:
        raise ImageError(
            f"the image '{image.name}' has {image.ndim} axes; 2 to 5 can be used"
        )
    return choices[0]


def label_shape(image: Image, axes: str) -> tuple[int, ...]:
    """Return the shape of an image's label array: its own without the channels."""
    shape = image_array(image).shape
    return tuple(int(n) for n, a in zip(shape, axes, strict=True) if a != "C")


def transform_of(image: Image, axes: str) -> dict[str, Any]:
    """Return where a label layer of this image lies: the arguments for ``Labels``.

    A channel axis that napari shows as a slider is dropped from each of them.
    """
    values: dict[str, Any] = {name: getattr(image, name) for name in _TRANSFORM}
    spatial = axes[: image.ndim]
    if "C" not in spatial:
        return values
    keep = [i for i, axis in enumerate(spatial) if axis != "C"]
    for name in ("scale", "translate"):
        values[name] = np.asarray(values[name])[keep]
    for name in ("units", "axis_labels"):
        values[name] = tuple(values[name][i] for i in keep)
    values["rotate"] = np.asarray(values["rotate"])[np.ix_(keep, keep)]
    values["shear"] = _shear_matrix(values["shear"], image.ndim)[np.ix_(keep, keep)]
    values["affine"] = values["affine"].set_slice(keep)
    return values


def _shear_matrix(shear: Any, ndim: int) -> NDArray[np.float64]:
    """Return napari's shear, a list of upper entries or a matrix, as a matrix."""
    values = np.asarray(shear, np.float64)
    matrix: NDArray[np.float64] = np.eye(ndim)
    if values.ndim == 2:
        matrix[:] = values
    else:
        matrix[np.triu_indices(ndim, k=1)] = values
    return matrix


def follow(layer: Layer, image: Image, axes: str) -> Callable[[], None]:
    """Put a layer where its image is, and keep it there; return what ends this."""

    def move(_event: Any = None) -> None:
        for name, value in transform_of(image, axes).items():
            setattr(layer, name, value)

    move()  # the image may have moved while nobody followed it
    emitters = [getattr(image.events, name) for name in _TRANSFORM]
    for emitter in emitters:
        emitter.connect(move)

    def release() -> None:
        for emitter in emitters:
            emitter.disconnect(move)

    return release


def watch_data(image: Image, on_replaced: Callable[[], None]) -> Callable[[], None]:
    """Hear when a layer is given another array; return a function that ends this."""

    def heard(_event: Any = None) -> None:
        on_replaced()

    image.events.data.connect(heard)
    return lambda: image.events.data.disconnect(heard)


def make_labels(
    image: Image,
    axes: str,
    *,
    name: str,
    role: str,
    mode: AnnotationMode = "strokes",
    dtype: Any = np.uint8,
) -> Labels:
    """Return an empty label layer that lies on the image to the pixel.

    uint8 shares its memory with what is drawn: napari shows a change without a copy.
    """
    layer = Labels(
        np.zeros(label_shape(image, axes), dtype),
        name=name,
        metadata={ROLE: role, MODE: mode} if role == "annotation" else {ROLE: role},
        **transform_of(image, axes),
    )
    layer.editable = role == "annotation"
    layer.opacity = 0.9  # strokes stand out from the overlay of the same colours
    return layer


def put_data(layer: Labels, data: NDArray[np.integer]) -> None:
    """Give a layer of ours another array; zeros cost nothing until they are seen."""
    layer.data = data
    layer.editable = False  # napari forgets it with each new array


def is_inside(part: ObjectsFound | TilePredicted, shape: tuple[int, ...]) -> bool:
    """Whether what was predicted lies within a label array of this shape."""
    labels, index = np.shape(part.labels), part.index
    return (
        len(index) + len(labels) == len(shape)
        and all(0 <= i < n for i, n in zip(index, shape, strict=False))
        and labels[:-2] == shape[len(index) : -2]
        and part.y + labels[-2] <= shape[-2]
        and part.x + labels[-1] <= shape[-1]
    )


def is_rectangle_inside(
    index: tuple[int, ...], y: int, x: int, part: Any, whole: Any
) -> bool:
    """Whether a part (h, w) of the plane at ``index`` lies within an array."""
    height, width = np.shape(part)
    *leading, n_rows, n_columns = np.shape(whole)
    return (
        len(index) == len(leading)
        and all(0 <= i < n for i, n in zip(index, leading, strict=True))
        and y + height <= n_rows
        and x + width <= n_columns
    )


def object_colormap(*, has_background: bool = False) -> CyclicLabelColormap:
    """Return colours for numbered objects: bright, neighbours in number far apart.

    napari's own have dark ones, which are lost on the dark ground of fluorescence.
    ``has_background``: 1 is background, and grey; so are others, see `is_grey`.
    """
    colours = [
        (*colorsys.hsv_to_rgb(n * _GOLDEN % 1, _SATURATIONS[n % 2], 1.0), 1.0)
        for n in range(_N_OBJECT_COLOURS)
    ]
    if has_background:
        red, green, blue = (part / 255 for part in class_colour(1))
        colours.insert(0, (red, green, blue, 1.0))
    return CyclicLabelColormap(colors=[(0.0, 0.0, 0.0, 0.0), *colours])


def is_grey(number: int) -> bool:
    """Whether an annotated object would have the background's colour."""
    return (number - 1) % (_N_OBJECT_COLOURS + 1) == 0


def add_below(layers: Any, layer: Layer, above: Labels | None) -> None:
    """Add a layer below another, and leave the selection as it is.

    A new layer that took the selection would take the next stroke as well.
    """
    selected = set(layers.selection)
    active = layers.selection.active
    layers.insert(layers.index(above) if above in layers else len(layers), layer)
    layers.selection = selected
    if active is not None:
        layers.selection.active = active


def role_of(layer: Any) -> str:
    """Return what a layer of ours is for, such as ``"annotation"``; else ``""``."""
    return str(layer.metadata.get(ROLE, ""))


def mode_of(layer: Any) -> str:
    """Return what is painted in an annotation of ours; ``""`` of other layers."""
    if role_of(layer) != "annotation":
        return ""
    return str(layer.metadata.get(MODE, "strokes"))  # a sample's says nothing


def misfit(labels: Labels, image: Image, axes: str) -> str:
    """Say why a label layer cannot annotate an image; ``""`` if it can."""
    if labels.multiscale:
        return f"'{labels.name}' is multiscale, which napari cannot paint on."
    needed = label_shape(image, axes)
    if tuple(labels.data.shape) != needed:
        have = " × ".join(map(str, labels.data.shape))
        want = " × ".join(map(str, needed))
        return f"'{labels.name}' has {have} px, but '{image.name}' needs {want} px."
    return ""
