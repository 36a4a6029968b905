"""Pictures for people: an overlay of labels on an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.core.atomic import replace_file
from napari_unet.errors import ImageError

__all__ = [
    "CLASS_COLOURS",
    "class_colour",
    "overlay_picture",
    "write_picture",
    "write_png",
]

CLASS_COLOURS = (
    (169, 176, 184),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
"""RGB of the label values 1, 2, ...: grey for the background, then the palette of Okabe
and Ito (2008), which people with any usual form of colour blindness can tell apart."""


def class_colour(value: int) -> tuple[int, int, int]:
    """Return the RGB of a label value of 1 or more, here and in the viewer.

    Beyond the table it starts anew at 2: nothing but the background is grey.
    """
    place = (value - 2) % (len(CLASS_COLOURS) - 1) + 1 if value > 1 else 0
    return CLASS_COLOURS[place]


def overlay_picture(
    image: Any, labels: Any, *, opacity: float = 0.35, background: int = 1
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Paint labels over an image: each class tinted, with a full-colour outline.

    Parameters
    ----------
    image
        Shape (Y, X) or (Y, X, 3), any real dtype; shown from its 0.5 % to its 99.5 %
        quantile (uint8 RGB as it is).
    labels
        Integers, shape (Y, X).
    opacity
        Of the tint, 0..1.
    background
        Label value that is left clear, as 0 always is.

    Returns
    -------
    ndarray of uint8, shape (Y, X, 3)

    Raises
    ------
    ImageError
        If the shapes do not fit.
    """
    labels = np.asarray(labels)
    picture = _as_rgb(np.asarray(image))
    if picture.shape[:2] != labels.shape:
        raise ImageError(
            f"labels of shape {labels.shape} do not fit an image of {picture.shape[:2]}"
        )
    edge = np.zeros(labels.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    for value in np.unique(labels):
        if value in (0, background):
            continue
        colour = np.array(class_colour(int(value)), float)
        weight = np.where(edge, 1.0, opacity)[..., None] * (labels == value)[..., None]
        picture = picture * (1 - weight) + colour * weight
    return np.round(picture).astype(np.uint8)


def write_picture(path: str | os.PathLike[str], picture: Any) -> Path:
    """Write an RGB picture (uint8, shape (Y, X, 3)) as PNG, whole or not at all.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    path = Path(path)
    write_png(path, np.asarray(picture, np.uint8))
    return path


def write_png(path: Path, array: np.ndarray[Any, Any]) -> None:
    """Write an array that a PNG can hold, whole or not at all."""
    import imageio.v3 as iio

    # encoded first: imageio complains by itself, once more, where a disk is full
    content = iio.imwrite("<bytes>", array, extension=".png")
    with replace_file(path) as temporary:
        temporary.write_bytes(content)


def _as_rgb(image: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if image.ndim == 3 and image.dtype == np.uint8:
        return image[..., :3].astype(float)
    finite = image[np.isfinite(image)].astype(float)
    low, high = np.quantile(finite, (0.005, 0.995)) if finite.size else (0.0, 1.0)
    grey = np.clip((image.astype(float) - low) / max(high - low, 1e-12), 0, 1) * 255
    grey = np.nan_to_num(grey)
    return grey[..., :3] if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)
