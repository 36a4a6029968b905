"""COCO's object detection format: https://cocodataset.org/#format-data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.atomic import replace_file
from napari_unet.export.label_image import LabelImage
from napari_unet.export.outlines import OutlinedPlane, Shape, outlined_planes
from napari_unet.jobs import JobEvent, Progress

__all__ = ["run_lengths", "write_coco"]


def write_coco(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write an annotation for each object, or for each class, in each plane.

    An object is a polygon, or, where it has holes, which COCO's polygons cannot have, a
    run-length code; ``iscrowd`` is 0. A class is one run-length code of all its pixels
    and ``iscrowd`` is 1: COCO's word for an area in which objects are not told apart.
    Planes are images of their own; category ids are class values.

    Raises
    ------
    FileError
        If the file cannot be written.
    ImageError
        See `outlined_planes`.
    """
    ids = _category_ids(image)
    images: list[dict[str, Any]] = []
    n_planes, number = len(image.labels.planes), 0
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"annotations": [')
        for done, plane in enumerate(outlined_planes(image, "values"), start=1):
            images.append(_image(image, plane, done))
            for shape in plane.shapes:
                number += 1
                found = {"id": number, "image_id": done}
                found |= {"category_id": ids[shape.class_value]}
                found |= _annotation(image, plane, shape)
                file.write(",\n" if number > 1 else "\n")
                file.write(json.dumps(found, separators=(",", ":")))
            yield Progress(done, n_planes, "planes")
        categories = [{"id": n, "name": image.name_of(v)} for v, n in ids.items()]
        rest = {"images": images, "categories": categories}
        file.write("\n],\n" + json.dumps(rest, ensure_ascii=False)[1:] + "\n")


def run_lengths(mask: NDArray[np.bool_], x0: int, y0: int, height: int) -> list[int]:
    """Return COCO's run lengths of a mask (h, w) that lies at x0, y0 of an image.

    They count pixels down each column, first outside and then inside, in turns; what
    follows the last pixel inside is left to the caller.
    """
    rows = np.zeros((mask.shape[1], mask.shape[0] + 2), np.int8)
    rows[:, 1:-1] = mask.T
    change = np.diff(rows, axis=1)
    (x, start), (_, end) = np.nonzero(change == 1), np.nonzero(change == -1)
    offset = (x0 + x) * height + y0
    edges = np.stack([start + offset, end + offset], axis=1).ravel()
    # a run that reaches the bottom goes on at the top of the next column
    goes_on = np.nonzero(edges[1:-1:2] == edges[2::2])[0]
    edges = np.delete(edges, np.concatenate([2 * goes_on + 1, 2 * goes_on + 2]))
    lengths: list[int] = np.diff(edges, prepend=0).tolist()
    return lengths


def _image(image: LabelImage, plane: OutlinedPlane, number: int) -> dict[str, Any]:
    height, width = plane.labels.shape
    return {
        "id": number,
        "file_name": image.name,
        "width": width,
        "height": height,
        **image.plane_name(plane.index),
    }


def _annotation(
    image: LabelImage, plane: OutlinedPlane, shape: Shape
) -> dict[str, Any]:
    outline = shape.outline
    height, width = plane.labels.shape
    x0, y0, x1, y1 = outline.box
    segmentation: Any
    if image.are_objects and not outline.has_holes:
        segmentation = [rings[0].ravel().tolist() for rings in outline.polygons]
    else:
        mask = plane.labels[y0:y1, x0:x1] == outline.value
        counts = run_lengths(mask, x0, y0, height)
        rest = height * width - sum(counts)
        segmentation = {
            "size": [height, width],
            "counts": [*counts, rest] if rest else counts,
        }
    found = {
        "iscrowd": int(not image.are_objects),
        "area": outline.area_px,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": segmentation,
    }
    if image.are_objects:
        found["label"] = outline.value
    return found


def _category_ids(image: LabelImage) -> dict[int, int]:
    """Return the category of each class that is named or used: its own value.

    Objects of no known class, 0, get the first number that is free.
    """
    if image.are_objects:
        used = set(image.object_classes.values())
        named = {v for v, name in image.class_names.items() if name != "background"}
        ids = {value: value for value in sorted(used | named)}
        free = next(n for n in range(1, len(ids) + 2) if n not in ids)
        return {0: free} | ids
    values = {*image.labels.values, *image.class_names}
    return {value: value for value in sorted(values - {image.background})}
