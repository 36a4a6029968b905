"""Measurements of labels, as formats beside those of the labels themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari_unet.export.label_image import LabelImage, Stopped
from napari_unet.export.measurements import measure_job
from napari_unet.export.table_files import check_table_suffix, write_table
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["write_label_table"]


def write_label_table(path: Path, image: LabelImage) -> Iterator[JobEvent]:
    """Measure objects, or classes, and write the table; no intensities.

    `napari_unet.export.measure_job` measures an image's intensities too, and chooses
    columns.

    Raises
    ------
    FileError
        If the table cannot be written.
    ImageError
        See `measure_job`.
    """
    check_table_suffix(path)
    skipped = set() if image.background is None else {image.background}
    table = yield from measure_job(
        CancelToken(),  # the labels have one, and ask it themselves
        image.labels,
        per="object" if image.are_objects else "class",
        axes=image.axes,
        scale=image.scale,
        unit=image.unit,
        classes=image.class_labels,
        class_names=image.class_names,
        background=skipped if image.are_objects else (),
        image_name=image.name,
    )
    if table is None:
        raise Stopped
    write_table(path, table)
