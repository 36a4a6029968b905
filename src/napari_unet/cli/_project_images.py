"""The images of a project: reading them, naming them, and what is painted on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli._console import complain
from napari_unet.cli._inputs import stem_of
from napari_unet.errors import ConfigError, ImageError, NapariUnetError, ProjectError

if TYPE_CHECKING:
    from napari_unet.annotation.tiled import TiledLabels
    from napari_unet.cli._read import ReadImage
    from napari_unet.core.arrays import PlaneStack
    from napari_unet.project import Project, ProjectImage

__all__ = [
    "annotated_images",
    "chosen_images",
    "class_names",
    "describe_image",
    "file_state",
    "file_stem",
    "is_other_image",
    "label_place",
    "read_and_compare",
    "read_project_image",
]

_MAX_STEM = 80


def describe_image(stack: PlaneStack, image: ReadImage) -> dict[str, Any]:
    """Return what a project writes down of an image that was read."""
    from napari_unet.core.arrays import fingerprint

    return {
        "axes": stack.axes,
        "shape": tuple(int(n) for n in stack.image.shape),
        "scale": image.scale(stack.spatial_axes),
        "unit": image.unit,
        "fingerprint": fingerprint(stack),
    }


def read_project_image(project: Project, image: ProjectImage) -> ReadImage:
    """Read an image of a project, with the axes and pixel size that it has there.

    Raises
    ------
    ProjectError
        If its file is missing, or it is not a file's alone.
    FileError, ImageError
        If it cannot be read, or has another shape than it had.
    """
    from napari_unet.cli._read import read_image

    if image.channels:
        raise ProjectError(
            f"the image '{image.name}' is learned from together with other layers "
            f"({', '.join(image.channels)}), which only the viewer puts together: use "
            "one file that has all channels"
        )
    path = project.find(image.number)
    found = read_image(path, image.axes)
    if image.shape and tuple(found.array.shape) != image.shape:
        raise ImageError(
            f"{path} has the shape {tuple(found.array.shape)} and had {image.shape} "
            "when it was added: put the image back that was annotated"
        )
    axes = (image.axes or "").replace("C", "")
    if image.scale is None or len(image.scale) != len(axes):
        return found
    # 1 stands for unknown, too
    steps = {
        axis: step
        for axis, step in zip(axes, image.scale, strict=True)
        if axis in found.steps or step != 1
    }
    return replace(found, steps=steps, unit=image.unit or found.unit)


def file_state(project: Project, image: ProjectImage) -> str:
    """Return where an image's file is: ``found``, ``changed``, ``missing``, ``none``.

    ``none``: it was in no file; ``address``: it is at one. Copies have other times than
    originals, so that where the time differs, the pixels say whether it is another one.
    """
    from napari_unet.project.references import is_remote

    if image.path is None and image.absolute_path is None:
        return "none"
    if is_remote(image.path):
        return "address"
    try:
        project.find(image.number)
    except ProjectError:
        return "missing"
    if not project.is_changed(image.number):
        return "found"
    try:
        is_other = is_other_image(image, read_project_image(project, image))
    except NapariUnetError:
        return "changed"
    return "changed" if is_other else "found"


def is_other_image(image: ProjectImage, found: ReadImage) -> bool:
    """Whether what was read has other pixels than what was annotated, if known."""
    from napari_unet.core.arrays import PlaneStack, fingerprint

    if not image.fingerprint:
        return False
    return fingerprint(PlaneStack(found.array, image.axes)) != image.fingerprint


def read_and_compare(project: Project, image: ProjectImage) -> ReadImage:
    """Read an image of a project; say where it has other pixels than were annotated."""
    found = read_project_image(project, image)
    if project.is_changed(image.number) and is_other_image(image, found):
        complain(
            f"{found.path} was changed since it was painted on: see that the strokes "
            "still lie where they should"
        )
    return found


def annotated_images(
    project: Project,
) -> Iterator[tuple[ProjectImage, TiledLabels, TiledLabels | None]]:
    """Yield the images with an annotation, that, and where it is complete."""
    mode = project.record.mode
    for image in project.images:
        labels = project.annotation(image.number, mode)
        complete = project.complete(image.number, mode)
        if labels is not None and (labels.any() or complete is not None):
            yield image, labels, complete


def chosen_images(project: Project, words: Sequence[str]) -> list[ProjectImage]:
    """Return the images that ``--image`` names: numbers, ``all``, or ``unfinished``.

    Raises
    ------
    ConfigError
        If it is another word.
    ProjectError
        If there is no such image, or none at all.
    """
    if words == ["all"]:
        found = list(project.images)
    elif words == ["unfinished"]:
        found = [image for image in project.images if not image.is_done]
    else:
        wrong = next((word for word in words if not word.isdecimal()), None)
        if wrong is not None:
            raise ConfigError(
                f"--image {wrong}: give numbers of images, as 'project status' shows "
                "them, or one of the words 'all' and 'unfinished'"
            )
        numbers = dict.fromkeys(map(int, words))
        found = [project.record.image(number) for number in numbers]
    if not found:
        raise ProjectError(
            f"the project '{project.record.name}' has no such image: add images first, "
            "or give --image all"
        )
    return found


def file_stem(image: ProjectImage) -> str:
    """Return how the names of files made of an image begin: no two are the same."""
    stem = re.sub(r"[^\w.+-]+", "_", stem_of(Path(image.name)))[:_MAX_STEM]
    return f"{image.number:03d}-{stem.strip('._') or 'image'}"


def class_names(project: Project) -> dict[int, str]:
    """Return the names of label values; of objects all have the value 2."""
    names = {entry.value: entry.name for entry in project.record.classes}
    if project.record.mode == "objects":
        names = {value: name for value, name in names.items() if value <= 2}
    return names


def label_place(image: ProjectImage, ndim: int) -> dict[str, Any]:
    """Return axes, scale and unit of labels, as `write_labels` takes them."""
    axes = (image.axes or "").replace("C", "")
    scale = image.scale
    return {
        "axes": axes if len(axes) == ndim else None,
        "scale": scale if scale is not None and len(scale) == ndim else None,
        "unit": image.unit,
    }
