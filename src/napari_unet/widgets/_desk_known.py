"""Which images and layers of the viewer are which of a project; on the worker."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from napari_unet.config import AnnotationMode
from napari_unet.core.arrays import PlaneStack, fingerprint
from napari_unet.errors import FileError
from napari_unet.jobs import JobEvent, Notice
from napari_unet.project import Project, ProjectImage
from napari_unet.widgets._desk_events import ImageFacts, Painted, Recognised

__all__ = ["KnownImages"]


class KnownImages:
    """Finds images of the viewer in projects, and keeps in mind where they are.

    Projects are told apart by their folders, and outlast their being closed: the last
    stroke may still be to be saved.
    """

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, str]] = {}
        self._numbers: dict[Path, dict[str, int]] = {}
        # by image and axes: whose print it is, for as long as that is there
        self._prints: dict[tuple[str, str], tuple[Callable[[], Any], str]] = {}

    def names(self, project: Project) -> dict[str, str]:
        """Return the names that layers of the viewer have in a project, by their id."""
        return self._names.setdefault(project.folder, {})

    def numbers(self, project: Project) -> dict[str, int]:
        """Return the numbers that images of the viewer have in a project, by key."""
        return self._numbers.setdefault(project.folder, {})

    def move(self, old: Path, new: Path) -> None:
        """Note that a project lies in another folder now."""
        self._names[new] = self._names.pop(old, {})
        self._numbers[new] = self._numbers.pop(old, {})

    def find(self, project: Project, facts: ImageFacts) -> ProjectImage | None:
        """Return the image of a project that an image of the viewer is; or None."""
        number = self.numbers(project).get(facts.key)
        if number is not None:
            return project.record.image(number)
        return self._search(project, facts)

    def _search(self, project: Project, facts: ImageFacts) -> ProjectImage | None:
        numbers = self.numbers(project)
        taken = {numbers[key] for key in facts.others & numbers.keys()}
        return project.find_image(facts.path, self.print_of(facts), facts.name, taken)

    def add(self, project: Project, facts: ImageFacts) -> int:
        """Return an image's number; it is put into the project where it was not."""
        seen, numbers = self._seen(facts), self.numbers(project)
        number = numbers.get(facts.key)
        if number is not None:
            if not project.record.image(number).is_removed:
                project.change_image(number, **seen)  # other axes, say
            return number
        image = self._search(project, facts)
        if image is not None:
            image = project.change_image(image.number, is_removed=False, **seen)
        else:
            image = project.add_image(
                facts.path,
                name=facts.name,
                layer=facts.name,
                reader=facts.reader,
                **seen,
            )
        numbers[facts.key] = image.number
        return image.number

    def recognise(
        self, project: Project, facts: ImageFacts, image: ProjectImage
    ) -> Generator[JobEvent, None, None]:
        """Bring back what is painted on an image of the viewer, as far as it fits."""
        self.numbers(project)[facts.key] = image.number
        if not image.fingerprint:  # it was only listed until now
            seen = {**self._seen(facts), "channels": ()}
            source = {"layer": facts.name, "reader": facts.reader}
            project.change_image(image.number, **seen, **source)
        names = self.names(project)
        shown = {names[layer] for layer in facts.layers if layer in names}
        painted: list[Painted] = []
        for mode, name in _kept_layers(project, image):
            labels = None
            if name not in shown:
                labels = project.annotations.load(image.number, name)
            if labels is None or not labels.any():
                continue
            if labels.shape != facts.shape:
                yield Notice(
                    f"What was painted on '{image.name}' has the shape {labels.shape}, "
                    f"and the image {facts.shape} now: it is kept in the project, but "
                    "not shown.",
                    "warning",
                )
                continue
            outlines = project.annotations.load_outlines(image.number, name)
            painted.append(Painted(mode, name, labels, outlines))
        if image.fingerprint and self.print_of(facts) not in ("", image.fingerprint):
            yield Notice(
                f"The image '{image.name}' was changed since it was painted on: see "
                "whether your strokes still fit.",
                "warning",
            )
        yield Recognised(project, facts.key, image.number, tuple(painted))

    def _seen(self, facts: ImageFacts) -> dict[str, Any]:
        """Return the fields of the record that an image of the viewer tells."""
        print_ = self.print_of(facts)
        return {
            **({"fingerprint": print_} if print_ else {}),
            "axes": facts.axes,
            "shape": facts.shape,
            "scale": facts.scale,
            "unit": facts.unit,
            "channels": facts.channels,
        }

    def print_of(self, facts: ImageFacts) -> str:
        """Return the fingerprint of an image; "" while unreadable.

        It is computed once for each array that the image's layer is given.
        """
        place, pixels = (facts.key, facts.axes), facts.pixels
        owner, print_ = self._prints.get(place, (lambda: None, ""))
        if owner() is not pixels:
            try:
                print_ = fingerprint(PlaneStack(pixels, facts.axes))
            except (FileError, MemoryError):
                return ""
            try:
                owner = weakref.ref(pixels)
            except TypeError:  # what cannot be referred to is lazy, and takes no memory
                owner = partial(getattr, facts, "pixels")
            self._prints[place] = owner, print_
        return print_


def _kept_layers(
    project: Project, image: ProjectImage
) -> list[tuple[AnnotationMode, str]]:
    """Return mode and name of an image's annotations, those learned from first."""
    modes: tuple[AnnotationMode, ...] = ("strokes", "objects")
    kept = [
        name for number, name in project.annotations.layers() if number == image.number
    ]
    return [
        (mode, name)
        for mode in modes
        for name in sorted(kept, key=lambda name: name != image.annotation.get(mode))
        if re.fullmatch(rf"{mode}( \d+)?", name)
    ]
