"""What goes to the worker that keeps a project, and what comes back from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.jobs import JobEvent
from napari_unet.project import Outline, Project
from napari_unet.project.recovery import Unsaved

__all__ = [
    "ImageFacts",
    "Painted",
    "ProjectBegun",
    "ProjectClosed",
    "ProjectOpened",
    "Recognised",
    "Recoverable",
    "Saved",
    "Work",
]


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """What the worker may know of an image of the viewer."""

    key: str
    name: str
    pixels: Any
    axes: str
    shape: tuple[int, ...]
    path: str | None = None
    reader: str | None = None
    scale: tuple[float, ...] | None = None
    unit: str | None = None
    channels: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    """Ids of the layers of the viewer in which it is annotated."""
    others: frozenset[str] = frozenset()
    """Keys of the other images that are in the viewer."""


@dataclass(frozen=True, eq=False)
class Work:
    """What is painted on an image and not yet on the disk.

    ``layer_id`` names the layer of the viewer: another layer is another annotation.
    """

    facts: ImageFacts
    layer_id: str
    mode: AnnotationMode
    labels: TiledLabels
    complete: TiledLabels | None = None
    outlines: Sequence[Outline] = ()
    is_correction: bool = False
    project: Project | None = None
    """The one that was open when it was painted; None: none was."""


@dataclass(frozen=True, eq=False)
class ProjectOpened(JobEvent):
    """A project is open; ``is_named`` tells whether a person chose its folder."""

    project: Project
    is_named: bool
    is_same_work: bool = False
    """Whether it was made of what is open, and learning goes on."""


@dataclass(frozen=True, eq=False)
class ProjectBegun(JobEvent):
    """A project without a name was begun, for what is painted."""

    project: Project


@dataclass(frozen=True)
class ProjectClosed(JobEvent):
    """No project is open any more."""


@dataclass(frozen=True)
class Saved(JobEvent):
    """What was painted on an image is on the disk; ``time_s`` is monotonic."""

    key: str
    number: int
    time_s: float


@dataclass(frozen=True, eq=False)
class Painted:
    """An annotation of an image as it is kept: its mode, and its name in the store."""

    mode: AnnotationMode
    name: str
    labels: TiledLabels
    outlines: list[Outline]


@dataclass(frozen=True, eq=False)
class Recognised(JobEvent):
    """An image of the viewer is in the project; with what is painted on it."""

    project: Project
    key: str
    number: int
    painted: tuple[Painted, ...]
    """What no layer of the viewer has yet, that which is learned from first."""


@dataclass(frozen=True, eq=False)
class Recoverable(JobEvent):
    """An image of the viewer was painted on before, without a project."""

    key: str
    unsaved: Unsaved
