"""What ``project.json`` says: images by reference, classes, settings."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from napari_unet.config import AnnotationMode, LearnerConfig
from napari_unet.config._base import Settings
from napari_unet.core.arrays import check_axes
from napari_unet.core.atomic import replace_file
from napari_unet.errors import FileError, ImageError, ProjectError

__all__ = [
    "PROJECT_VERSION",
    "ClassEntry",
    "ImageStatus",
    "ProjectImage",
    "ProjectRecord",
    "read_record",
    "write_record",
]

PROJECT_VERSION: Final = 1
_MAX_BYTES = 2**26  # some 100,000 images

ImageStatus = Literal["todo", "annotated", "corrected", "done"]
Name = Annotated[str, Field(min_length=1, max_length=500)]

# by the version they start from; the file itself stays until the next change
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


class ClassEntry(Settings):
    """A class: the value in annotations, its name and colour."""

    value: int = Field(ge=1, le=65_535)
    name: Name
    colour: str = Field(pattern="^#[0-9a-fA-F]{6}$")


class ProjectImage(Settings):
    """An image of a project: where it is, and how far the work on it is.

    Its pixels stay where they are, unless a copy was asked for.
    """

    number: int = Field(ge=1, le=2**31)
    """What the annotations call it; never given twice in a project."""
    name: Name
    path: str | None = Field(None, max_length=4096)
    """As seen from the project folder, with ``/``; an address, such as ``https://``, as
    it is; None: it was in no file."""
    absolute_path: str | None = Field(None, max_length=4096)
    """Where it was last seen, should the project folder have been moved alone."""
    is_copy: bool = False
    """Whether `path` is a copy in the project folder."""
    n_bytes: int | None = Field(None, ge=0)
    modified_s: float | None = None
    """Of the file when it was read last, to notice that it was changed."""
    fingerprint: str = Field("", max_length=100)
    """Of the pixels, see `napari_unet.core.arrays.fingerprint`; empty: not yet read."""
    axes: str | None = Field(None, max_length=5)
    shape: tuple[Annotated[int, Field(ge=1)], ...] = ()
    scale: tuple[float, ...] | None = None
    """World units per pixel along the annotation's axes."""
    unit: str | None = Field(None, max_length=50)
    reader: str | None = Field(None, max_length=200)
    """The napari plugin that opened it."""
    layer: str | None = Field(None, max_length=500)
    """Which of the layers of the file, where there are several."""
    channels: tuple[str, ...] = ()
    """Layers that are learned from together with it."""
    annotation: dict[AnnotationMode, str] = Field(default_factory=dict)
    """By mode: which layer of the store is learned from."""
    is_corrected: bool = False
    """Whether it was painted on when there was a prediction already."""
    is_done: bool = False
    is_removed: bool = False
    """Taken out of the list; what was painted is kept."""

    @property
    def status(self) -> ImageStatus:
        """How far the work on it is."""
        if self.is_done:
            return "done"
        if not self.annotation:
            return "todo"
        return "corrected" if self.is_corrected else "annotated"

    @model_validator(mode="after")
    def _axes_fit(self) -> ProjectImage:
        if self.axes is not None:
            try:
                check_axes(self.axes)
            except ImageError as error:
                raise ValueError(str(error)) from error
        return self


