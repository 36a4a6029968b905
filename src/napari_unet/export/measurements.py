"""Measurements of objects and of classes, in physical units, as tables and files."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_unet.errors import ConfigError, ImageError
from napari_unet.export.class_measurements import class_rows
from napari_unet.export.frames import Frames
from napari_unet.export.object_measurements import Objects, object_rows
from napari_unet.export.quantities import QUANTITIES, Quantity, chosen_quantities
from napari_unet.export.table import Column, Table
from napari_unet.export.table_files import check_table_suffix, write_table
from napari_unet.export.table_units import FrameScale, frame_scale
from napari_unet.jobs import CancelToken, JobEvent, finish

__all__ = [
    "Per",
    "measure_job",
    "measure_labels",
    "quantity_names",
    "write_measurements",
]

Per = Literal["object", "class"]
_KEYS = {
    "image": "Name of the image.",
    "time_point": "Time point, from 0.",
    "plane": "Plane along z, from 0.",
    "label": "Number of the object in the label image.",
    "class_label": "Number of the class.",
    "class": "Name of the class.",
}
_FRACTION = Quantity(
    "fraction",
    "Share of the image that the class covers.",
    lambda region: [region.n_pixels / float(np.prod(region.frame_shape))],
)
_OF_CLASSES = ("n_pixels", "area", "volume", "fraction")


def quantity_names() -> dict[str, str]:
    """Return what `measure_labels` can be asked for: name -> meaning."""
    return {q.name: q.meaning for q in (*QUANTITIES, _FRACTION)}


def measure_labels(labels: Any, image: Any = None, **options: Any) -> Table:
    """Measure objects or classes; takes the same arguments as `measure_job`.

    Returns
    -------
    Table
        One row per object (or class), and time point.
    """
    table = finish(measure_job(CancelToken(), labels, image, **options))
    assert table is not None, "nobody can cancel it"
    return table


def measure_job(
    token: CancelToken,
    labels: Any,
    image: Any = None,
    *,
    per: Per = "object",
    axes: str | None = None,
    image_axes: str | None = None,
    scale: Sequence[float] | None = None,
    unit: str | None = None,
    classes: Any = None,
    class_names: Mapping[int, str] | None = None,
    channel_names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    background: Collection[int] = (),
    by_plane: bool = False,
    image_name: str = "",
) -> Generator[JobEvent, None, Table | None]:
    """Measure each object of a label image, or each class.

    Lazy arrays are read in parts: what is held at once is a block of 2^24 pixels, or
    the box of the largest object.

    Parameters
    ----------
    token
        Asked between blocks and between objects.
    labels
        Integers of 0 or more, (Y, X), (Z, Y, X), (T, Y, X) or (T, Z, Y, X); 0 is
        nothing. One number per object, or with ``per="class"`` per class. NumPy, dask
        or zarr. An object that has the same number at several time points is measured
        at each.
    image
        What intensities are measured of: the axes of ``labels``, and channels.
    per
        Whether a row is an object or a class.
    axes
        One letter of TZYX per axis of ``labels``; by default those of ``image``, else
        YX, ZYX, TZYX.
    image_axes
        One letter of TCZYX per axis of ``image``; None: found from the shapes.
    scale
        World units per pixel, as napari has it: one number for all axes, or one for
        each of ZYX, or one for each axis of ``labels``. None: all in pixels.
    unit
        Unit of ``scale``, such as ``"micrometer"`` or ``"um"``.
    classes
        Class of each object: an array of shape (highest number + 1,), as
        `napari_unet.inference.instances.Instances` has it, or a label image of the
        classes, in which most of an object's pixels decide (0, unknown, does not
        count).
    class_names
        Names of classes.
    channel_names
        Names of the image's channels, for the headings; by default c0, c1, ..., and
        red, green, blue where channels come last and are three.
    columns
        Names of `quantity_names`. None: all that are quick to measure; ``["all"]``:
        all.
    background
        Further labels than 0 that are no objects, such as 1 in annotations of objects.
    by_plane
        Whether the planes of a z stack are measured one by one, instead of volumes.
    image_name
        Fills the column ``image``, which is left out without.

    Returns
    -------
    Table or None
        None where it was cancelled.

    Raises
    ------
    ImageError
        If labels are no whole numbers of 0 or more, or shapes, axes or scale do not
        fit.
    ConfigError
        If a column is unknown, or is not defined for these objects.
    FileError
        If a lazy array cannot be read.
    """
    frames = Frames(labels, image, axes=axes, image_axes=image_axes, by_plane=by_plane)
    steps = frame_scale(frames.axes, frames.frame_axes, scale, unit)
    quantities = _chosen(columns, per, frames)
    channels = _channels(channel_names, frames)
    if per == "class":
        rows = yield from class_rows(
            token, frames, steps.steps, [q.name for q in quantities], background
        )
    else:
        objects = Objects(frames, steps.steps, _classes(classes, frames), background)
        rows = yield from object_rows(token, objects, quantities)
    if rows is None:
        return None
    keys = _key_columns(
        rows.keys, frames.leading_axes, class_names or {}, image_name, per
    )
    if per == "object" and classes is None:
        keys = [key for key in keys if not key.name.startswith("class")]
    return Table([*keys, *_value_columns(rows.values, quantities, steps, channels)])


def write_measurements(
    path: str | os.PathLike[str], labels: Any, image: Any = None, **options: Any
) -> Path:
    """Measure, and write the table to ``.csv`` or ``.parquet``.

    Takes the same arguments as `measure_job`, and `write_table` says what the formats
    keep.

    Raises
    ------
    FileError
        If the table cannot be written there.
    ImageError, ConfigError
        See `measure_job`.
    """
    check_table_suffix(path)
    return write_table(path, measure_labels(labels, image, **options))


def _chosen(columns: Sequence[str] | None, per: Per, frames: Frames) -> list[Quantity]:
    n_axes, has_image = len(frames.frame_axes), frames.n_channels > 0
    if per == "object":
        if columns is not None and _FRACTION.name in columns:
            raise ConfigError(
                f"'{_FRACTION.name}' is measured of classes; leave it out for objects"
            )
        return chosen_quantities(columns, n_axes, has_image=has_image)
    everything = chosen_quantities(["all"], n_axes, has_image=has_image)
    ours = [q for q in everything if q.name in _OF_CLASSES or q.needs_image]
    size = next(i for i, q in enumerate(ours) if q.unit == "size")
    ours.insert(size + 1, _FRACTION)
    if columns is None or list(columns) == ["all"]:
        return ours
    names = [q.name for q in ours]
    for name in columns:
        if name not in names:
            raise ConfigError(
                f"'{name}' is not measured of classes here; choose of "
                f"{', '.join(names)}"
                + ("" if has_image else ", or give an image to measure intensities of")
            )
    return [q for q in ours if q.name in columns]


def _channels(names: Sequence[str] | None, frames: Frames) -> list[str]:
    """Return what headings of intensities end with, one per channel."""
    n = frames.n_channels
    if names is not None and len(names) != n:
        raise ConfigError(
            f"there are {len(names)} channel names ({', '.join(names)}) for an image "
            f"with {n} channel{'' if n == 1 else 's'}"
        )
    if names is None and n == 1:
        return [""]
    colours = ["red", "green", "blue"]
    plain = colours if frames.is_rgb else [f"c{i}" for i in range(n)]
    given = plain if names is None else list(names)
    if len(set(given)) < len(given):
        raise ConfigError(f"two channels have one name: {', '.join(given)}")
    return [f"_{name}" for name in given]


def _classes(classes: Any, frames: Frames) -> Any:
    """Return classes by object, or as frames of a label image."""
    if classes is None:
        return None
    if not hasattr(classes, "shape"):
        classes = np.asarray(classes)
    if len(classes.shape) == 1:
        return np.asarray(classes)
    of_classes = Frames(classes, axes=frames.axes, by_plane=frames.by_plane)
    if of_classes.whole_shape != frames.whole_shape:
        raise ImageError(
            f"the classes have the shape {of_classes.whole_shape} and the labels "
            f"{frames.whole_shape}: they must be equal"
        )
    return of_classes


def _key_columns(
    keys: NDArray[np.int64],
    leading: str,
    names: Mapping[int, str],
    image_name: str,
    per: Per,
) -> list[Column]:
    """Return the columns that say what a row is of; ``keys``: index, label, class."""
    columns = [np.full(len(keys), image_name)] if image_name else []
    headings = ["image"] if image_name else []
    for place, axis in enumerate(leading):
        headings.append({"T": "time_point", "Z": "plane"}[axis])
        columns.append(keys[:, place])
    if per == "object":
        headings.append("label")
        columns.append(keys[:, -2])
    headings += ["class_label", "class"]
    columns.append(keys[:, -1])
    columns.append(np.array([names.get(int(c), "") for c in keys[:, -1]], str))
    found = zip(headings, columns, strict=True)
    return [Column(name, values, "", _KEYS[name]) for name, values in found]


def _value_columns(
    values: NDArray[np.float64],
    quantities: Sequence[Quantity],
    steps: FrameScale,
    channels: Sequence[str],
) -> list[Column]:
    """Return the measured columns; ``values`` has one column for each."""
    columns: list[Column] = []
    for quantity in quantities:
        unit = steps.unit_of(quantity.unit)
        headings = quantity.headings(len(steps.steps))
        if quantity.needs_image:
            headings = [f"{h}{channel}" for h in headings for channel in channels]
        for heading in headings:
            name = f"{heading}_{unit}" if unit else heading
            numbers = values[:, len(columns)] if len(values) else np.empty(0)
            kind = np.int64 if quantity.is_whole else np.float64
            columns.append(Column(name, numbers.astype(kind), unit, quantity.meaning))
    return columns
