"""ImageJ's ROI Manager: a zip file with a region for each outline."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unet.core.atomic import replace_file
from napari_unet.export.label_image import LabelImage
from napari_unet.export.outlines import Shape, outlined_planes
from napari_unet.export.trace import Outline
from napari_unet.jobs import JobEvent, Progress

__all__ = ["write_imagej_rois"]

_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0  # segments of a path


def write_imagej_rois(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write a ROI for each piece of a class, or for each object, in each plane.

    A ROI of one ring is a polygon; with holes, or in several parts, it is a composite.
    In a stack of one further axis ROIs have ImageJ's position, which counts its planes;
    with z and t, they have both.

    Raises
    ------
    FileError
        If the file cannot be written.
    ImageError
        See `outlined_planes`.
    """
    n_planes, n_shapes = len(image.labels.planes), 0
    with (
        replace_file(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        for done, plane in enumerate(outlined_planes(image, "pieces"), start=1):
            place = image.plane_name(plane.index)
            for shape in plane.shapes:
                n_shapes += 1
                roi = _roi(image, shape, place)
                # the manager goes by the file's name, which must be the only one
                suffix = "".join(f" {axis}{n + 1}" for axis, n in place.items())
                roi.name = f"{n_shapes:05} {shape.name}{suffix}"
                entry = roi.name.replace("/", "-").replace("\\", "-")
                file.writestr(f"{entry}.roi", roi.tobytes())
            yield Progress(done, n_planes, "planes")


def _roi(image: LabelImage, shape: Shape, place: dict[str, int]) -> Any:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    outline = shape.outline
    if len(outline.polygons) == 1 and not outline.has_holes:
        roi = ImagejRoi.frompoints(outline.polygons[0][0])
        roi.roitype = ROI_TYPE.POLYGON
        roi.options &= ROI_OPTIONS.SUB_PIXEL_RESOLUTION  # no labels drawn over it
    else:
        roi = ImagejRoi()
        roi.roitype = ROI_TYPE.RECT
        roi.options = ROI_OPTIONS(0)
        roi.left, roi.top, roi.right, roi.bottom = outline.box
        roi.multi_coordinates = _path(outline)
        roi.shape_roi_size = len(roi.multi_coordinates)
    roi.stroke_color = bytes((255, *image.colour_of(shape.class_value)))
    if len(place) == 1:
        (index,) = place.values()
        roi.position = index + 1
    elif place:
        roi.z_position, roi.t_position = place["z"] + 1, place["t"] + 1
    return roi


def _path(outline: Outline) -> NDArray[np.float32]:
    """Return rings as ImageJ's composite has them: holes run the other way round."""
    values: list[float] = []
    for polygon in outline.polygons:
        for ring in polygon:
            for kind, (x, y) in zip(
                [_MOVE, *[_LINE] * (len(ring) - 1)], ring.tolist(), strict=True
            ):
                values += [kind, x, y]
            values.append(_CLOSE)
    return np.array(values, np.float32)
