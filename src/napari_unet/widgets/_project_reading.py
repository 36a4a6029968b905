"""Annotated images of a project that are not in the viewer, read on the worker."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.core.arrays import PlaneStack
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CancelToken, JobEvent, Notice
from napari_unet.project import Project, ProjectImage
from napari_unet.widgets._classes import Counted, Painted, count_job
from napari_unet.widgets._project_files import read_pixels

__all__ = [
    "ImageFound",
    "ImageRead",
    "ImageUnread",
    "find_image",
    "key_of",
    "read_image",
]


@dataclass(frozen=True, eq=False)
class ImageRead(JobEvent):
    """An annotated image of the project, ready to be learned from."""

    number: int
    mode: AnnotationMode
    pixels: Any
    axes: str
    labels: TiledLabels
    complete: TiledLabels | None
    scale: tuple[float, ...] | None
    counted: Counted


@dataclass(frozen=True)
class ImageUnread(JobEvent):
    """An annotated image is not learned from, and why."""

    number: int
    name: str
    why: str


@dataclass(frozen=True)
class ImageFound(JobEvent):
    """Where the file of an image is that is to be opened; None: it is in none."""

    image: ProjectImage
    path: Path | None


def key_of(number: int) -> str:
    """Return the key of an image that is learned from without being in the viewer."""
    return f"project image {number}"


def read_image(
    project: Project, number: int, mode: AnnotationMode
) -> Generator[JobEvent, None, None]:
    """Read an annotated image and what is painted on it; where it cannot, say why."""
    image = project.record.image(number)
    try:
        labels = project.annotation(number, mode)
        complete = project.complete(number, mode)
        if labels is None or not (labels.any() or complete is not None):
            return
        pixels, axes = read_pixels(project.find(number), image)
        PlaneStack(pixels, axes, labels.shape)  # or they do not fit
    except NapariUnetError as error:
        yield ImageUnread(number, image.name, str(error))
        return
    (counted,) = count_job(
        CancelToken(), {key_of(number): Painted(labels, mode, complete)}
    )
    assert isinstance(counted, Counted)
    yield ImageRead(number, mode, pixels, axes, labels, complete, image.scale, counted)


def find_image(
    project: Project, number: int | None, after: int | None, here: frozenset[int]
) -> Generator[JobEvent, None, None]:
    """Find the file of an image, or of the next unfinished one.

    Parameters
    ----------
    project
        The project.
    number
        The image; None: the next one that is not done and whose file is there.
    after
        The image that one is at.
    here
        Images that are in the viewer, which need no file.
    """
    if number is not None:
        image = project.record.image(number)
        path = None if number in here else project.find(number)
        yield ImageFound(image, path)
        return
    missing: set[int] = set()
    while (found := project.record.next_unfinished(after, without=missing)) is not None:
        try:
            path = None if found.number in here else project.find(found.number)
        except NapariUnetError:
            missing.add(found.number)
            continue
        yield ImageFound(found, path)
        return
    text = "Every other image is done."
    if missing:
        n = "1 unfinished image is" if len(missing) == 1 else f"{len(missing)} are"
        text = f"{n} missing: say where with Find …; every other one is done."
    yield Notice(text)
