"""What a label layer says about its values, for the files that they are saved to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari.utils.colormaps import DirectLabelColormap

from napari_unet.widgets._annotated import AnnotatedImage
from napari_unet.widgets._layers import MODE, ROLE

__all__ = ["LabelFacts", "label_facts", "what_is_missing"]

_CLASS_NAMES = f"{ROLE} classes"  # in the metadata of samples
_BACKGROUND = 1
_NAME_COLUMNS = ("class", "name")
_IN_SIGHT = {
    "prediction": "Only what you looked at was predicted.",
    "objects": "Only the objects in what you looked at were found.",
}


@dataclass(frozen=True)
class LabelFacts:
    """See `napari_unet.export.export_job`, which takes them under these names."""

    axes: str | None
    scale: tuple[float, ...]
    unit: str | None
    are_objects: bool
    background: int | None
    class_names: Mapping[int, str] = field(default_factory=dict)
    class_colours: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)


def what_is_missing(entry: AnnotatedImage | None, layer: Any) -> str:
    """Say that a layer of an image covers only what was in sight; ``""`` if all of it.

    All objects are found when the whole image is predicted while they are shown.
    """
    if entry is None or layer is None:
        return ""
    if layer is entry.prediction and not entry.is_complete:
        missing = _IN_SIGHT["prediction"]
    elif layer is entry.objects and not entry.has_all_objects:
        missing = _IN_SIGHT["objects"]
    else:
        return ""
    return f"{missing} Predict whole image adds the rest."


def label_facts(
    get: Callable[[str], Any], class_names: Mapping[int, str] | None = None
) -> LabelFacts:
    """Return what a layer says.

    Values that have a colour each are classes, and those that get napari's colours in
    turns are objects, in our layers and in those of others.

    Parameters
    ----------
    get
        Returns an attribute of the layer by its name.
    class_names
        Names that are known otherwise; None: those that the layer has.
    """
    metadata, colormap = get("metadata") or {}, get("colormap")
    has_classes = isinstance(colormap, DirectLabelColormap)
    role = metadata.get(ROLE, "")
    if role == "annotation":
        has_classes = metadata.get(MODE, "strokes") == "strokes"
    names = class_names
    if names is None:
        names = metadata.get(_CLASS_NAMES) or _named_in(get("features"))
    is_ours = role == "annotation" or (role == "prediction" and has_classes)
    is_named = names.get(_BACKGROUND) == "background"
    is_background = is_ours or (has_classes and is_named)  # an object may be number 1
    unit = str(get("units")[-1])
    return LabelFacts(
        axes=_axes(get("axis_labels")),
        scale=tuple(float(step) for step in get("scale")),
        unit=None if unit == "pixel" else unit,
        are_objects=not has_classes,
        background=_BACKGROUND if is_background else None,
        class_names=names,
        class_colours=_colours(colormap) if has_classes else {},
    )


def _axes(axis_labels: Any) -> str | None:
    """Return the axes that a layer names; None where it does not."""
    letters = "".join(str(name)[:1].upper() for name in axis_labels)
    is_known = letters == "".join(a for a in "TZYX" if a in letters)
    return letters if is_known and letters.endswith("YX") else None


def _named_in(features: Any) -> dict[int, str]:
    """Return the names that a layer's features give to its values."""
    columns = [str(name) for name in getattr(features, "columns", ())]
    found = next((name for name in _NAME_COLUMNS if name in columns), None)
    if found is None or "index" not in columns:
        return {}
    pairs = zip(list(features["index"]), list(features[found]), strict=True)
    return {int(value): str(name) for value, name in pairs if isinstance(name, str)}


def _colours(colormap: Any) -> dict[int, tuple[int, int, int]]:
    """Return the RGB of each value that can be seen."""
    found = {}
    for value, rgba in getattr(colormap, "color_dict", {}).items():
        if value and rgba[3] > 0:
            red, green, blue = (round(float(part) * 255) for part in rgba[:3])
            found[int(value)] = (red, green, blue)
    return found
