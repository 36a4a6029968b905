"""Annotated images of a project that are not in the viewer, read on the worker."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.core.arrays import PlaneStack
from napari_unet.core.channels import StackedChannels
from napari_unet.core.memory import available_memory_bytes
from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CancelToken, JobEvent, Notice
from napari_unet.project import Project, ProjectImage
from napari_unet.project.references import size_of
from napari_unet.widgets._classes import Counted, Painted, count_job
from napari_unet.widgets._project_files import read_pixels

__all__ = [
    "ImageFound",
    "ImageRead",
    "ImageUnread",
    "ReadingBudget",
    "find_image",
    "held_bytes",
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
    """An annotated image is not learned from, and why.

    An empty ``why``: it takes too much memory, or nothing is painted on it any more.
    """

    number: int
    name: str
    mode: AnnotationMode
    why: str = ""
    is_too_large: bool = False


@dataclass(frozen=True)
class ImageFound(JobEvent):
    """Where the file of an image is that is to be opened; None: it is in none."""

    image: ProjectImage
    path: Path | None


def key_of(number: int) -> str:
    """Return the key of an image that is learned from without being in the viewer."""
    return f"project image {number}"


class ReadingBudget:
    """Memory for images that are learned from without being in the viewer.

    Together they get a quarter of what was free before the first of them: what is
    opened, the network and other programs need the rest. Images that are read by the
    tile take none of it. May be used from any thread.
    """

    _SHARE = 0.25

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[int, int] = {}
        self._limit_bytes: float = math.inf

    def take(self, number: int, n_bytes: int) -> bool:
        """Note what an image takes, in place of what was noted; whether there is room.

        Where there is none, it takes nothing.
        """
        with self._guard:
            self._held.pop(number, None)
            if not self._held:
                free = available_memory_bytes()
                self._limit_bytes = math.inf if free is None else self._SHARE * free
            if n_bytes == 0:
                return True
            fits = sum(self._held.values()) + n_bytes <= self._limit_bytes
            if fits:
                self._held[number] = n_bytes
            return fits

    def note(self, number: int, n_bytes: int) -> None:
        """Note what an image takes that is in memory anyway."""
        if not self.take(number, n_bytes):
            with self._guard:
                self._held[number] = n_bytes

    def give_back(self, number: int) -> None:
        """Note that an image takes nothing any more."""
        with self._guard:
            self._held.pop(number, None)


def held_bytes(pixels: Any) -> int:
    """Return the memory that an image keeps; 0 where it is read by the tile."""
    arrays = pixels.arrays if isinstance(pixels, StackedChannels) else (pixels,)
    owners = {id(owner): owner for owner in map(_owner, arrays)}
    return sum(
        owner.nbytes
        for owner in owners.values()
        if isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap)
    )


def _owner(array: Any) -> Any:
    """Return the array whose memory another one is a view of."""
    while isinstance(getattr(array, "base", None), np.ndarray):
        array = array.base
    return array


def read_image(
    project: Project, number: int, mode: AnnotationMode, budget: ReadingBudget
) -> Generator[JobEvent, None, None]:
    """Read an annotated image and what is painted on it; where it cannot, say why.

    Exactly one `ImageRead` or `ImageUnread` comes of it. A file is only read if there
    is room for it in the budget, were it read whole; what turns out to be larger in
    memory than on the disk is let go again.
    """
    name = f"image {number}"
    try:
        image = project.record.image(number)
        name = image.name
        labels = project.annotation(number, mode)
        complete = project.complete(number, mode)
        if labels is None or not (labels.any() or complete is not None):
            yield ImageUnread(number, name, mode)
            return
        path = project.find(number)
        if path.is_file():  # a folder, such as a zarr, is read by the tile
            n_bytes = max(size_of(path), math.prod(labels.shape))
            if not budget.take(number, n_bytes):
                yield ImageUnread(number, name, mode, is_too_large=True)
                return
        pixels, axes = read_pixels(path, image)
        PlaneStack(pixels, axes, labels.shape)  # or they do not fit
    except (NapariUnetError, OSError) as error:
        budget.give_back(number)
        yield ImageUnread(number, name, mode, str(error))
        return
    if not budget.take(number, held_bytes(pixels)):
        yield ImageUnread(number, name, mode, is_too_large=True)
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
    n_others = len(project.record.present) - 1
    text = "Every other image is done."
    if n_others < 1:
        text = "The project has no other image: Add images … brings some in."
    if missing:
        n = "1 unfinished image is" if len(missing) == 1 else f"{len(missing)} are"
        text = f"{n} missing: say where with Find …; every other one is done."
    yield Notice(text)
