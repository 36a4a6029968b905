"""What ``measure`` reads of its files: labels, image, classes, and their pixel size."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.cli._console import complain
from napari_unet.cli._label_file import open_labels
from napari_unet.cli._label_names import read_label_names
from napari_unet.cli._lazy import LazyArray
from napari_unet.cli._read import ReadImage, read_image

__all__ = ["read_set"]

_MOST_CLASSES = 20


def read_set(
    args: argparse.Namespace, labels: Path, image: Path | None, classes: Path | None
) -> dict[str, Any]:
    """Read the files that belong together.

    Returns
    -------
    dict
        Arguments of `napari_unet.export.measure_job`. What is large stays on disk.
    """
    found = open_labels(labels, level=args.level)
    values = found.array
    seen = None if image is None else read_image(image, args.axes, args.level)
    axes = _axes(args.axes, found, seen)
    scale, unit = _pixel_size(args, axes, found, seen)
    options: dict[str, Any] = {
        "labels": values,
        "axes": axes,
        "scale": scale,
        "unit": unit,
    }
    if seen is not None:
        options["image"] = seen.array
        options["image_axes"] = seen.axes_for(tuple(values.shape))
    if classes is not None:
        options["classes"] = open_labels(classes, level=args.level).array
    names = read_label_names(labels if classes is None else classes)
    options["class_names"] = names | dict(args.class_names or ())
    if args.split:
        options |= _split(np.asarray(values), axes, scale)
    elif args.per == "object" and classes is None:
        _doubt(labels, values)
    return options


def _axes(given: str | None, labels: ReadImage, image: ReadImage | None) -> str | None:
    """Return the axes of the labels: as told, else by their file, else the image's."""
    if given is not None:
        return given.upper().replace("C", "")
    if labels.axes is not None and labels.axes.replace("Z", "").strip("T") == "YX":
        return labels.axes
    spatial = "" if image is None else (image.axes or "").replace("C", "")
    return spatial if len(spatial) == labels.array.ndim else None


def _pixel_size(
    args: argparse.Namespace,
    axes: str | None,
    labels: ReadImage,
    image: ReadImage | None,
) -> tuple[tuple[float, ...] | None, str | None]:
    """Return scale and unit: as told, else of the labels, else of the image."""
    letters = axes or {2: "YX", 3: "ZYX", 4: "TZYX"}.get(labels.array.ndim, "")
    if args.scale is not None:
        file_unit = labels.unit or (image.unit if image is not None else None)
        return tuple(args.scale), args.unit or file_unit
    for file in (labels, image):
        scale = None if file is None else file.scale(letters)
        if file is not None and scale is not None:
            if "Z" in letters and "Z" not in file.steps and not args.by_plane:
                complain(
                    f"{file.path} does not say how far planes are apart, and 1 is "
                    "taken: give --scale Z Y X, or --by-plane"
                )
            return scale, args.unit or file.unit
    return None, args.unit


def _split(
    classes: np.ndarray[Any, Any], axes: str | None, scale: Any
) -> dict[str, Any]:
    """Return objects in the place of classes, and the class of each."""
    from napari_unet.inference.instances import split_objects

    if scale is not None:  # one number for all axes, or none for time
        n = classes.ndim
        scale = (
            (*scale * n,) if len(scale) == 1 else (*[1.0] * (n - len(scale)), *scale)
        )
    found = split_objects(classes, axes=axes, scale=scale)
    return {"labels": found.labels, "classes": found.classes}


def _doubt(path: Path, values: Any) -> None:
    """Ask where the labels of objects look like classes: few values, many pieces."""
    if isinstance(values, LazyArray) or values.ndim != 2 or values.size > 2**24:
        return
    from skimage.measure import label

    n_values = len(np.unique(values[values > 0]))
    if not 0 < n_values <= _MOST_CLASSES:
        return
    pieces = label(values, connectivity=2)  # type: ignore[no-untyped-call]
    n_pieces = int(pieces.max())
    if n_pieces > max(10, 4 * n_values):
        complain(
            f"{path}: the labels look like classes ({n_values} values in {n_pieces} "
            "pieces), and each was measured as one object; add --split to measure the "
            "pieces, or --per class"
        )
