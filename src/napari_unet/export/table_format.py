"""Measurements as a format that labels leave in: a table beside outlines and pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_unet.export.label_image import LabelImage
from napari_unet.export.measurements import measure_job
from napari_unet.export.table_files import check_table_suffix, write_table
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["write_label_table"]


def write_label_table(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Write a row per object, or per class, to ``.csv`` or ``.parquet``.

    Yields
    ------
    JobEvent
        How far it is.

    Raises
    ------
    FileError, ImageError
        See `write_table` and `measure_job`.
    """
    check_table_suffix(path)
    is_background = image.are_objects and image.background is not None
    table = yield from measure_job(
        CancelToken(),  # reading the labels asks the job's own
        image.labels,
        per="object" if image.are_objects else "class",
        axes=image.axes,
        scale=image.scale,
        unit=image.unit,
        classes=image.class_labels if image.are_objects else None,
        class_names=image.class_names,
        background={image.background or 0} if is_background else (),
        image_name=image.name,
    )
    assert table is not None, "nobody can cancel it"
    write_table(path, table)
