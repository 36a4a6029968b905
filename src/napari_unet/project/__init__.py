"""Projects on disk: nothing that was painted is lost."""

from napari_unet.project._folder import SUFFIX, THUMBNAILS, is_project
from napari_unet.project.annotations import AnnotationStore, Outline, Saved
from napari_unet.project.project import Project
from napari_unet.project.record import (
    ClassEntry,
    ImageStatus,
    ProjectImage,
    ProjectRecord,
)
from napari_unet.project.rounds import Round, Rounds

__all__ = [
    "SUFFIX",
    "THUMBNAILS",
    "AnnotationStore",
    "ClassEntry",
    "ImageStatus",
    "Outline",
    "Project",
    "ProjectImage",
    "ProjectRecord",
    "Round",
    "Rounds",
    "Saved",
    "is_project",
]
