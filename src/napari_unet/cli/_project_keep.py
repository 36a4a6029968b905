"""What `project new` and `add` write down of an image, and of its annotation."""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from napari_unet.cli._annotation import read_annotated
from napari_unet.cli._console import naming
from napari_unet.cli._project_images import is_other_image, read_project_image
from napari_unet.errors import AnnotationError, ConfigError, ImageError, ProjectError

if TYPE_CHECKING:
    from napari_unet.annotation.tiled import TiledLabels
    from napari_unet.config import AnnotationMode
    from napari_unet.project import Project, ProjectImage

__all__ = ["Found", "keep_image", "name_classes", "read_found"]

_MAX_CLASSES = 64  # more values are numbers of objects, whatever they were said to be


@dataclass(frozen=True)
class Found:
    """An image that was read, and its annotation if it has one, checked.

    ``facts`` are the fields of `ProjectImage` that follow from its pixels.
    """

    path: Path
    facts: dict[str, Any]
    annotation: Path | None = None
    labels: TiledLabels | None = None
    complete: TiledLabels | None = None


def read_found(
    args: argparse.Namespace,
    mode: AnnotationMode,
    path: Path,
    annotation: Path | None,
    mask: Path | None,
) -> Found:
    """Read an image, with its annotation if there is one."""
    from napari_unet.annotation.annotations import check_annotation, check_complete
    from napari_unet.cli._project_images import describe_image
    from napari_unet.cli._read import read_image
    from napari_unet.core.arrays import PlaneStack

    if annotation is None:
        image = read_image(path, args.axes)
        with naming(path):
            stack = PlaneStack(image.array, image.axes)
        return Found(path, describe_image(stack, image))
    found = read_annotated(args, mode, path, annotation, mask)
    with naming(annotation, path), naming(path, kind=ImageError):
        shape = tuple(found.labels.shape)
        stack = PlaneStack(found.image.array, found.axes, shape)
        labels = check_annotation(found.labels, stack.spatial_shape, mode)
        complete = check_complete(found.complete, stack.spatial_shape)
        if mode == "strokes":
            _refuse_pixels(labels)
    facts = describe_image(stack, found.image)
    return Found(path, facts, annotation, labels, complete)


def _refuse_pixels(labels: TiledLabels) -> None:
    """Refuse an annotation in strokes that looks like an image, or like objects.

    Raises
    ------
    AnnotationError
        If it holds more values than can be classes; or many, nearly everywhere.
    """
    from napari_unet.annotation.strokes import MAX_CLASSES
    from napari_unet.cli._project_status import painted_px

    n_px = painted_px(labels)
    is_full = sum(n_px.values()) > math.prod(labels.shape) / 2
    if len(n_px) > (_MAX_CLASSES if is_full else MAX_CLASSES):
        raise AnnotationError(
            f"the annotation holds {len(n_px):,} different values, more than there are "
            "classes: is it an image? Give what was painted, 0 unlabelled, 1 "
            "background, 2 and up the classes; of objects, each with a number of its "
            "own, make the project with --mode objects"
        )


def keep_image(
    project: Project, args: argparse.Namespace, mode: AnnotationMode, found: Found
) -> dict[str, Any]:
    """Write an image and its annotation down; return what was done."""
    image, what = _place(project, found, args.copy)
    result = {"image": found.path, "number": image.number, "what": what}
    if found.labels is None:
        return result
    before = project.annotation(image.number, mode)
    if before is not None and before.any():
        if before.is_same(found.labels):
            return result
        raise ConfigError(
            f"{found.path} is image {image.number} of the project, and was painted on: "
            "its annotation was left as it is"
        )
    project.save_annotation(image.number, mode, found.labels, complete=found.complete)
    project.log(f"imported the annotation of image {image.number}, {found.annotation}")
    if mode == "strokes":
        from napari_unet.cli._project_status import painted_px

        values = set(painted_px(found.labels))
        name_classes(project, dict(args.classes), values)
    return {**result, "annotation": found.annotation}


def _place(project: Project, found: Found, copy: bool) -> tuple[ProjectImage, str]:
    """Return the image of the project that this is, and whether it was one before."""
    known = project.find_image(found.path, found.facts["fingerprint"], None)
    if known is None and copy:
        known = _copied(project, found)
    if known is None:
        return project.add_image(found.path, copy=copy, **found.facts), "added"
    try:
        there = project.find(known.number)
    except ProjectError:
        project.relocate(known.number, found.path)
        changes = {"is_removed": False, "is_copy": False}
        return project.change_image(known.number, **changes), "found again"
    is_painted = _is_painted(project, known)
    if is_painted and _is_other(project, known, found):
        raise ImageError(
            f"{found.path} is image {known.number} of the project, and has other "
            "pixels than when it was painted on: put that image back, or add this one "
            "under another name"
        )
    facts = {} if is_painted else found.facts  # no other axes under what is painted
    project.change_image(known.number, is_removed=False, **facts)
    if there.samefile(found.path):
        project.relocate(known.number, found.path)
    return project.record.image(known.number), "was there"


def _copied(project: Project, found: Found) -> ProjectImage | None:
    """Return the image of the project that is a copy of this one."""
    fingerprint, name = found.facts["fingerprint"], found.path.name
    for image in project.record.images:
        if image.is_copy and (image.fingerprint, image.name) == (fingerprint, name):
            return image
    return None


def _is_painted(project: Project, image: ProjectImage) -> bool:
    """Whether anything is painted on an image, in any mode."""
    from napari_unet.config import AnnotationMode

    for mode in get_args(AnnotationMode):
        labels = project.annotation(image.number, mode)
        if labels is not None and labels.any():
            return True
        if project.complete(image.number, mode) is not None:
            return True
    return False


def _is_other(project: Project, known: ProjectImage, found: Found) -> bool:
    """Whether an image's file has other pixels than it had, read with its axes.

    Of channels from several layers, and of an image never read, nobody can tell.
    """
    same = ("", found.facts["fingerprint"])
    if known.fingerprint in same or known.channels:
        return False
    return is_other_image(known, read_project_image(project, known))


def name_classes(project: Project, names: dict[int, str], values: set[int]) -> None:
    """Give classes that have none an entry, and those that were named their name."""
    from napari_unet.export import class_colour
    from napari_unet.project import ClassEntry

    entries: dict[int, ClassEntry] = {e.value: e for e in project.record.classes}
    new = values - entries.keys() if len(values) <= _MAX_CLASSES else set()
    for value in sorted(new | names.keys()):
        usual = "background" if value == 1 else f"class {value}"
        red, green, blue = class_colour(value)
        colour = f"#{red:02x}{green:02x}{blue:02x}"
        if value in entries:
            colour, usual = entries[value].colour, entries[value].name
        name = names.get(value, usual)
        entries[value] = ClassEntry(value=value, name=name, colour=colour)
    classes = tuple(entries[value] for value in sorted(entries))
    if classes != project.record.classes:
        project.change(classes=classes)
