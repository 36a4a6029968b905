"""Measurements as a format that labels leave in: a table beside outlines and pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from napari_unet.export.measurements import measure_job
from napari_unet.export.table_files import check_table_suffix, write_table
from napari_unet.jobs import CancelToken, JobEvent

__all__ = ["MeasuredLabels", "write_label_table"]


class MeasuredLabels(Protocol):
    """Labels, and what is known of them.

    ``labels`` and ``class_labels`` are arrays, maybe lazy; the latter says the class of
    each object, where ``are_objects``.
    """

    labels: Any
    class_labels: Any
    axes: str
    scale: Sequence[float] | None
    unit: str | None
    class_names: Mapping[int, str]
    are_objects: bool
    background: int | None
    name: str


def write_label_table(path: Path, image: MeasuredLabels) -> Iterator[JobEvent]:
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
        CancelToken(),
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
