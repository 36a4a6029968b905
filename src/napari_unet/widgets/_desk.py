"""The worker's side of a project: everything that touches its folder.

Requests are done in their order, on one thread. What is to be saved comes first, is
done also when the job is asked to stop, and stays in the list until it is on the disk.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.core.arrays import PlaneStack, fingerprint
from napari_unet.core.atomic import file_error
from napari_unet.errors import FileError, NapariUnetError, ProjectError
from napari_unet.jobs import CancelToken, JobEvent, Notice
from napari_unet.project import Outline, Project, ProjectImage
from napari_unet.project.recovery import (
    Unsaved,
    find_unsaved,
    forget_old,
    new_unsaved,
)
from napari_unet.project.references import describe_file, move_file

__all__ = [
    "Desk",
    "ImageFacts",
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


@dataclass(frozen=True, eq=False)
class ProjectOpened(JobEvent):
    """A project is open; ``is_named`` tells whether a person chose its folder."""

    project: Project
    is_named: bool


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
class Recognised(JobEvent):
    """An image of the viewer is in the project; with what is painted on it by mode."""

    key: str
    number: int
    painted: dict[AnnotationMode, tuple[str, TiledLabels, list[Outline]]]


@dataclass(frozen=True, eq=False)
class Recoverable(JobEvent):
    """An image of the viewer was painted on before, without a project."""

    key: str
    unsaved: Unsaved


@dataclass
class Desk:
    """The open project, and what is to be done in it.

    Parameters
    ----------
    place
        The folder for what is painted without a project.
    """

    place: Path
    project: Project | None = None
    is_named: bool = False
    description: dict[str, Any] = field(default_factory=dict)
    """Fields of the record that a project begins with."""

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._works: dict[tuple[str, str], Work] = {}
        self._requests: list[Callable[[], Generator[JobEvent, None, None]]] = []
        self._names: dict[str, str] = {}  # of layers of the viewer in the store
        self._numbers: dict[str, int] = {}
        self._prints: dict[str, str] = {}

    # --- asked on the GUI thread -----------------------------------------------------

    @property
    def has_unsaved(self) -> bool:
        """Whether something that was painted is not on the disk."""
        with self._guard:
            return bool(self._works)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        with self._guard:
            return not (self._works or self._requests)

    def number_of(self, key: str) -> int | None:
        """Return the number that an image of the viewer has in the project."""
        return self._numbers.get(key)

    def save(self, work: Work) -> None:
        """Keep what is painted; the newest of a layer counts."""
        with self._guard:
            self._works[work.facts.key, work.layer_id] = work

    def bind(self, layer_id: str, name: str) -> None:
        """Note that a layer of the viewer holds what the store keeps under a name."""
        self._names[layer_id] = name

    def ask(self, request: Callable[[], Generator[JobEvent, None, None]]) -> None:
        """Do one of the methods below, with its arguments, on the worker."""
        with self._guard:
            self._requests.append(request)

    def run(self, token: CancelToken) -> Generator[JobEvent, None, None]:
        """Do what is to be done; a job."""
        while True:
            yield from self._save_all()
            with self._guard:
                if token.cancelled or not self._requests:
                    return
                request = self._requests.pop(0)
            try:
                yield from request()
            except NapariUnetError as error:
                yield Notice(str(error), "warning")

    # --- done on the worker ----------------------------------------------------------

    def look(self, facts: ImageFacts) -> Generator[JobEvent, None, None]:
        """Find an image of the viewer in the project, or among what has none."""
        print_ = self._print(facts)
        project = self.project
        if project is not None:
            image = self._find(project, facts)
            if image is not None:
                yield from self._recognise(project, facts, image)
                return
        if not self.is_named and print_:
            unsaved = find_unsaved(self.place, print_)
            if unsaved is not None:
                yield Recoverable(facts.key, unsaved)

    def open(self, folder: Path) -> Generator[JobEvent, None, None]:
        """Open a project in place of the one that is open."""
        project = Project.open(folder)
        self._take(project, is_named=self.place not in folder.parents)
        project.log("opened")
        yield ProjectOpened(project, self.is_named)

    def create(self, folder: Path) -> Generator[JobEvent, None, None]:
        """Make a project in a folder; what has none moves there."""
        old = self.project
        if old is None or self.is_named:
            project = Project.create(folder, **self.description)
            self._take(project, is_named=True)
        else:
            self._move(old, folder)
        assert self.project is not None
        yield ProjectOpened(self.project, True)

    def close(self) -> Generator[JobEvent, None, None]:
        """Close the project."""
        self.shut()
        yield ProjectClosed()

    def describe(self, changes: dict[str, Any]) -> Generator[JobEvent, None, None]:
        """Change fields of the record, now or when a project begins."""
        yield from ()
        self.description.update(changes)
        if self.project is not None:
            differing = {
                name: value
                for name, value in changes.items()
                if getattr(self.project.record, name) != value
            }
            if differing:
                self.project.change(**differing)

    def keep_round(
        self, pending: Path, facts: dict[str, Any]
    ) -> Generator[JobEvent, None, None]:
        """Make a model that was written to a file the newest round."""
        yield from ()
        project = self.project
        if project is None:
            pending.unlink(missing_ok=True)
            return
        new = project.rounds.add(lambda path: move_file(pending, path), facts)
        project.log(f"round {new.number}: {new.chosen}, {new.step} steps")
        project.rounds.prune(project.record.max_rounds_mb * 1_000_000)

    def shut(self) -> None:
        """Close the project, with no more ado."""
        project, self.project, self.is_named = self.project, None, False
        self._names, self._numbers = {}, {}
        if project is not None:
            project.close()

    def _save_all(self) -> Generator[JobEvent, None, None]:
        while True:
            with self._guard:
                place, work = next(iter(self._works.items()), (None, None))
            if place is None or work is None:
                return
            yield from self._save(work)
            with self._guard:
                if self._works.get(place) is work:  # else a newer one has come
                    del self._works[place]

    def _save(self, work: Work) -> Generator[JobEvent, None, None]:
        facts = work.facts
        project = self.project
        if project is None:
            forget_old(self.place)
            project = new_unsaved(self.place, facts.name)
            self._take(project, is_named=False)
            with suppress(NapariUnetError):
                project.change(**self.description)
        number = self._numbers.get(facts.key)
        if number is None:
            number = self._numbers[facts.key] = self._add(project, facts).number
        elif not project.record.image(number).fingerprint:
            project.change_image(number, fingerprint=self._print(facts))
        name = self._names.get(work.layer_id)
        if name is None:
            name = self._names[work.layer_id] = _free_name(project, number, work.mode)
        saved = project.save_annotation(
            number,
            work.mode,
            work.labels,
            layer=name,
            complete=work.complete,
            outlines=work.outlines,
            is_correction=work.is_correction,
        )
        if saved.is_restored:
            text = (
                f"{project.annotations.path} was deleted or replaced from outside: it "
                "was written anew, with all that was in it."
            )
            project.log(text)
            yield Notice(text, "warning")
        yield Saved(facts.key, number, time.monotonic())

    def _take(self, project: Project, *, is_named: bool) -> None:
        self.shut()
        self.project, self.is_named = project, is_named

    def _move(self, old: Project, folder: Path) -> None:
        """Give a project without a name its own folder; it stays the same project."""
        names, numbers, source = self._names, self._numbers, old.folder
        self.shut()
        try:
            if folder.exists():  # an empty one, as the file dialog makes it
                folder.rmdir()
            shutil.move(source, folder)
        except OSError as error:
            self._take(Project.open(source), is_named=False)
            self._names, self._numbers = names, numbers
            raise ProjectError(str(file_error(error, folder))) from error
        project = Project.open(folder)
        name = folder.name.removesuffix("".join(folder.suffixes)) or folder.name
        project.change(name=name)
        for image in project.record.images:  # seen from here, they are elsewhere
            if image.absolute_path is not None and not image.is_copy:
                where = describe_file(Path(image.absolute_path), project.folder)
                project.change_image(image.number, path=where["path"])
        self._take(project, is_named=True)
        self._names, self._numbers = names, numbers

    def _add(self, project: Project, facts: ImageFacts) -> ProjectImage:
        """Return the image of the project; a new one where it is not in it yet."""
        print_ = self._print(facts)
        seen: dict[str, Any] = {
            "fingerprint": print_,
            "axes": facts.axes,
            "shape": facts.shape,
            "scale": facts.scale,
            "unit": facts.unit,
            "channels": facts.channels,
        }
        known = self._find(project, facts)
        if known is not None:
            seen["fingerprint"] = print_ or known.fingerprint
            return project.change_image(known.number, is_removed=False, **seen)
        return project.add_image(
            facts.path, name=facts.name, layer=facts.name, reader=facts.reader, **seen
        )

    def _find(self, project: Project, facts: ImageFacts) -> ProjectImage | None:
        others = facts.others & self._numbers.keys()
        taken = {self._numbers[key] for key in others}
        return project.find_image(facts.path, self._print(facts), facts.name, taken)

    def _recognise(
        self, project: Project, facts: ImageFacts, image: ProjectImage
    ) -> Generator[JobEvent, None, None]:
        self._numbers[facts.key] = image.number
        painted: dict[AnnotationMode, tuple[str, TiledLabels, list[Outline]]] = {}
        for mode, name in image.annotation.items():
            labels = project.annotation(image.number, mode)
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
            painted[mode] = name, labels, project.outlines(image.number, mode)
        if image.fingerprint and self._print(facts) not in ("", image.fingerprint):
            yield Notice(
                f"The image '{image.name}' was changed since it was painted on: see "
                "whether your strokes still fit.",
                "warning",
            )
        yield Recognised(facts.key, image.number, painted)

    def _print(self, facts: ImageFacts) -> str:
        """Return the fingerprint of an image, computed once; "" while unreadable."""
        if facts.key not in self._prints:
            try:
                stack = PlaneStack(facts.pixels, facts.axes)
                self._prints[facts.key] = fingerprint(stack)
            except (FileError, MemoryError):
                return ""
        return self._prints[facts.key]


def _free_name(project: Project, number: int, mode: AnnotationMode) -> str:
    """Return a name for a new annotation: none that was painted is written over."""
    name, count = str(mode), 1
    while True:
        there = project.annotations.load(number, name)
        if there is None or not there.any():
            return name
        count += 1
        name = f"{mode} {count}"
