"""Annotated objects as strokes, bundled so that an object is held out as a whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_unet.annotation.objects import BACKGROUND, BORDER, INSIDE, near_pairs
from napari_unet.annotation.strokes import REGION_PX, Stroke, find_strokes_in

__all__ = ["find_object_strokes"]


def find_object_strokes(
    ids: NDArray[np.integer],
    targets: NDArray[np.integer],
    plane: int = 0,
    n_bundles: int = 0,
    region_px: int = REGION_PX,
    corner: tuple[int, int] = (0, 0),
) -> list[Stroke]:
    """Find what is painted in one plane: background, and each object's two parts.

    The border of an object lies beside its neighbour's: who has seen one, knows the
    other. So objects that touch are a bundle, and held out together. Where cells fill
    the plane, that would be all of them at once, or none: such a bundle is cut into
    squares, as a declared region is, and each object belongs to the square in which its
    centre lies. What is then known of a border at a cut is little beside the rest.

    Parameters
    ----------
    ids
        Shape (Y, X): 0 unlabelled, 1 background, 2 and up the objects.
    targets
        The same as `napari_unet.annotation.objects.object_targets`.
    plane
        Number to note in each stroke.
    n_bundles
        Bundles of other planes, whose numbers are not to be used again.
    region_px
        As in `find_strokes`.
    corner
        Where the first pixel lies in the plane, of which the rest is not annotated.

    Returns
    -------
    list of Stroke
        The background's; then of each object its inside and its border, as far as it
        has them.
    """
    background = np.where(targets == BACKGROUND, targets, 0)
    strokes = find_strokes_in([(corner, background)], plane, region_px)
    values = np.unique(ids[ids > BACKGROUND])
    if not len(values):
        return strokes
    # numbered by place, so that what is remembered of strokes is found again
    numbers = np.where(ids > BACKGROUND, np.searchsorted(values, ids) + 1, 0)
    bundles = _bundles(numbers, len(values), region_px, corner) + (n_bundles + 1)
    boxes = ndimage.find_objects(numbers)
    for number, (box, bundle) in enumerate(zip(boxes, bundles, strict=True), start=1):
        part = np.where(numbers[box] == number, targets[box], 0)
        first = (box[0].start + corner[0], box[1].start + corner[1])
        for value in (INSIDE, BORDER):
            yx = (np.argwhere(part == value) + first).astype(np.int32)
            if len(yx):
                strokes.append(Stroke(value, plane, yx, bundle=int(bundle)))
    return strokes


def _bundles(
    numbers: NDArray[np.integer],
    n_objects: int,
    region_px: int,
    corner: tuple[int, int],
) -> NDArray[np.intp]:
    """Return the bundle, from 0, of each object; objects are numbered from 1."""
    ids = numbers + 1  # as `near_pairs` has them: objects from 2 on
    pairs = [np.zeros((2, 0), np.intp)]  # a plane of one pixel has none
    for here, there, is_pair in near_pairs(ids):
        pairs.append(np.stack([ids[here][is_pair], ids[there][is_pair]]) - 2)
    first, second = np.concatenate(pairs, axis=1)
    ones = np.ones(len(first), bool)
    graph = coo_array((ones, (first, second)), shape=(n_objects, n_objects))
    _, cluster = connected_components(graph, directed=False)
    everyone = np.arange(1, n_objects + 1)
    n_px = np.bincount(numbers.ravel(), minlength=n_objects + 1)[1:]
    is_large = np.bincount(cluster, n_px)[cluster] > region_px**2 // 2
    centres = ndimage.center_of_mass(numbers > 0, numbers, everyone)
    cells = (np.asarray(centres, np.float64) + corner) // region_px
    keys = np.column_stack([cluster, cells * is_large[:, None]])
    _, bundle = np.unique(keys, axis=0, return_inverse=True)
    return bundle.ravel()
