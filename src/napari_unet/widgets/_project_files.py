"""Images of a project read from their files, as napari's readers give them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack, guess_axes
from napari_unet.core.channels import StackedChannels
from napari_unet.errors import ImageError, NapariUnetError
from napari_unet.export.picture import write_png
from napari_unet.project import THUMBNAILS, Project, ProjectImage

__all__ = ["THUMBNAIL_PX", "pick_layer", "read_pixels", "thumbnail"]

THUMBNAIL_PX = 64
"""Longer side of a thumbnail (px)."""

_OVERSAMPLED = 4
"""Pixels read along an axis for each of a thumbnail: fewer flicker, more are slow."""
_MAX_FILE_BYTES = 500_000_000
"""Of a file that is read whole for a thumbnail; a folder, such as a zarr, is not."""
_MAX_THUMBNAIL_BYTES = 100_000
_PNG_HEAD = struct.Struct(">8s4x4sII")  # signature, name of the block, width, height
_NUMBERED = re.compile(r" \[\d+\]$")  # napari's second layer of a name


def read_pixels(
    path: Path, image: ProjectImage, channels: Sequence[str] | None = None
) -> tuple[Any, str]:
    """Read an image of a project, lazily where the plugin that opened it is lazy.

    Parameters
    ----------
    path
        Its file.
    image
        What the project says of it: reader, layer, axes.
    channels
        Names of the layers to read with it; None: those that it was painted with.

    Returns
    -------
    array, str
        Pixels at full resolution, and their axes.

    Raises
    ------
    ImageError
        If it cannot be read, or its channels are not in the file.
    """
    import npe2

    try:
        found = npe2.read([str(path)], stack=False, plugin_name=image.reader)
        layers = [layer for data in found for layer in _image_layers(data, path)]
    except Exception as error:  # whatever a plugin raises
        raise ImageError(
            f"the image '{image.name}' ({path}) could not be read: {error}"
        ) from error
    if not layers:
        raise ImageError(f"there is no image in {path}")
    names = [name for name, _ in layers]
    pixels = layers[pick_layer(names, [a.shape for _, a in layers], image)][1]
    axes = image.axes or guess_axes(tuple(pixels.shape))
    wanted = image.channels if channels is None else channels
    if not wanted:
        return pixels, axes
    others = [pixels]
    for name in wanted:
        if name not in names:
            raise ImageError(
                f"the image '{image.name}' was painted together with the layer "
                f"'{name}', which is not in its file: open both"
            )
        others.append(layers[names.index(name)][1])
    return StackedChannels(others), f"C{axes}"


def pick_layer(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], image: ProjectImage
) -> int:
    """Return which of the layers of a file is the image: by name, else by shape."""
    if image.layer is not None:
        plain = _NUMBERED.sub("", image.layer)
        for wanted in (image.layer, plain):
            if wanted in names:
                return names.index(wanted)
    for place, shape in enumerate(shapes):
        if image.shape and _label_shape(shape, image.axes) == image.shape:
            return place
    return 0


def thumbnail(project: Project, number: int) -> bytes:
    """Return an image's thumbnail as PNG; kept in the project folder once it is made.

    Raises
    ------
    NapariUnetError
        If its file is missing, cannot be read, or is too large to be read for that.
    """
    image = project.record.image(number)
    path = project.find(number)
    kept = project.path(THUMBNAILS, f"{number}.png")
    try:
        if kept.is_file() and kept.stat().st_mtime >= path.stat().st_mtime:
            with open(kept, "rb") as file:
                data = file.read(_MAX_THUMBNAIL_BYTES + 1)
            if _is_thumbnail(data):
                return data
    except OSError:
        pass  # it is made now
    if path.is_file() and path.stat().st_size > _MAX_FILE_BYTES:
        raise ImageError(f"{path} is too large to be read for a thumbnail")
    picture = _small(PlaneStack(*read_pixels(path, image, ())))
    try:
        kept.parent.mkdir(exist_ok=True)
        write_png(kept, picture)
        return kept.read_bytes()
    except (OSError, NapariUnetError) as error:
        raise ImageError(f"{kept} could not be kept: {error}") from error


def _is_thumbnail(data: bytes) -> bool:
    """Whether a kept picture, of whomever, is small; before it is decoded."""
    if not _PNG_HEAD.size <= len(data) <= _MAX_THUMBNAIL_BYTES:
        return False
    signature, block, width, height = _PNG_HEAD.unpack_from(data)
    is_png = signature == b"\x89PNG\r\n\x1a\n" and block == b"IHDR"
    return bool(is_png and max(width, height) <= 4 * THUMBNAIL_PX)


def _image_layers(data: Any, path: Path) -> Iterable[tuple[str, Any]]:
    """Yield name and pixels of the image layers in what a reader returned."""
    array, meta, kind = (*data, {}, "image")[:3] if len(data) < 3 else data
    if kind != "image":
        return
    meta = meta or {}
    if meta.get("multiscale") or isinstance(array, (list, tuple)):
        array = array[0]
    if not hasattr(array, "shape"):
        array = np.asarray(array)
    axis = meta.get("channel_axis")
    name = meta.get("name") or path.stem
    if axis is None:
        yield str(name), array
        return
    n = array.shape[axis]
    names = name if isinstance(name, (list, tuple)) else _napari_names(str(name), n)
    for place in range(n):
        index: list[Any] = [slice(None)] * array.ndim
        index[axis] = place
        yield str(names[place]), array[tuple(index)]


def _napari_names(name: str, n: int) -> list[str]:
    return [name, *(f"{name} [{i}]" for i in range(1, n))]


def _label_shape(shape: tuple[int, ...], axes: str | None) -> tuple[int, ...]:
    if axes is None or len(axes) != len(shape):
        return tuple(shape)
    return tuple(int(n) for n, a in zip(shape, axes, strict=True) if a != "C")


def _small(stack: PlaneStack) -> NDArray[np.uint8]:
    """Return the middle plane as a small RGB picture, (Y, X, 3)."""
    height, width = stack.plane_shape
    longest = max(height, width)
    step = max(1, longest // (_OVERSAMPLED * THUMBNAIL_PX))
    middle = stack.plane_of(tuple(n // 2 for n in stack.leading_shape))
    plane = stack.sample(middle, slice(0, height), (step, step))
    is_rgb = stack.axes.endswith("C") and stack.n_channels == 3
    plane = plane if is_rgb else plane[:1]
    grey_or_rgb = np.stack([_shrink(part, THUMBNAIL_PX) for part in plane], axis=-1)
    finite = grey_or_rgb[np.isfinite(grey_or_rgb)]
    low, high = np.quantile(finite, (0.005, 0.995)) if finite.size else (0.0, 1.0)
    if is_rgb and stack.image.dtype == np.uint8:
        low, high = 0.0, 255.0
    scaled = np.clip((grey_or_rgb - low) / max(float(high - low), 1e-12), 0, 1)
    shown = np.nan_to_num(scaled * 255).astype(np.uint8)
    return np.broadcast_to(shown, (*shown.shape[:2], 3)).copy()


def _shrink(plane: NDArray[np.float32], side_px: int) -> NDArray[np.float32]:
    """Return the means of blocks, so that the longer side has about ``side_px``."""
    block = max(1, -(-max(plane.shape) // side_px))
    height, width = (max(1, n // block) * block for n in plane.shape)
    cut = plane[: min(height, plane.shape[0]), : min(width, plane.shape[1])]
    if cut.shape[0] < block or cut.shape[1] < block:  # a line of pixels
        return cut[::block, ::block]
    rows, columns = cut.shape[0] // block, cut.shape[1] // block
    means: NDArray[np.float32] = cut.reshape(rows, block, columns, block).mean((1, 3))
    return means
