"""A project: a folder with images by reference, annotations, settings and rounds."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_unet.annotation.tiled import TiledLabels
from napari_unet.config import AnnotationMode
from napari_unet.errors import ProjectError
from napari_unet.project._complete import load_complete, save_complete
from napari_unet.project._folder import (
    ANNOTATIONS,
    RECORD,
    SUFFIX,
    begin,
    check_free,
    check_project,
    is_project,
    refuse_links,
    require_annotations,
    sweep,
    write_log,
)
from napari_unet.project._record_file import RecordFile
from napari_unet.project.annotations import AnnotationStore, Outline, Saved
from napari_unet.project.lock import ProjectLock
from napari_unet.project.record import ProjectImage, ProjectRecord
from napari_unet.project.references import (
    copy_into,
    describe_file,
    find_image,
    is_changed,
    locate,
    same_image,
)
from napari_unet.project.rounds import Rounds

__all__ = ["Project"]


class Project:
    """An open project folder. May be used from any thread, one at a time.

    Everything that is changed is on the disk when the call returns.

    Attributes
    ----------
    folder
        Where it is.
    record
        What it says of itself; change it with :meth:`change` and the like.
    annotations
        What was painted.
    rounds
        The models of each round.
    is_read_only
        Whether it was opened to be read only.
    """

    def __init__(self, folder: Path, *, is_read_only: bool) -> None:
        self.folder = folder
        self.is_read_only = is_read_only
        self._guard = threading.RLock()
        if not is_read_only:
            refuse_links(folder)
        self._lock = None if is_read_only else ProjectLock(folder)
        if self._lock is not None:
            self._lock.take()
        try:
            self._file = RecordFile(folder / RECORD)
            self.record = self._file.read()
            self.rounds = Rounds(folder / "rounds")
            require_annotations(folder / ANNOTATIONS, self.record)
            self.annotations = AnnotationStore(
                folder / ANNOTATIONS, is_read_only=is_read_only
            )
            if not is_read_only:
                sweep(folder)
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    @classmethod
    def create(
        cls, folder: str | os.PathLike[str], name: str | None = None, **facts: Any
    ) -> Project:
        """Make a project in a folder that is new or empty, and open it.

        Parameters
        ----------
        folder
            By custom with the suffix `SUFFIX`.
        name
            What people call it; None: the folder's name.
        facts
            Other fields of `ProjectRecord`.

        Raises
        ------
        ProjectError
            If the folder holds something, or cannot be made.
        """
        folder = Path(folder).absolute()
        check_free(folder)
        record = ProjectRecord(
            name=name or folder.name.removesuffix(SUFFIX) or "project",
            created=datetime.now().astimezone(),
            **facts,
        )
        begin(folder, record)
        project = cls(folder, is_read_only=False)
        project.log(f"made the project '{record.name}'")
        return project

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], *, is_read_only: bool = False
    ) -> Project:
        """Open a project.

        Raises
        ------
        ProjectError
            If it is none, damaged, of a newer program, or open elsewhere.
        """
        folder = Path(folder).absolute()
        check_project(folder)
        return cls(folder, is_read_only=is_read_only)

    def close(self) -> None:
        """Let go of the folder; nothing has to be saved."""
        with self._guard:
            self.rounds.forget_aside()
            self.annotations.close()
            if self._lock is not None:
                self._lock.release()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what it says of itself ----------------------------------------------------

    @property
    def images(self) -> tuple[ProjectImage, ...]:
        """Its images, but for those that were taken out."""
        return self.record.present

    @property
    def is_there(self) -> bool:
        """Whether its folder was not deleted meanwhile."""
        return is_project(self.folder)

    def change(self, **changes: Any) -> None:
        """Change fields of the record, such as ``learner`` or ``classes``."""
        with self._guard:
            self._write(self.record.model_copy(update=changes))

    def log(self, text: str) -> None:
        """Note a line in the log, with the time; where that fails, nothing is lost."""
        if not self.is_read_only:
            with self._guard:
                write_log(self.folder, text)

    # --- images --------------------------------------------------------------------

    def add_image(
        self,
        path: str | os.PathLike[str] | None,
        *,
        copy: bool = False,
        **facts: Any,
    ) -> ProjectImage:
        """Add an image; one that was taken out before comes back.

        Parameters
        ----------
        path
            Its file, or its address; None: it is in none, and known by its fingerprint.
        copy
            Copy the file into the project folder.
        facts
            Other fields of `ProjectImage`, such as ``name``.

        Raises
        ------
        ProjectError
            If it cannot be copied, or the project not be written.
        """
        with self._guard:
            where: dict[str, Any] = {}
            if path is not None:
                file = copy_into(Path(path), self.folder) if copy else path
                where = describe_file(file, self.folder)
                where["is_copy"] = copy
            known = same_image(self.record, where.get("absolute_path"), facts)
            if known is not None:
                return self.change_image(known.number, is_removed=False, **where)
            facts = {"name": "image" if path is None else Path(path).name, **facts}
            number = 1 + max((i.number for i in self.record.images), default=0)
            image = ProjectImage(number=number, **where, **facts)
            self._write(self.record.with_images(image))
            self.log(f"added the image {number}, '{image.name}'")
            return image

    def change_image(self, number: int, **changes: Any) -> ProjectImage:
        """Change what is written about an image."""
        self.change_images({number: changes})
        return self.record.image(number)

    def change_images(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """Change what is written about images, by their numbers; all or nothing.

        Raises
        ------
        ProjectError
            If there is no such image, or the project cannot be written.
        """
        with self._guard:
            changed = []
            for number, fields in changes.items():
                before = self.record.image(number)
                image = ProjectImage(**{**dict(before), **fields})
                if image != before:
                    changed.append(image)
            if changed:
                self._write(self.record.with_images(*changed))

    def remove_images(self, *numbers: int) -> None:
        """Take images out of the list; `restore_images` brings them back."""
        self.change_images({number: {"is_removed": True} for number in numbers})
        self.log(f"took out {_listed(numbers)}")

    def restore_images(self, *numbers: int) -> None:
        """Bring back images that were taken out."""
        self.change_images({number: {"is_removed": False} for number in numbers})
        self.log(f"brought back {_listed(numbers)}")

    def find(self, number: int) -> Path:
        """Return the file of an image.

        Raises
        ------
        ProjectError
            If it was in no file, or is not where it was.
        """
        return locate(self.record.image(number), self.folder)

    def relocate(self, number: int, path: str | os.PathLike[str]) -> ProjectImage:
        """Note that an image's file is somewhere else now."""
        return self.change_image(number, **describe_file(path, self.folder))

    def is_changed(self, number: int) -> bool:
        """Whether an image's file was changed since it was read, or is gone."""
        return is_changed(self.record.image(number), self.folder)

    def find_image(
        self,
        path: str | os.PathLike[str] | None,
        fingerprint: str,
        layer: str | None,
        taken: Collection[int] = (),
    ) -> ProjectImage | None:
        """Return the image of the project that this is, by its file or its pixels.

        ``taken`` are the numbers of images that are known to be others.
        """
        return find_image(self.record, self.folder, path, fingerprint, layer, taken)

    # --- what is painted -----------------------------------------------------------

    def save_annotation(
        self,
        number: int,
        mode: AnnotationMode,
        labels: TiledLabels,
        *,
        layer: str | None = None,
        complete: TiledLabels | None = None,
        outlines: Sequence[Outline] = (),
        is_correction: bool = False,
    ) -> Saved:
        """Keep what is painted on an image; only what changed is written.

        Parameters
        ----------
        number
            The image.
        mode
            What the labels are.
        labels
            The whole annotation.
        layer
            Name in the store, where an image has several annotations of a mode; None:
            the mode's.
        complete
            Where the annotation is complete; None: nowhere.
        outlines
            The shapes that ``complete`` was drawn with.
        is_correction
            Whether a prediction was there to be corrected.

        Raises
        ------
        ProjectError
            If it cannot be written; what was kept before stays.
        """
        name = layer or mode
        with self._guard:
            saved = self.annotations.save(number, name, labels)
            save_complete(self.annotations, number, name, complete, outlines)
            if not self.is_there:  # deleted with the folder; the labels are back
                self._write(self.record)
            image = self.record.image(number)
            annotation = {**image.annotation, mode: name}
            if not labels.any() and mode in image.annotation and saved.n_tiles == 0:
                annotation = dict(image.annotation)
            self.change_image(
                number,
                annotation=annotation,
                is_corrected=image.is_corrected
                or (is_correction and saved.n_tiles > 0),
            )
            return saved

    def annotation(self, number: int, mode: AnnotationMode) -> TiledLabels | None:
        """Return what is painted on an image in a mode; None: nothing."""
        return self.annotations.load(number, self._layer(number, mode))

    def complete(self, number: int, mode: AnnotationMode) -> TiledLabels | None:
        """Return where the annotation of an image is complete; None: nowhere."""
        return load_complete(self.annotations, number, self._layer(number, mode))

    def outlines(self, number: int, mode: AnnotationMode) -> list[Outline]:
        """Return the shapes that complete regions were drawn with."""
        return self.annotations.load_outlines(number, self._layer(number, mode))

    def painted(
        self, mode: AnnotationMode | None = None
    ) -> Iterator[tuple[ProjectImage, TiledLabels]]:
        """Yield the images with something painted in a mode (None: the project's)."""
        for image in self.images:
            labels = self.annotation(image.number, mode or self.record.mode)
            if labels is not None and labels.any():
                yield image, labels

    # --- the folder ------------------------------------------------------------------

    @property
    def training_path(self) -> Path:
        """The file from which training goes on exactly; maybe not there."""
        return self.folder / "training.safetensors"

    @property
    def model_in_use(self) -> Path | None:
        """The file that learning goes on from; None: there is none.

        The model of the round that was gone back to; else the last training, exactly.
        """
        number = self.record.round_in_use
        if number is not None and number in self.rounds:
            return self.rounds.model(number)
        return self.training_path if self.training_path.exists() else None

    def path(self, *parts: str) -> Path:
        """Return a path in the folder."""
        return self.folder.joinpath(*parts)

    def _layer(self, number: int, mode: AnnotationMode) -> str:
        """Return the layer of a mode; of a first stroke that was cut off, as well."""
        return self.record.image(number).annotation.get(mode, mode)

    def _write(self, record: ProjectRecord) -> None:
        if self.is_read_only:
            raise ProjectError(
                f"the project {self.folder} was opened to be read only: nothing is "
                "changed in it"
            )
        other = self._file.keep_foreign()
        if other is not None:
            self.log(f"{RECORD} was changed from outside: kept as {other.name}")
        self._file.write(record)
        self.record = record


def _listed(numbers: Sequence[int]) -> str:
    what = "image" if len(numbers) == 1 else "images"
    return f"the {what} {', '.join(map(str, numbers))}"
