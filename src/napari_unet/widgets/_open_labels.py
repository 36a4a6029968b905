"""Stores of ours opened by napari as label layers that can be painted on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap

from napari_unet.core.memory import available_memory_bytes
from napari_unet.errors import FileError
from napari_unet.export import objects_path
from napari_unet.export.zarr_record import read_record
from napari_unet.widgets._layers import object_colormap

__all__ = ["read_labels"]

LayerData = tuple[Any, dict[str, Any], str]

_MAX_SHARE = 0.25  # of the free memory, for labels that can be painted on


def read_labels(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return what opens a path: our stores, and plain arrays as napari opens them.

    Labels that fit into a quarter of the free memory are read at full resolution into
    it, so that they can be painted on; the store stays as it is. Larger ones are shown
    from the disk, level by level, and napari does not paint on those.

    Parameters
    ----------
    path
        Of a folder, ``.zarr``.
    """
    first = Path(path[0] if isinstance(path, list) else path)
    if read_record(first) is not None:
        return _open_ours
    if _is_group(first):
        return _refuse
    from napari_builtins.io import napari_get_reader

    reader: Callable[[Any], list[LayerData]] | None = napari_get_reader(path)
    return reader


def _open_ours(path: str | list[str]) -> list[LayerData]:
    paths = [Path(each) for each in (path if isinstance(path, list) else [path])]
    layers = []
    for each in paths:
        layers.append(_layer(each, each.stem))
        if read_record(objects_path(each)) is not None:
            layers.append(_layer(objects_path(each), f"{each.stem} objects"))
    return layers


def _layer(path: Path, name: str) -> LayerData:
    import zarr

    try:
        group = zarr.open_group(path, mode="r")
        ome: Any = group.attrs.asdict()["ome"]
        (image, *_) = ome["multiscales"]
        levels = [group[dataset["path"]] for dataset in image["datasets"]]
        facts = _facts(image, ome.get("image-label", {}))
    except (OSError, LookupError, TypeError, ValueError) as error:
        raise FileError(f"{path} cannot be read; it is damaged ({error})") from error
    finest: Any = levels[0]
    if finest.dtype.kind not in "ui":
        raise FileError(
            f"{path} holds probabilities, not labels; install napari-ome-zarr to see it"
        )
    free = available_memory_bytes()
    n_bytes = finest.size * finest.dtype.itemsize
    is_small = free is None or n_bytes <= free * _MAX_SHARE
    data: Any = np.asarray(finest[...]) if is_small or len(levels) == 1 else levels
    if data is levels:
        facts["multiscale"] = True
    return data, {"name": name, **facts}, "labels"


def _facts(image: dict[str, Any], label: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for napari's layer."""
    axes = image["axes"]
    scale = image["datasets"][0]["coordinateTransformations"][0]["scale"]
    colours: dict[int | None, Any] = {
        each["label-value"]: np.array(each["rgba"], float) / 255
        for each in label.get("colors", ())
    }
    names = {
        each["label-value"]: str(each["class"]) for each in label.get("properties", ())
    }
    facts: dict[str, Any] = {
        "scale": [float(step) for step in scale],
        "axis_labels": [axis["name"] for axis in axes],
        "units": [axis.get("unit", "pixel") for axis in axes],
        "colormap": object_colormap(),
    }
    if colours:
        # what is painted with a value that is new must be seen too
        base: dict[int | None, Any] = {None: "#FFFFFF", 0: "transparent"}
        facts["colormap"] = DirectLabelColormap(color_dict=base | colours)
    if names:
        facts["features"] = {"index": list(names), "class": list(names.values())}
    return facts


def _is_group(path: Path) -> bool:
    """Whether a folder is an OME-Zarr image, which napari's own reader fails on."""
    if (path / ".zgroup").is_file():
        return True
    try:
        node = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(node, dict) and node.get("node_type") == "group"


def _refuse(path: Any) -> list[LayerData]:
    raise FileError(
        f"{path} was not written by this program; to open any OME-Zarr image, install "
        "napari-ome-zarr"
    )
