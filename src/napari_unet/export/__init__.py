"""Labels to files in every format that people use, probabilities, and pictures."""

from napari_unet.core.atomic import replace_file
from napari_unet.export.check import check_writable, model_path
from napari_unet.export.formats import FORMATS, Format, format_of
from napari_unet.export.job import export_job
from napari_unet.export.labels import check_label_suffix, write_labels
from napari_unet.export.object_store import ZarrObjects, objects_path
from napari_unet.export.picture import (
    class_colour,
    overlay_picture,
    write_picture,
)
from napari_unet.export.probabilities import write_probabilities
from napari_unet.export.stream_store import ZarrStore, open_store
from napari_unet.export.units import unit_name
from napari_unet.export.zarr_record import is_complete

__all__ = [
    "FORMATS",
    "Format",
    "ZarrObjects",
    "ZarrStore",
    "check_label_suffix",
    "check_writable",
    "class_colour",
    "export_job",
    "format_of",
    "is_complete",
    "model_path",
    "objects_path",
    "open_store",
    "overlay_picture",
    "replace_file",
    "unit_name",
    "write_labels",
    "write_picture",
    "write_probabilities",
]
