"""From class labels to objects: touching objects of a class come apart."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from napari_unet.config import InstanceConfig
from napari_unet.errors import ImageError
from napari_unet.inference.basins import cut_at_necks
from napari_unet.inference.holes import find_holes
from napari_unet.jobs import CancelToken, JobEvent, Progress, finish

__all__ = [
    "Instances",
    "checked_sampling",
    "objects_of_classes",
    "split_job",
    "split_objects",
]

_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}
Index = tuple[int | slice, ...]
Ends = tuple[tuple[bool, bool], ...]


@dataclass(frozen=True)
class Instances:
    """Objects of an image.

    Attributes
    ----------
    labels
        One id per object, from 1 and consecutive; 0: none. uint16, or uint32 beyond
        65,535 objects.
    classes
        Shape (n + 1,): the class of each id, 0 for id 0. ``classes[labels]`` is the
        class of each pixel.
    """

    labels: NDArray[Any]
    classes: NDArray[np.int64]

    @property
    def n_objects(self) -> int:
        """How many objects there are."""
        return len(self.classes) - 1

    @property
    def n_per_class(self) -> dict[int, int]:
        """How many objects there are of each class that has any."""
        values, counts = np.unique(self.classes[1:], return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))


def split_objects(
    labels: Any,
    probabilities: Any = None,
    *,
    border: Any = None,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    settings: InstanceConfig | None = None,
) -> Instances:
    """Give each object of each class an id; cut touching ones apart at their necks.

    The hills of the distance to an object's border are flooded from their tops
    (watershed), and neighbours are joined again unless the neck between them is narrow
    in relation to the slimmer one: the same settings serve objects of 5 and of 200 px.
    Where a model has learned the border between touching objects, it lowers the hills
    there, and so cuts where nothing narrows. Time points are looked at one by one, and
    z stacks as volumes (``settings.through_z``).

    Parameters
    ----------
    labels
        Integers, shape (Y, X), (Z, Y, X), (T, Y, X) or (T, Z, Y, X): 0 and 1 are
        background, 2 and up the classes.
    probabilities
        Of each class, shape (K, *labels.shape) in any order, or of the class that each
        pixel is labelled as, shape of ``labels``; 0..1. Where a model is in doubt
        between two objects, it helps to find the border. None: shape alone decides.
    border
        Probability, shape of ``labels``, that a pixel is border between two objects;
        a part of the probability of its class. None: not known.
    axes
        One letter of TZYX per axis of ``labels``; by default YX, ZYX, TZYX.
    scale
        World units per pixel along each axis of ``labels``, as napari has it. Only
        ratios count, for stacks that are coarser along z. None: all the same.
    settings
        None: the defaults. Nothing is known here of painted objects: the smallest
        object is 10 px unless they say otherwise.

    Returns
    -------
    Instances
        Ids of all classes, without repetition, and their classes.

    Raises
    ------
    ImageError
        If labels are no integers of 0 or more, probabilities have another shape or
        values beyond 0..1, or axes or scale do not fit.

    References
    ----------
    See `napari_unet.inference.basins.cut_at_necks`.
    """
    job = split_job(
        labels,
        probabilities,
        border=border,
        axes=axes,
        scale=scale,
        settings=settings,
    )
    return finish(job)


def split_job(
    labels: Any,
    probabilities: Any = None,
    *,
    border: Any = None,
    axes: str | None = None,
    scale: Sequence[float] | None = None,
    settings: InstanceConfig | None = None,
    token: CancelToken | None = None,
) -> Generator[JobEvent, None, Instances]:
    """Do what `split_objects` does as a job.

    Yields `Progress` before the first plane or volume, which may take long, and after
    each. When cancelled, planes (volumes, time points) that were not reached stay 0.
    """
    settings = settings or InstanceConfig()
    array = _checked_labels(labels)
    axes = _checked_axes(axes, array.ndim)
    evidence = _checked_evidence(probabilities, border, array.shape)
    sampling = checked_sampling(scale, array.ndim)
    result = np.zeros(array.shape, np.uint32)
    # time first: what is apart leads; these are views
    order = sorted(range(array.ndim), key=lambda axis: axes[axis] != "T")
    array, moved = array.transpose(order), result.transpose(order)
    evidence = None if evidence is None else evidence.transpose(order)
    n_apart = ("T" in axes) + ("Z" in axes and not settings.through_z)
    sizes = [sampling[axis] for axis in order[n_apart:]]
    classes = [0]
    total = math.prod(array.shape[:n_apart])
    yield Progress(0, total, "split")
    for done, index in enumerate(np.ndindex(array.shape[:n_apart]), 1):
        if token is not None and token.cancelled:
            break
        own = None if evidence is None else evidence[index]
        found = objects_of_classes(array[index], own, sizes, settings)
        for value, where, ids in found:
            is_object = ids > 0
            moved[index][where][is_object] = ids[is_object] + (len(classes) - 1)
            classes += [value] * int(ids.max(initial=0))
        yield Progress(done, total, "split")
    dtype = np.uint16 if len(classes) <= 2**16 else np.uint32
    return Instances(result.astype(dtype), np.array(classes, np.int64))


def checked_sampling(scale: Sequence[float] | None, ndim: int) -> list[float]:
    """Return the size of a pixel along each axis, without sign; 1 where unknown.

    Raises
    ------
    ImageError
        Unless there is one finite number, not 0, for each of the ``ndim`` axes.
    """
    if scale is None:
        return [1.0] * ndim
    steps = [abs(float(step)) for step in scale]
    if len(steps) != ndim or not all(math.isfinite(s) and s > 0 for s in steps):
        raise ImageError(
            f"the scale {tuple(scale)} must be {ndim} finite numbers, not 0: one for "
            "each axis of the labels"
        )
    return steps


def objects_of_classes(
    labels: NDArray[Any],
    evidence: NDArray[np.float32] | None,
    sizes: Sequence[float],
    settings: InstanceConfig,
    ends: Ends = (),
) -> Iterator[tuple[int, Index, NDArray[np.int32]]]:
    """Yield each class of a plane or volume: value, its rectangle, ids from 1 there.

    Parameters
    ----------
    labels
        Integers, shape (Y, X) or (Z, Y, X): 2 and up are classes with objects.
    evidence
        Same shape, 0..1: probability of the label and of no border; None: not known.
    sizes
        World units per pixel along each axis.
    settings
        What an object is.
    ends
        For each axis, whether the image goes on before and behind these labels: what
        reaches there may be larger than what is seen of it. By default it does not.
    """
    sampling = [size / min(sizes) for size in sizes]
    for value in np.unique(labels).tolist():
        if value < 2:
            continue
        mask = labels == value
        where = _rectangle(mask)
        mask = mask[where]
        inside = None if evidence is None else evidence[where]
        # specks of the class itself, which are left out, may lie in a hole of it
        fillable = (labels[where] < 2) | mask
        ids = _split(mask, inside, fillable, sampling, settings, ends)
        yield value, where, ids


def _split(
    mask: NDArray[np.bool_],
    evidence: NDArray[np.float32] | None,
    fillable: NDArray[np.bool_],
    sampling: Sequence[float],
    settings: InstanceConfig,
    ends: Ends,
) -> NDArray[np.int32]:
    """Return ids from 1 of the objects of one class, 2D or 3D."""
    strength, min_size_px = settings.split_strength, settings.size_px()
    mask = _without_specks(mask, min_size_px, ends)
    holes = find_holes(mask) if settings.fill_holes else None
    closed = mask
    if holes is not None and holes.n:
        closed = mask | holes.small(mask, sampling)
    ids = cut_at_necks(mask, closed, evidence, sampling, strength, min_size_px)
    if holes is not None and holes.n:
        ids = np.where(fillable, np.maximum(ids, holes.owners(ids)), ids)
    return ids


def _without_specks(
    mask: NDArray[np.bool_], min_size_px: int, ends: Ends
) -> NDArray[np.bool_]:
    """Return the mask without its components of fewer pixels, where they end."""
    pieces = label(mask, connectivity=mask.ndim)  # type: ignore[no-untyped-call]
    is_kept = np.bincount(pieces.ravel()) >= min_size_px
    for axis, (goes_on_before, goes_on_behind) in enumerate(ends):
        for end, goes_on in ((0, goes_on_before), (-1, goes_on_behind)):
            if goes_on:
                is_kept[np.take(pieces, end, axis=axis)] = True
    is_kept[0] = False
    return np.asarray(is_kept[pieces])


def _rectangle(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """Return where a mask is, with a pixel of background around it where there is."""
    slices = []
    for axis in range(mask.ndim):
        others = tuple(a for a in range(mask.ndim) if a != axis)
        found = np.flatnonzero(mask.any(axis=others))
        slices.append(slice(max(int(found[0]) - 1, 0), int(found[-1]) + 2))
    return tuple(slices)


def _checked_labels(labels: Any) -> NDArray[Any]:
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise ImageError(
            f"labels must be integers (1 background, 2 and up the classes), but their "
            f"dtype is {array.dtype}"
        )
    if array.ndim not in _AXES:
        raise ImageError(
            f"labels of shape {array.shape} have {array.ndim} axes; 2 to 4 can be used"
        )
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        raise ImageError(f"labels must be 0 or more, but the smallest is {array.min()}")
    return array


def _checked_axes(axes: str | None, ndim: int) -> str:
    axes = (axes or _AXES[ndim]).upper()
    is_known = set(axes) <= set("TZYX") and len(set(axes)) == len(axes)
    if not is_known or len(axes) != ndim or not axes.endswith("YX"):
        raise ImageError(
            f"the axes '{axes}' do not name the {ndim} axes of the labels: one letter "
            "of TZYX each, Y and X last"
        )
    return axes


def _checked_evidence(
    probabilities: Any, border: Any, shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """Return the probability that a pixel is of its class, and no border; or None."""
    own = None
    if probabilities is not None:
        array = np.asarray(probabilities)
        if array.shape != shape and array.shape[1:] != shape:
            raise ImageError(
                f"probabilities of shape {array.shape} do not fit labels of shape "
                f"{shape}: they need the same shape, or that of all classes before it"
            )
        # a pixel's own class is the likeliest
        own = array if array.shape == shape else array.max(axis=0)
        own = _checked_probability(own, "probabilities")
    if border is None:
        return own
    rim = np.asarray(border)
    if rim.shape != shape:
        raise ImageError(
            f"the border's probabilities of shape {rim.shape} do not fit labels of "
            f"shape {shape}: they need the same shape"
        )
    rim = _checked_probability(rim, "the border's probabilities")
    return np.asarray(np.maximum((1 if own is None else own) - rim, 0), np.float32)


def _checked_probability(array: NDArray[Any], name: str) -> NDArray[np.float32]:
    # rounding may leave a little more than 1; NaN fails both
    if array.size and not (array.min() >= 0 and array.max() <= 1.001):
        raise ImageError(
            f"{name} must be numbers of 0..1, but they go from {array.min()} to "
            f"{array.max()}"
        )
    return np.asarray(array, np.float32)
