"""The worker's side of a project: everything that touches its folder.

Requests are done in their order, on one thread. What is to be saved comes first, is
done also when the job is asked to stop, and stays in the list until it is on the disk.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_unet.config import AnnotationMode
from napari_unet.core.atomic import file_error
from napari_unet.errors import NapariUnetError, ProjectError
from napari_unet.jobs import CancelToken, JobEvent, Notice
from napari_unet.project import SUFFIX, Project
from napari_unet.project.recovery import find_unsaved, forget_old, new_unsaved
from napari_unet.project.references import describe_file, move_file
from napari_unet.widgets._desk_events import (
    ImageFacts,
    ProjectBegun,
    ProjectClosed,
    ProjectOpened,
    Recognised,
    Recoverable,
    Saved,
    Work,
)
from napari_unet.widgets._desk_known import KnownImages

__all__ = [
    "Desk",
    "DeskJob",
    "ImageFacts",
    "ProjectBegun",
    "ProjectClosed",
    "ProjectOpened",
    "Recognised",
    "Recoverable",
    "Saved",
    "Work",
]

Request = Callable[[], Generator[JobEvent, None, None]]
DeskJob = Callable[[Project], Generator[JobEvent, None, None]]
"""What is done with the open project, on the worker."""


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
        self._requests: list[Request] = []
        self._later: list[Request] = []
        self._known = KnownImages()
        self._moved: dict[Project, Path] = {}  # where projects are that got a name

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
            return not (self._works or self._requests or self._later)

    def number_of(self, key: str) -> int | None:
        """Return the number that an image of the viewer has in the project."""
        project = self.project
        return None if project is None else self._known.numbers(project).get(key)

    def expect(self, project: Project, key: str, number: int) -> None:
        """Note which image of a project an image of the viewer is that comes now."""
        self._known.numbers(project)[key] = number

    def save(self, work: Work) -> None:
        """Keep what is painted; the newest of a layer counts."""
        with self._guard:
            self._works[work.facts.key, work.layer_id] = work

    def bind(self, project: Project, layer_id: str, name: str) -> None:
        """Note that a layer of the viewer holds what a store keeps under a name."""
        self._known.names(project)[layer_id] = name

    def ask(self, request: Request, *, is_urgent: bool = True) -> None:
        """Do one of the methods below, with its arguments, on the worker.

        What is not urgent waits until nothing else is to be done.
        """
        with self._guard:
            (self._requests if is_urgent else self._later).append(request)

    def run(self, token: CancelToken) -> Generator[JobEvent, None, None]:
        """Do what is to be done; a job.

        What cannot be saved keeps nothing else from being done; why is raised last.
        """
        failures: dict[int, tuple[Work, Exception]] = {}
        while True:
            yield from self._save_all(failures)
            with self._guard:
                waiting = self._requests or self._later
                if token.cancelled or not waiting:
                    break
                request = waiting.pop(0)
            try:
                yield from request()
            except NapariUnetError as error:
                yield Notice(str(error), "warning")
        with self._guard:
            left = [id(work) for work in self._works.values()]
        for number, (_, failure) in failures.items():
            if number in left:
                raise failure

    # --- done on the worker ----------------------------------------------------------

    def on(self, project: Project, job: DeskJob) -> Generator[JobEvent, None, None]:
        """Do a job with a project, if that is still the one that is open."""
        if self.project is project:
            yield from job(project)

    def wherever(
        self, project: Project, job: DeskJob
    ) -> Generator[JobEvent, None, None]:
        """Do a job with a project, also where it was left or got a name meanwhile."""
        with self._opened(project) as mine:
            yield from job(mine)

    def look(self, facts: ImageFacts) -> Generator[JobEvent, None, None]:
        """Find an image of the viewer in the project, or among what has none."""
        print_ = self._known.print_of(facts)
        project = self.project
        if project is not None:
            image = self._known.find(project, facts)
            if image is not None:
                yield from self._known.recognise(project, facts, image)
                return
        if not self.is_named and print_:
            unsaved = find_unsaved(self.place, print_)
            if unsaved is not None:
                yield Recoverable(facts.key, unsaved)

    def open(self, folder: Path) -> Generator[JobEvent, None, None]:
        """Open a project in place of the one that is open."""
        folder = folder.absolute()
        if self.project is not None and self.project.folder == folder:
            yield ProjectOpened(self.project, self.is_named)
            return
        yield from self._leave()
        project = Project.open(folder)
        self._take(project, is_named=self.place not in folder.parents)
        project.log("opened")
        yield ProjectOpened(project, self.is_named)

    def create(self, folder: Path) -> Generator[JobEvent, None, None]:
        """Make a project in a folder; what has none moves there."""
        yield from self._leave()
        old = self.project
        if old is None or self.is_named:
            project = Project.create(folder, **self.description)
            self._take(project, is_named=True)
        else:
            self._move(old, folder)
        assert self.project is not None
        yield ProjectOpened(self.project, True, is_same_work=True)

    def _leave(self) -> Generator[JobEvent, None, None]:
        """Save all before a project is left.

        Raises
        ------
        ProjectError
            If that cannot be done.
        """
        failures: dict[int, tuple[Work, Exception]] = {}
        yield from self._save_all(failures)
        for _, error in failures.values():
            raise ProjectError(f"the project is not left: {error}") from error

    def close(self) -> Generator[JobEvent, None, None]:
        """Close the project."""
        yield from self._leave()
        self.shut()
        yield ProjectClosed()

    def describe(
        self, project: Project, changes: dict[str, Any]
    ) -> Generator[JobEvent, None, None]:
        """Change fields of a project's record, where they differ."""
        yield from ()
        with self._opened(project) as mine:
            differing = {
                name: value
                for name, value in changes.items()
                if getattr(mine.record, name) != value
            }
            if differing:
                mine.change(**differing)

    def keep_round(
        self, project: Project, pending: Path, facts: dict[str, Any]
    ) -> Generator[JobEvent, None, None]:
        """Make a model that was written to a file the newest round of its project."""
        yield from ()
        with self._opened(project) as mine:
            new = mine.rounds.add(lambda path: move_file(pending, path), facts)
            mine.log(f"round {new.number}: {new.chosen}, {new.step} steps")
            mine.rounds.prune(mine.record.max_rounds_mb * 1_000_000)

    def shut(self) -> None:
        """Close the project, with no more ado."""
        project, self.project, self.is_named = self.project, None, False
        with self._guard:
            self._later.clear()
        if project is not None:
            project.close()

    @contextmanager
    def _opened(self, project: Project) -> Iterator[Project]:
        """Give a project; one that was left meanwhile is opened once more."""
        folder = self._moved.get(project, project.folder)
        if self.project is not None and self.project.folder == folder:
            yield self.project
        else:
            with Project.open(folder) as again:
                yield again

    def _save_all(
        self, failures: dict[int, tuple[Work, Exception]]
    ) -> Generator[JobEvent, None, None]:
        """Save what is to be saved; note what failed, and do not try that again."""
        while True:
            with self._guard:
                todo = [w for w in self._works.items() if id(w[1]) not in failures]
            if not todo:
                return
            place, work = todo[0]
            try:
                yield from self._save(work)
            except Exception as error:  # whatever an image's reader raises
                failures[id(work)] = work, error
                continue
            with self._guard:
                if self._works.get(place) is work:  # else a newer one has come
                    del self._works[place]

    def _save(self, work: Work) -> Generator[JobEvent, None, None]:
        if self.project is None and work.project is None:
            forget_old(self.place)
            begun = new_unsaved(self.place, work.facts.name)
            self._take(begun, is_named=False)
            with suppress(NapariUnetError):
                begun.change(**self.description)
            yield ProjectBegun(begun)
        project = work.project or self.project
        assert project is not None
        with self._opened(project) as mine:
            yield from self._save_into(mine, work)

    def _save_into(
        self, project: Project, work: Work
    ) -> Generator[JobEvent, None, None]:
        facts, names = work.facts, self._known.names(project)
        number = self._known.add(project, facts)
        name = names.get(work.layer_id)
        if name is None:
            name = names[work.layer_id] = _free_name(project, number, work.mode)
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
        if project is not self.project:
            self.shut()
        self.project, self.is_named = project, is_named

    def _move(self, old: Project, folder: Path) -> None:
        """Give a project without a name its own folder; it stays the same project."""
        source = old.folder
        self.shut()
        try:
            if folder.exists():  # an empty one, as the file dialog makes it
                folder.rmdir()
            shutil.move(source, folder)
        except OSError as error:
            self._take(Project.open(source), is_named=False)
            raise ProjectError(str(file_error(error, folder))) from error
        project = Project.open(folder)
        project.change(name=folder.name.removesuffix(SUFFIX) or folder.name)
        for image in project.record.images:  # seen from here, they are elsewhere
            if image.absolute_path is not None and not image.is_copy:
                where = describe_file(image.absolute_path, project.folder)
                project.change_image(image.number, path=where["path"])
        self._known.move(source, project.folder)
        self._moved[old] = project.folder
        self._take(project, is_named=True)


def _free_name(project: Project, number: int, mode: AnnotationMode) -> str:
    """Return a name for a new annotation: none that was painted is written over."""
    name, count = str(mode), 1
    while True:
        there = project.annotations.load(number, name)
        if there is None or not there.any():
            return name
        count += 1
        name = f"{mode} {count}"
