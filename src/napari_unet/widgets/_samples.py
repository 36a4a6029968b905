"""Sample data for File > Open Sample and for the dock's empty state."""

from __future__ import annotations

from typing import Any

from napari.layers import Layer
from napari.types import LayerDataTuple

from napari_unet.widgets._classes import ClassList
from napari_unet.widgets._layers import ROLE

__all__ = ["SAMPLE_TITLES", "add_sample", "nuclei", "tissue"]

SAMPLE_TITLES = {"nuclei": "Nuclei", "tissue": "Tissue (RGB)"}


def _layers(name: str) -> list[LayerDataTuple]:
    from napari_unet.sample import load_sample

    sample = load_sample(name)
    classes = ClassList()
    classes.rename_all(sample.class_names)
    meta: dict[str, Any] = {
        "name": f"{sample.name} annotation",
        "colormap": classes.colormap(),
        "opacity": 0.9,
        "metadata": {ROLE: "annotation", f"{ROLE} classes": sample.class_names},
    }
    image_meta = {
        "name": sample.name,
        "rgb": sample.image.ndim == 3,
        "metadata": {"source": sample.source, "licence": sample.licence},
    }
    return [(sample.image, image_meta, "image"), (sample.strokes, meta, "labels")]


def nuclei() -> list[LayerDataTuple]:
    """Return fluorescent nuclei, some of them touching, with a few strokes."""
    return _layers("nuclei")


def tissue() -> list[LayerDataTuple]:
    """Return stained tissue in RGB with a few strokes."""
    return _layers("tissue")


def add_sample(viewer: Any, name: str) -> None:
    """Add a sample's layers to a viewer."""
    for data in _layers(name):
        viewer.add_layer(Layer.create(*data))
