"""The paper's border weight map: narrow gaps between objects weigh more in the loss."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_unet.annotation.objects import BACKGROUND
from napari_unet.core.losses import frequency_class_weights
from napari_unet.errors import AnnotationError

__all__ = ["border_weights", "label_objects", "weight_map"]

# beyond so many sigmas the term is below 2e-8 of w0
_REACH = 6.0


def border_weights(
    objects: NDArray[np.integer],
    w0: float = 10.0,
    sigma_px: float = 5.0,
    *,
    inside: bool = False,
) -> NDArray[np.float32]:
    """Return the second term of the paper's equation 2, for every pixel.

    ``w0 * exp(-(d1 + d2)**2 / (2 * sigma_px**2))``, with the Euclidean distances d1
    and d2 to the border of the nearest and of the second nearest object. The border of
    an object are its pixels that have a pixel of something else beside them (above or
    below in 3D); the image's edge is no border.

    Parameters
    ----------
    objects
        Shape (Y, X) or (Z, Y, X): 0 where there is no object, one number per object.
        An object may be in several pieces.
    w0
        Weight of a gap of no width. 10 in the paper.
    sigma_px
        Width of a gap that still matters (px). 5 in the paper.
    inside
        Also inside objects, as the equation reads. Not by default: what is to be
        learned is the gap ("the small separation borders"), as in the authors' later
        program (Falk et al. 2019); and where only strokes are painted, two of them
        often lie in one object.

    Returns
    -------
    ndarray of float32
        Of the same shape, 0 to ``w0``; 0 everywhere when there are fewer than two
        objects, and where d1 + d2 is beyond 6 sigma.

    Raises
    ------
    AnnotationError
        If the objects are not whole numbers of 0 or more in 2D or 3D, ``w0`` is
        negative or ``sigma_px`` is not above 0.

    References
    ----------
    Ronneberger et al. 2015, arXiv:1505.04597, equation 2; Falk et al. 2019,
    https://doi.org/10.1038/s41592-018-0261-2.
    """
    _check(objects, w0, sigma_px)
    nearest = np.full(objects.shape, np.inf, np.float32)
    second = nearest.copy()
    reach = math.ceil(_REACH * sigma_px)
    numbered = _numbered(objects)
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        if box is None:
            continue
        wide = tuple(
            slice(max(side.start - reach, 0), min(side.stop + reach, n))
            for side, n in zip(box, objects.shape, strict=True)
        )
        target = numbered[wide] == number
        if inside:
            target &= ~ndimage.binary_erosion(target, border_value=1)
            if not target.any():  # it fills the image: there is no border
                continue
        # outside, the object's nearest pixel is one of its border
        distance = ndimage.distance_transform_edt(~target).astype(np.float32)
        near, next_near = nearest[wide], second[wide]
        np.minimum(next_near, np.maximum(near, distance), out=next_near)
        np.minimum(near, distance, out=near)
    total = nearest + second
    weights = np.zeros(objects.shape, np.float32)
    counted = total <= reach
    if not inside:
        counted &= objects == 0
    weights[counted] = w0 * np.exp(-((total[counted] / sigma_px) ** 2) / 2)
    return weights


def label_objects(annotation: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return the objects of an annotation that has only classes.

    Parameters
    ----------
    annotation
        Shape (Y, X) or (Z, Y, X): 0 unlabelled, 1 background, 2 and up the classes.

    Returns
    -------
    ndarray of int32
        Of the same shape: 0 where there is none, else the number of the object: the
        connected parts of each class but the background. Pixels that touch at a corner
        are connected, or thin slanting strokes would fall to pieces; touching objects
        of two classes are two.
    """
    objects = np.zeros(annotation.shape, np.int32)
    everything = np.ones((3,) * annotation.ndim, bool)
    n_objects = 0
    for value in np.unique(annotation[annotation > BACKGROUND]):
        parts, n_parts = ndimage.label(annotation == value, structure=everything)
        is_part = parts > 0
        objects[is_part] = parts[is_part] + n_objects
        n_objects += n_parts
    return objects


def weight_map(
    annotation: NDArray[np.integer],
    objects: NDArray[np.integer] | None = None,
    w0: float = 10.0,
    sigma_px: float = 5.0,
) -> NDArray[np.float32]:
    """Return the paper's weight map, equation 2, of one annotated image.

    Parameters
    ----------
    annotation
        Shape (Y, X) or (Z, Y, X): 0 unlabelled, 1 background, 2 and up the classes.
    objects
        Of the same shape, as in `border_weights`; None: as `label_objects` finds them.
    w0, sigma_px
        As in `border_weights`.

    Returns
    -------
    ndarray of float32
        ``w_c(x)`` (`napari_unet.core.losses.frequency_class_weights`) plus
        `border_weights`; 0 where nothing is annotated.

    Raises
    ------
    AnnotationError
        As `border_weights`, and if the shapes differ.
    """
    if objects is None:
        objects = label_objects(annotation)
    if objects.shape != annotation.shape:
        raise AnnotationError(
            f"objects of shape {objects.shape} do not fit an annotation of shape "
            f"{annotation.shape}"
        )
    weights = border_weights(objects, w0, sigma_px)
    weights[annotation == 0] = 0
    values, counts = np.unique(annotation[annotation > 0], return_counts=True)
    for value, of_class in zip(values, frequency_class_weights(counts), strict=True):
        weights[annotation == value] += of_class
    return weights


def _numbered(objects: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the objects with small numbers: there is a box for each number up to."""
    if not objects.size or objects.max() <= 65_535:
        return objects
    values, numbers = np.unique(objects, return_inverse=True)
    first = 0 if values[0] == 0 else 1
    small: NDArray[np.integer] = numbers.reshape(objects.shape) + first
    return small


def _check(objects: NDArray[np.integer], w0: float, sigma_px: float) -> None:
    if objects.ndim not in (2, 3) or objects.dtype.kind not in "iu":
        raise AnnotationError(
            f"objects of shape {objects.shape} and dtype {objects.dtype}: give whole "
            "numbers in 2D or 3D, 0 where there is no object"
        )
    if objects.size and objects.min() < 0:
        raise AnnotationError(
            f"objects hold the number {objects.min()}: give 0 where there is no "
            "object, and numbers of 1 and more"
        )
    if not (math.isfinite(w0) and w0 >= 0):
        raise AnnotationError(f"the border weight w0 is {w0}: give 0 or more")
    if not (math.isfinite(sigma_px) and sigma_px > 0):
        raise AnnotationError(f"sigma is {sigma_px} px: give more than 0")