class ProjectRecord(Settings):
    """A project, but for what is painted and learned."""

    schema_version: Literal[1] = PROJECT_VERSION
    name: Name
    created: datetime
    mode: AnnotationMode = "strokes"
    learner: LearnerConfig = LearnerConfig()
    classes: tuple[ClassEntry, ...] = ()
    images: tuple[ProjectImage, ...] = ()
    round_in_use: int | None = Field(None, ge=1)
    """The round that was gone back to; None: what was learned last goes on."""
    max_rounds_mb: int = Field(
        2000,
        ge=10,
        le=10_000_000,
        title="Disk for rounds",
        description="MB that the models of earlier rounds may take together; the "
        "oldest go first, the best and the newest never. 2000 are about 150 rounds.",
    )

    @model_validator(mode="after")
    def _numbers_differ(self) -> ProjectRecord:
        numbers = [image.number for image in self.images]
        if len(set(numbers)) != len(numbers):
            raise ValueError("two images have the same number")
        return self

    @property
    def present(self) -> tuple[ProjectImage, ...]:
        """The images, but for those that were taken out."""
        return tuple(image for image in self.images if not image.is_removed)

    def next_unfinished(
        self, after: int | None = None, *, without: Collection[int] = ()
    ) -> ProjectImage | None:
        """Return the next image that is not done; None where all are.

        In the order of the list, from the top again after the end; images without any
        stroke come first. ``after`` is the number of the image one is at, and
        ``without`` are those to pass over, as their files are missing.
        """
        images = self.present
        numbers = [image.number for image in images]
        start = numbers.index(after) + 1 if after in numbers else 0
        around = [*images[start:], *images[:start]]
        passed = {after, *without}
        unfinished = [i for i in around if not (i.is_done or i.number in passed)]
        todo = [image for image in unfinished if image.status == "todo"]
        return next(iter(todo or unfinished), None)

    def image(self, number: int) -> ProjectImage:
        """Return an image by its number.

        Raises
        ------
        ProjectError
            If there is none.
        """
        for image in self.images:
            if image.number == number:
                return image
        raise ProjectError(f"the project '{self.name}' has no image {number}")

    def with_images(self, *images: ProjectImage) -> ProjectRecord:
        """Return the record with these images added, or in place of those before."""
        by_number = {image.number: image for image in (*self.images, *images)}
        return self.model_copy(update={"images": tuple(by_number.values())})


def read_record(path: Path) -> ProjectRecord:
    """Read a project file; one of an older version is brought up to date in memory.

    Raises
    ------
    ProjectError
        If it is missing, damaged, foreign, or of a newer program.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ProjectError(
            f"{path.parent} is no project: there is no {path.name} in it"
        ) from error
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if len(text) > _MAX_BYTES:
            raise ValueError(f"larger than {_MAX_BYTES:,} bytes")
        described = json.loads(text)
        version = described["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProjectError(
            f"{path} is damaged, or no project of napari-unet: take the one of a "
            f"backup, or start from {path.name}~, which is the one before"
        ) from error
    oldest = min((PROJECT_VERSION, *_MIGRATIONS))
    if not isinstance(version, int) or not oldest <= version <= PROJECT_VERSION:
        raise ProjectError(
            f"{path} has the version {version!r}, and this program knows "
            f"{oldest} to {PROJECT_VERSION}: update napari-unet, or take the file of a "
            "backup"
        )
    if any(v not in _MIGRATIONS for v in range(version, PROJECT_VERSION)):
        raise ProjectError(
            f"{path} has the version {version!r}, which no program wrote: take the one "
            f"of a backup, or start from {path.name}~, which is the one before"
        )
    for earlier in range(version, PROJECT_VERSION):
        described = _MIGRATIONS[earlier](described)
    try:
        return ProjectRecord.model_validate_json(json.dumps(described))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "whole"
        raise ProjectError(
            f"{path} does not hold together ({where}: {first['msg']}): mend the entry, "
            f"or start from {path.name}~, which is the one before"
        ) from error


def write_record(path: Path, record: ProjectRecord) -> None:
    """Write a project file, all or nothing; the one before stays as ``...~``.

    Raises
    ------
    ProjectError
        If it cannot be written.
    """
    try:
        if path.exists():
            with replace_file(path.with_name(f"{path.name}~")) as earlier:
                earlier.write_bytes(path.read_bytes())
        with replace_file(path) as temporary:
            temporary.write_text(record.model_dump_json(indent=1), encoding="utf-8")
    except FileError as error:
        raise ProjectError(str(error)) from error
