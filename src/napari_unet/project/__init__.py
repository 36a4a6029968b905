"""Projects on disk: nothing that was painted is lost."""

from napari_unet.project._folder import (
    PREDICTIONS,
    SUFFIX,
    THUMBNAILS,
    check_free,
    is_project,
    predictions_folder,
)
from napari_unet.project.annotations import AnnotationStore, Outline, Saved
from napari_unet.project.lock import ProjectLock
from napari_unet.project.project import Project
from napari_unet.project.record import (
    ClassEntry,
    ImageStatus,
    ProjectImage,
    ProjectRecord,
)
from napari_unet.project.rounds import Round, Rounds

__all__ = [
    "PREDICTIONS",
    "SUFFIX",
    "THUMBNAILS",
    "AnnotationStore",
    "ClassEntry",
    "ImageStatus",
    "Outline",
    "Project",
    "ProjectImage",
    "ProjectLock",
    "ProjectRecord",
    "Round",
    "Rounds",
    "Saved",
    "check_free",
    "is_project",
    "predictions_folder",
]
