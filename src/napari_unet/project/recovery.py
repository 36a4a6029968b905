"""Projects that nobody named: what is painted before a project is made, or without."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import ProjectError
from napari_unet.project._folder import SUFFIX, is_project
from napari_unet.project.project import Project
from napari_unet.project.record import ProjectImage

__all__ = ["Unsaved", "find_unsaved", "forget_old", "new_unsaved"]

_KEPT = timedelta(days=90)
_DISMISSED = "dismissed"


@dataclass(frozen=True)
class Unsaved:
    """A project without a name that holds something of an image."""

    folder: Path
    image: ProjectImage
    painted: datetime
    """When it was painted on last."""
    n_px: int

    def dismiss(self) -> None:
        """Offer it no more; it is kept until it is old."""
        (self.folder / _DISMISSED).touch()


def new_unsaved(place: Path, name: str) -> Project:
    """Make a project in a place for those without a name.

    Parameters
    ----------
    place
        The folder for them all; made where it is missing.
    name
        Of the first image.
    """
    clean = re.sub(r"[^\w .-]+", "_", name).strip(" .")[:60] or "image"
    stem = f"{datetime.now():%Y-%m-%d %H.%M.%S} {clean}"
    folder, number = place / f"{stem}{SUFFIX}", 1
    while folder.exists():
        number += 1
        folder = place / f"{stem} {number}{SUFFIX}"
    return Project.create(folder, name)


def find_unsaved(place: Path, fingerprint: str) -> Unsaved | None:
    """Return the newest project without a name with something painted on an image.

    One that is open somewhere, is damaged, or was dismissed is left alone.
    """
    for folder in _folders(place):
        if (folder / _DISMISSED).exists():
            continue
        try:
            with Project.open(folder) as project:
                found = _find(project, fingerprint)
        except ProjectError:
            continue
        if found is not None:
            return found
    return None


def forget_old(place: Path, now: datetime | None = None) -> list[Path]:
    """Delete what nobody asked for in 90 days; return the folders."""
    now = now or datetime.now()
    gone = []
    for folder in _folders(place):
        newest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
        if now - datetime.fromtimestamp(newest) > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)
    return gone


def _folders(place: Path) -> list[Path]:
    """Return the projects in a place, the newest first."""
    if not place.is_dir():
        return []
    folders = [path for path in place.iterdir() if is_project(path)]
    return sorted(folders, reverse=True)


def _find(project: Project, fingerprint: str) -> Unsaved | None:
    for image in project.images:
        if image.fingerprint != fingerprint:
            continue
        for mode in image.annotation:
            labels = project.annotation(image.number, mode)
            if labels is not None and labels.any():
                times = project.annotations.layers()
                painted = times[image.number, image.annotation[mode]]
                return Unsaved(project.folder, image, painted, _n_px(labels))
    return None


def _n_px(labels: TiledLabels) -> int:
    return sum(int((tile != 0).sum()) for tile in labels.tiles.values())
