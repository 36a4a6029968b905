"""napari's *File > Save* for label layers, in the formats of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import napari
import numpy as np

from napari_unet.errors import FileError, ImageError
from napari_unet.export import export_job
from napari_unet.jobs import finish
from napari_unet.widgets._label_facts import label_facts
from napari_unet.widgets._layers import ROLE
from napari_unet.widgets._state import known_state

__all__ = ["save_labels"]


def save_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a label layer; called by napari, with what the layer says in ``meta``.

    The suffix chooses the format. Of ``.tif`` napari's own writer stays the default, as
    it holds whatever a layer may have; this one is taken where a person chooses it.

    Parameters
    ----------
    path
        File to write.
    data
        The labels, or all levels of them, finest first.
    meta
        Attributes of the layer.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    FileError
        See `export_job`; also where it raises an `ImageError`.
    """
    if meta.get("multiscale"):
        data = data[0]
    facts = label_facts(_getter(meta, np.ndim(data)), _names_of_ours(meta))
    name = str(meta.get("name") or Path(path).stem)
    try:
        finish(export_job(path, data, name=name, **asdict(facts)))
    except ImageError as error:
        # of a ValueError napari says that there is no plugin for that file
        raise FileError(str(error)) from error
    return [path]


def _getter(meta: Mapping[str, Any], ndim: int) -> Any:
    """Return what looks a layer's attribute up; a script may give only some."""
    missing = {
        "scale": (1.0,) * ndim,
        "units": ("pixel",) * ndim,
        "axis_labels": (),
    }

    def get(name: str) -> Any:
        found = meta.get(name)
        return missing.get(name) if found is None else found

    return get


def _names_of_ours(meta: Mapping[str, Any]) -> dict[int, str] | None:
    """Return the names of classes in the viewer, if the layer is one of ours."""
    viewer = napari.current_viewer()
    if viewer is None or ROLE not in (meta.get("metadata") or {}):
        return None
    state = known_state(viewer)
    return None if state is None else state.classes.names
