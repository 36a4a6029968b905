"""Results to files: labels in every format that people use, measurements, models."""

from typing import TYPE_CHECKING, Any

from napari_unet.core.atomic import replace_file
from napari_unet.export.check import check_writable, model_path
from napari_unet.export.formats import FORMATS, Format, format_of
from napari_unet.export.job import export_job
from napari_unet.export.labels import check_label_suffix, write_labels
from napari_unet.export.measurements import (
    measure_job,
    measure_labels,
    quantity_names,
    write_measurements,
)
from napari_unet.export.object_store import ZarrObjects, objects_path
from napari_unet.export.picture import (
    class_colour,
    overlay_picture,
    write_picture,
)
from napari_unet.export.probabilities import write_probabilities
from napari_unet.export.stream_store import ZarrStore, open_store
from napari_unet.export.table import Table, join_tables
from napari_unet.export.table_files import check_table_suffix, write_table
from napari_unet.export.units import unit_name
from napari_unet.export.zarr_record import is_complete

if TYPE_CHECKING:
    from napari_unet.export.model import ExportedModel, export_model

__all__ = [
    "FORMATS",
    "ExportedModel",
    "Format",
    "Table",
    "ZarrObjects",
    "ZarrStore",
    "check_label_suffix",
    "check_table_suffix",
    "check_writable",
    "class_colour",
    "export_job",
    "export_model",
    "format_of",
    "is_complete",
    "join_tables",
    "measure_job",
    "measure_labels",
    "model_path",
    "objects_path",
    "open_store",
    "overlay_picture",
    "quantity_names",
    "replace_file",
    "unit_name",
    "write_labels",
    "write_measurements",
    "write_picture",
    "write_probabilities",
    "write_table",
]


def __getattr__(name: str) -> Any:
    """Load what needs torch when it is asked for: docks import this room."""
    if name not in ("ExportedModel", "export_model"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_unet.export import model

    return getattr(model, name)
