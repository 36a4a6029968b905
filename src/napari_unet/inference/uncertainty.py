"""How unsure a prediction is, pixel by pixel: 0 sure, 1 as unsure as can be.

Neither number knows what the model never saw: it may be sure and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.arrays import PlaneStack
from napari_unet.core.source import ImageSource
from napari_unet.inference.prediction import Prediction, merge_border
from napari_unet.inference.predictor import Frugal, Predictor
from napari_unet.inference.tiles import Tile

__all__ = ["all_classes", "disagreement", "entropy", "mirrored", "mirrored_views"]

Floats = NDArray[np.float32]


def entropy(probabilities: Floats) -> Floats:
    """Return the entropy of class probabilities over that of a blind guess.

    Shannon's entropy costs nothing beside the prediction, and in active learning of
    segmentation is hard to beat at its price (Settles 2009, Computer Sciences Technical
    Report 1648, University of Wisconsin-Madison).

    Parameters
    ----------
    probabilities
        Shape (K, ...), 0..1, adding up to 1 over the classes.

    Returns
    -------
    ndarray of float32, shape (...)
        0 (one class is certain) to 1 (all are equally likely); 0 with a single class.
    """
    n_classes = len(probabilities)
    if n_classes < 2:
        return np.zeros(probabilities.shape[1:], np.float32)
    safe = np.clip(probabilities, np.finfo(np.float32).tiny, 1)
    nats = -(safe * np.log(safe)).sum(axis=0)
    found: Floats = np.clip(nats / np.log(n_classes), 0, 1).astype(np.float32)
    return found


def disagreement(views: Sequence[Floats]) -> Floats:
    """Return how much several predictions of one place differ.

    The Jensen-Shannon divergence (Lin 1991, doi:10.1109/18.61115): what is left of the
    entropy of their mean when each one's own is taken off. A border at which every view
    is equally unsure does not count, as it does for `entropy`.

    Parameters
    ----------
    views
        At least one, each of shape (K, ...), as in `entropy`.

    Returns
    -------
    ndarray of float32, shape (...)
        0 (all alike) to 1 (as different as so many views of so many classes can be).
    """
    n_classes, most = len(views[0]), min(len(views), len(views[0]))
    if most < 2:
        return np.zeros(views[0].shape[1:], np.float32)
    mean = np.mean(views, axis=0)
    nats = entropy(mean) - np.mean([entropy(view) for view in views], axis=0)
    nats *= np.log(n_classes) / np.log(most)
    found: Floats = np.clip(nats, 0, 1).astype(np.float32)
    return found


def all_classes(found: Prediction) -> Floats:
    """Return the probabilities (K, ...) of all that a model tells apart.

    The border between objects, which users see as a part of them, is a class by itself:
    where it is unclear whether two are one, that is unsure.
    """
    if found.border is None:
        return found.probabilities
    shown = found.probabilities.copy()
    shown[-1] -= found.border  # objects are the last class
    return np.concatenate([shown, found.border[None]])


def mirrored(source: ImageSource, axis: str) -> ImageSource:
    """Return an image mirrored along ``axis``, Y or X, normalised as it is itself."""
    stack = source.stack
    number = stack.axes.index(axis)
    if isinstance(stack.image, np.ndarray):
        image: Any = np.flip(stack.image, number)
    else:
        image = _Mirrored(stack.image, number)
    return ImageSource(
        source.key,
        PlaneStack(image, stack.axes),
        anisotropy=source.anisotropy,
        normalised_as=source,
    )


def mirrored_views(
    predictor: Predictor,
    sources: dict[str, ImageSource],
    plane: int,
    tile: Tile,
    of_objects: bool,
) -> list[Floats]:
    """Predict a tile in mirror images, and turn the maps of `all_classes` back.

    Parameters
    ----------
    predictor
        What predicted the tile itself.
    sources
        By axis, Y or X, what `mirrored` made of the image.
    plane, tile
        Which tile, of the image as it lies.
    of_objects
        As in `napari_unet.inference.predict.predict_planes`.
    """
    views = []
    frugal = Frugal(predictor.without_cache())
    for axis, source in sources.items():
        height, width = source.stack.plane_shape
        y0, y1, x0, x1 = tile.y0, tile.y1, tile.x0, tile.x1
        if axis == "Y":
            place, number = Tile(height - y1, height - y0, x0, x1), -2
        else:
            place, number = Tile(y0, y1, width - x1, width - x0), -1
        probabilities = np.flip(frugal.predict(source, plane, place), number)
        found = Prediction(predictor.values, probabilities)
        if of_objects:
            found = merge_border(probabilities, predictor.values)
        views.append(all_classes(found))
    return views


class _Mirrored:
    """A lazy array, mirrored along one axis where it is read."""

    def __init__(self, image: Any, axis: int) -> None:
        self._image, self._axis = image, axis
        self.shape, self.dtype = tuple(image.shape), image.dtype
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape, dtype=int))

    def __getitem__(self, where: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read slices of step 1 or more and integers, one for each axis."""
        part, n = where[self._axis], self.shape[self._axis]
        assert isinstance(part, slice)
        there = range(*part.indices(n))  # of the mirror image
        first, last = n - 1 - there[-1], n - 1 - there[0]
        read = list(where)
        read[self._axis] = slice(first, last + 1, there.step)
        kept = sum(isinstance(w, slice) for w in where[: self._axis])
        return np.flip(np.asarray(self._image[tuple(read)]), kept)
