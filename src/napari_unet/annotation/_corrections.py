"""Strokes where a prediction is wrong, in the largest errors first."""

from __future__ import annotations

import heapq

import numpy as np
from scipy import ndimage

from napari_unet.annotation._room import StrokeRoom, StrokeSize

__all__ = ["correct"]

_CROP_PX = 16  # more than strokes keep apart


def correct(
    truth: np.ndarray,
    is_wrong: np.ndarray,
    annotation: np.ndarray,
    n_strokes: int,
    size: StrokeSize,
    rng: np.random.Generator,
) -> None:
    """Paint up to ``n_strokes`` strokes of the true class into the annotation.

    Parameters
    ----------
    truth : numpy.ndarray
        (Z, Y, X), integer.
    is_wrong : numpy.ndarray
        (Z, Y, X), bool: where a stroke may be painted.
    annotation : numpy.ndarray
        (Z, Y, X), integer; written to.
    n_strokes : int
        Over all classes.
    size : StrokeSize
        Of strokes; shorter in small regions.
    rng : numpy.random.Generator
        Decides everything.
    """
    regions, values, n_px = _error_regions(truth, is_wrong)
    boxes = ndimage.find_objects(regions)
    # by plane of each region: strokes painted, infinite where no more fits
    n_used = [np.zeros(box[0].stop - box[0].start) for box in boxes]
    queue = [(-float(n), region) for region, n in enumerate(n_px)]
    heapq.heapify(queue)
    while queue and n_strokes:
        _, region = heapq.heappop(queue)
        used, value = n_used[region], values[region]
        is_region = regions[boxes[region]] == region + 1
        chances = is_region.sum((1, 2)) / (1 + used)
        z = int(chances.argmax())
        if chances[z] == 0:
            continue
        crop = _crop(boxes[region], z)
        near = annotation[max(0, crop[0] - 1) : crop[0] + 2, *crop[1:]]
        room = StrokeRoom(
            regions[crop] == region + 1,
            (near == value).any(0),
            size.at_most(int(n_px[region]) // 2),
        )
        pixels = room.paint(rng)
        if pixels is None:
            used[z] = np.inf
        else:
            annotation[crop][pixels] = value
            used[z] += 1
            n_strokes -= 1
        n_painted = used[np.isfinite(used)].sum()
        heapq.heappush(queue, (-n_px[region] / (1 + n_painted), region))


def _error_regions(
    truth: np.ndarray, is_wrong: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return connected errors numbered from 1, their classes and their sizes."""
    regions = np.zeros(truth.shape, np.int32)
    values: list[int] = []
    for value in np.unique(truth[is_wrong]).tolist():
        found, n = ndimage.label(is_wrong & (truth == value), np.ones((3, 3, 3)))
        regions[found > 0] = found[found > 0] + len(values)
        values += [value] * n
    n_px = np.bincount(regions.ravel(), minlength=len(values) + 1)[1:]
    return regions, np.array(values, dtype=np.int64), n_px


def _crop(box: tuple[slice, ...], z: int) -> tuple[int, slice, slice]:
    """Return the plane ``z`` of a region's box, with room for what lies around."""
    y, x = (
        slice(max(0, side.start - _CROP_PX), side.stop + _CROP_PX) for side in box[1:]
    )
    return box[0].start + z, y, x
