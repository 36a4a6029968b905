"""Annotations at a fraction of their resolution: no stroke is too thin to stay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_unet.annotation.objects import BACKGROUND
from napari_unet.annotation.tiled import TILE_PX, Box, TiledLabels

__all__ = ["CoarseAnnotation", "coarse_annotation"]


class CoarseAnnotation(NamedTuple):
    """What is painted, with one pixel for a block of pixels.

    Attributes
    ----------
    painted
        Labels, or ids of objects.
    complete
        Where all of a block is completely annotated; None: nowhere was.
    n_px
        Pixels of the full image that are painted or completely annotated.
    """

    painted: TiledLabels
    complete: TiledLabels | None
    n_px: int


def coarse_annotation(
    painted: TiledLabels, complete: TiledLabels | None, factor: int
) -> CoarseAnnotation:
    """Return an annotation with one pixel for each block of ``factor`` px a side.

    A block gets the value that most of its painted pixels have, the highest of equals,
    which is seldom the background's; it is unlabelled only where nothing is painted.
    Where it is completely annotated, what is unlabelled counts as background, or
    objects would grow by half a block all around; but what is painted there and has
    no other block near is kept, however thin it is.

    Parameters
    ----------
    painted
        Shape (..., Y, X): 0 unlabelled, 1 background, 2 and up classes or objects.
    complete
        bool, of the same shape; None: nowhere.
    factor
        Side of a block (px); blocks at the far borders are smaller.

    Returns
    -------
    CoarseAnnotation
        Of shape (..., ceil(Y / factor), ceil(X / factor)).
    """
    *leading, height, width = painted.shape
    shape = (*leading, -(-height // factor), -(-width // factor))
    labels: list[tuple[int, Box, NDArray[Any]]] = []
    regions: list[tuple[int, Box, NDArray[Any]]] = []
    n_px = 0
    region = complete or TiledLabels(painted.shape, np.dtype(bool), {})
    for plane, row, column in _coarse_cells(painted, region, factor):
        box = _span(row, shape[-2]), _span(column, shape[-1])
        around = _full(box[0], factor, height), _full(box[1], factor, width)
        ids, is_complete = painted.read(plane, around), region.read(plane, around)
        inner = tuple(
            slice(own.start - full.start // factor, own.stop - full.start // factor)
            for own, full in zip(box, around, strict=True)
        )
        found, is_whole = _coarsen(ids, is_complete, factor)
        labels.append((plane, box, found[inner]))
        regions.append((plane, box, is_whole[inner]))
        own = tuple(slice(s.start * factor, s.stop * factor) for s in inner)
        n_px += int(np.count_nonzero((ids[own] > 0) | is_complete[own]))
    return CoarseAnnotation(
        TiledLabels.of_parts(shape, painted.dtype, labels),
        complete and TiledLabels.of_parts(shape, bool, regions),
        n_px,
    )


def _coarse_cells(
    painted: TiledLabels, complete: TiledLabels, factor: int
) -> Iterator[tuple[int, int, int]]:
    """Yield plane, row and column of each coarse tile that holds something."""
    cells = {*painted.tiles, *complete.tiles}
    yield from sorted({(p, row // factor, col // factor) for p, row, col in cells})


def _span(number: int, n_px: int) -> slice:
    return slice(number * TILE_PX, min((number + 1) * TILE_PX, n_px))


def _full(span: slice, factor: int, n_px: int) -> slice:
    """Return the pixels of a coarse span, and of a block more on each side."""
    return slice(max(span.start - 1, 0) * factor, min((span.stop + 1) * factor, n_px))


def _coarsen(
    ids: NDArray[Any], is_complete: NDArray[np.bool_], factor: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the blocks' values, and which of them are completely annotated."""
    painted = _vote(_blocks(ids, factor))
    if not is_complete.any():
        return painted, np.zeros(painted.shape, bool)
    background = ids.dtype.type(BACKGROUND)
    filled = np.where(is_complete & (ids == 0), background, ids)
    voted = _vote(_blocks(filled, factor))
    is_outvoted = (voted == BACKGROUND) & (painted > BACKGROUND)
    voted = np.where(is_outvoted & ~_is_near(voted, painted), painted, voted)
    # beyond the image, nothing is missing
    is_whole = np.logical_not(_blocks(~is_complete, factor).any(axis=-1))
    # background that nobody painted is left for whoever fills what is complete
    is_filled = (voted == BACKGROUND) & (painted != BACKGROUND)
    return np.where(is_filled & (is_whole | (painted == 0)), 0, voted), is_whole


def _blocks(array: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return the blocks of an array, shape (h, w, factor**2), filled up with 0."""
    height, width = (-(-n // factor) for n in array.shape)
    whole = np.zeros((height * factor, width * factor), array.dtype)
    whole[: array.shape[0], : array.shape[1]] = array
    blocks = whole.reshape(height, factor, width, factor).swapaxes(1, 2)
    return blocks.reshape(height, width, factor**2)


def _vote(blocks: NDArray[Any]) -> NDArray[Any]:
    """Return each block's most frequent value above 0, the highest of equals."""
    highest: NDArray[Any] = blocks.max(axis=-1)
    lowest = np.where(blocks > 0, blocks, highest[..., None]).min(axis=-1)
    is_mixed = lowest != highest
    values = np.sort(blocks[is_mixed], axis=1)
    place = np.arange(values.shape[1])
    is_first = np.diff(values, axis=1, prepend=0) != 0
    first = np.maximum.accumulate(np.where(is_first, place, 0), axis=1)
    length = np.where(values > 0, place - first + 1, 0)
    best = values.shape[1] - 1 - length[:, ::-1].argmax(axis=1)
    highest[is_mixed] = np.take_along_axis(values, best[:, None], axis=1)[:, 0]
    return highest


def _is_near(labels: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a pixel or one of its eight neighbours has the value that is wanted."""
    height, width = labels.shape
    padded = np.pad(labels, 1)
    shifted = (
        padded[y : y + height, x : x + width] == wanted
        for y in range(3)
        for x in range(3)
    )
    found: NDArray[np.bool_] = np.logical_or.reduce(list(shifted))
    return found
