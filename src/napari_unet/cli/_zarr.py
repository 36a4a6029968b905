"""Zarr in: plain arrays, and OME-Zarr 0.4 and 0.5 with axes, pixel size and levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unet.cli._lazy import LazyArray
from napari_unet.errors import FileError
from napari_unet.export import unit_name

__all__ = ["has_levels", "is_zarr", "read_zarr"]

_MARKS = ("zarr.json", ".zarray", ".zgroup")


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group, of format 2 or 3."""
    return any((path / mark).is_file() for mark in _MARKS)


def has_levels(path: Path) -> bool:
    """Whether it is a zarr group, of which OME-Zarr images are made."""
    import zarr

    return is_zarr(path) and isinstance(zarr.open(path, mode="r"), zarr.Group)


def read_zarr(
    path: Path, level: int
) -> tuple[LazyArray, str | None, dict[str, float], str | None]:
    """Return an array that stays on disk, as (array, axes, steps, unit).

    ``axes`` is None where the array's dimensions have no names that we know; ``steps``
    maps axis letters to world units per pixel at that level.

    Raises
    ------
    FileError
        If it holds no image, several, or not so many levels.
    """
    import zarr

    node = zarr.open(path, mode="r")
    if isinstance(node, zarr.Array):
        if level:
            raise FileError(f"{path} is one array, without levels: leave out --level")
        names = getattr(node.metadata, "dimension_names", None)
        return LazyArray(path, node), _letters(names or ()), {}, None
    attributes = node.attrs.asdict()
    ome = attributes.get("ome", attributes)
    multiscales = ome.get("multiscales") if isinstance(ome, dict) else None
    if not multiscales:
        raise FileError(f"{path} holds no image; {_advice(node, attributes)}")
    image = multiscales[0]
    datasets = image["datasets"]
    if level >= len(datasets):
        raise FileError(
            f"{path} has no level {level}; it has {len(datasets)}, the finest is 0"
        )
    dataset = datasets[level]
    array = node[dataset["path"]]
    if not isinstance(array, zarr.Array):
        raise FileError(f"{path} holds no array at {dataset['path']}; it is damaged")
    axes = _letters(axis["name"] for axis in image.get("axes", ()))
    if axes is None or len(axes) != array.ndim:
        return LazyArray(path, array), None, {}, None
    steps = _steps(axes, image, dataset)
    units = {
        axis.get("unit")
        for axis in image["axes"]
        if axis["name"].upper() in "ZYX" and axis["name"].upper() in steps
    }
    unit = unit_name(units.pop()) if len(units) == 1 else None
    coarser = _coarser(path, node, datasets[level + 1 :], array.ndim)
    return LazyArray(path, array, coarser=coarser), axes, steps, unit


def _coarser(
    path: Path, node: Any, datasets: Sequence[Mapping[str, Any]], ndim: int
) -> list[LazyArray]:
    """Return the levels below the one that is read, as far as they can be opened."""
    import zarr

    found = []
    for dataset in datasets:
        try:
            level = node[dataset["path"]]
            if isinstance(level, zarr.Array) and level.ndim == ndim:
                found.append(LazyArray(path, level))
        except Exception:  # missing or damaged, and not needed
            continue
    return found


def _letters(names: Any) -> str | None:
    """Return axes under our letters; None unless all are known."""
    axes = "".join(str(name).upper() for name in names)
    is_known = axes and set(axes) <= set("TCZYX") and len(set(axes)) == len(axes)
    return axes if is_known else None


def _steps(
    axes: str, image: Mapping[str, Any], dataset: Mapping[str, Any]
) -> dict[str, float]:
    """Return world units per pixel: the level's scale times that of all levels."""
    scales = [
        change["scale"]
        for part in (dataset, image)
        for change in part.get("coordinateTransformations", ())
        if change.get("type") == "scale" and len(change["scale"]) == len(axes)
    ]
    if not scales:
        return {}
    total = [math.prod(map(float, factors)) for factors in zip(*scales, strict=True)]
    return {
        axis: step
        for axis, step in zip(axes, total, strict=True)
        if axis != "C" and math.isfinite(step) and step > 0
    }


def _advice(node: Any, attributes: Mapping[str, Any]) -> str:
    """Say what a group without an image has instead."""
    if "bioformats2raw.layout" in attributes or "plate" in str(attributes)[:2000]:
        return f"it is a collection: name an image in it, such as {node.store_path}/0"
    names = sorted(name for name, _ in node.members())[:5]
    if not names:
        return "it is empty"
    return f"name an array or image in it: {', '.join(names)}"
