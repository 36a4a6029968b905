"""Projects that nobody named: what is painted before a project is made, or without."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.errors import NapariUnetError
from napari_unet.project._folder import RECORD, SUFFIX, is_project
from napari_unet.project.lock import ProjectLock
from napari_unet.project.project import Project
from napari_unet.project.record import ProjectImage, read_record

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

    One that is open somewhere, is damaged, or was dismissed is left alone. Nothing in
    it is changed, and what is painted is only read where the image is listed.
    """
    for folder in _folders(place):
        with suppress(NapariUnetError, OSError):  # a bad one does not hide the others
            if (folder / _DISMISSED).exists():
                continue
            record = read_record(folder / RECORD)
            if not any(_is_painted(image, fingerprint) for image in record.present):
                continue
            if ProjectLock(folder).holder() is not None:
                continue
            with Project.open(folder, is_read_only=True) as project:
                found = _find(project, fingerprint)
            if found is not None:
                return found
    return None


def forget_old(place: Path, now: datetime | None = None) -> list[Path]:
    """Delete what nobody asked for in 90 days; return the folders."""
    now = now or datetime.now()
    gone = []
    for folder in _folders(place):
        try:
            newest = max(path.lstat().st_mtime for path in folder.iterdir())
        except (OSError, ValueError):  # gone meanwhile, or not to be read
            continue
        if now - datetime.fromtimestamp(newest) > _KEPT:
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder)
    return gone


def _folders(place: Path) -> list[Path]:
    """Return the projects in a place, the newest first."""
    try:
        return sorted(filter(is_project, place.iterdir()), reverse=True)
    except OSError:  # there is no such place yet, or it may not be looked into
        return []


def _is_painted(image: ProjectImage, fingerprint: str) -> bool:
    return image.fingerprint == fingerprint and bool(image.annotation)


def _find(project: Project, fingerprint: str) -> Unsaved | None:
    for image in project.images:
        if not _is_painted(image, fingerprint):
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
