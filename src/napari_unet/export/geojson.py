"""GeoJSON as QuPath reads it: outlines in pixels, classes, colours, planes.

QuPath has (0, 0) at the corner of the first pixel, as our outlines do. What it reads of
a feature: https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_unet.core.atomic import replace_file
from napari_unet.export.label_image import LabelImage
from napari_unet.export.outlines import Shape, outlined_planes
from napari_unet.export.trace import Polygon
from napari_unet.jobs import JobEvent, Progress

__all__ = ["write_geojson"]

_NAMESPACE = uuid.UUID("0c3f1d1e-5d0b-4b52-9e0f-7a5c3c5d9b11")


def write_geojson(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write a feature for each piece of a class, or for each object, in each plane.

    Pieces of classes are annotations, which QuPath's users edit; objects are
    detections, of which QuPath shows hundreds of thousands.

    Raises
    ------
    FileError
        If the file cannot be written.
    ImageError
        See `outlined_planes`.
    """
    n_planes = len(image.labels.planes)
    n_features = 0
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for done, plane in enumerate(outlined_planes(image, "pieces"), start=1):
            place = image.plane_name(plane.index)
            for shape in plane.shapes:
                feature = _feature(image, shape, place, n_features)
                text = json.dumps(feature, ensure_ascii=False, separators=(",", ":"))
                file.write(",\n" if n_features else "\n")
                file.write(text)
                n_features += 1
            yield Progress(done, n_planes, "planes")
        file.write("\n]}\n")


def _feature(
    image: LabelImage, shape: Shape, place: dict[str, int], number: int
) -> dict[str, Any]:
    parts = [_rings(polygon) for polygon in shape.outline.polygons]
    geometry: dict[str, Any] = (
        {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts}
    )
    if place:
        # c: -1 is every channel
        geometry["plane"] = {"c": -1, "z": place.get("z", 0), "t": place.get("t", 0)}
    properties: dict[str, Any] = {
        "objectType": "detection" if image.are_objects else "annotation",
        "name": shape.name,
        "classification": {
            "name": image.name_of(shape.class_value),
            "color": list(image.colour_of(shape.class_value)),
        },
    }
    if image.are_objects:
        properties["measurements"] = {"Label": shape.outline.value}
    return {
        "type": "Feature",
        # QuPath wants these; the same labels give the same file
        "id": str(uuid.uuid5(_NAMESPACE, f"{image.name}/{number}")),
        "geometry": geometry,
        "properties": properties,
    }


def _rings(polygon: Polygon) -> list[list[list[int]]]:
    """Return rings that are closed: the first corner once more at the end."""
    return [[*ring.tolist(), ring[0].tolist()] for ring in polygon]
