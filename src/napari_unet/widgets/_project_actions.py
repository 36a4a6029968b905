"""What a person can do to the lists of a project, each with its undoing; no Qt."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari_unet.errors import ProjectError
from napari_unet.jobs import JobEvent
from napari_unet.project import Project, ProjectImage
from napari_unet.project.references import describe_file, find_file, is_remote
from napari_unet.widgets._project_rows import list_images, list_rounds

__all__ = [
    "Did",
    "add_images",
    "change_round",
    "delete_round",
    "image_files",
    "relocate",
    "remove_images",
    "set_done",
]

_Job = Callable[[Project], Generator[JobEvent, None, None]]

_SUFFIX = re.compile(
    r"\.(tiff?|png|jpe?g|bmp|gif|npy|zarr|lsm|czi|nd2|lif|ims|mrc|dv|oib|oif|svs|ndpi|stk)"
)
"""Of a folder, what is taken for an image; other files can be chosen one by one."""


@dataclass(frozen=True, eq=False)
class Did(JobEvent):
    """Something was done to the project, and how to undo it (None: it was undone)."""

    text: str
    undo: _Job | None


def image_files(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are, and of folders the images right in them, in order.

    A folder that is an image itself, such as a zarr, is one.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir() and not _is_image(path):
            entries = [p for p in path.iterdir() if not p.name.startswith(".")]
            images = filter(_is_image, entries)
            files += sorted(images, key=_natural)
        else:
            files.append(path)
    return files


def add_images(
    project: Project, paths: Sequence[Path]
) -> Generator[JobEvent, None, None]:
    """List images; they are not opened, and those that are there already stay.

    Raises
    ------
    ProjectError
        If there is none.
    """
    try:
        files = image_files(paths)
    except OSError as error:
        raise ProjectError(f"{error.filename} cannot be read: {error}") from error
    images = {image.number: image for image in project.record.images}
    by_path = {image.absolute_path: image for image in images.values()}
    before = {image.number for image in project.images}
    number, taken = max(images, default=0), []
    for file in files:
        where = describe_file(file, project.folder)
        known = by_path.get(where["absolute_path"])
        if known is None:
            number += 1
            known = ProjectImage(number=number, name=file.name, **where)
            by_path[known.absolute_path] = known
        images[known.number] = known.model_copy(update={"is_removed": False})
        taken.append(known.number)
    new = sorted(set(taken) - before)
    if not files:
        raise ProjectError(
            f"there is no image in {', '.join(map(str, paths))}: choose files"
        )
    if not new:
        yield Did("All of these are in the project already.", None)
        return
    project.change(images=tuple(images.values()))
    project.log(f"added {len(new)} images")
    yield Did(f"Added {_n(new)}.", partial(_take_out, numbers=new))
    yield from list_images(project)


def remove_images(
    project: Project, numbers: Sequence[int]
) -> Generator[JobEvent, None, None]:
    """Take images out of the list; files and strokes stay."""
    names = _names(project, numbers)
    project.remove_images(*numbers)
    yield Did(f"Took {names} out of the list.", partial(_restore, numbers=numbers))
    yield from list_images(project)


def set_done(
    project: Project, numbers: Sequence[int], is_done: bool
) -> Generator[JobEvent, None, None]:
    """Say that images are done, or that they are not."""
    before = {n: project.record.image(n).is_done for n in numbers}
    project.change_images({number: {"is_done": is_done} for number in numbers})
    done = "done" if is_done else "not done"
    undo = partial(
        _change_images, changes={n: {"is_done": b} for n, b in before.items()}
    )
    yield Did(f"{_names(project, numbers)}: {done}.", undo)
    yield from list_images(project)


def relocate(
    project: Project, number: int, path: Path
) -> Generator[JobEvent, None, None]:
    """Say where the file of an image is now; others beside it are found too."""
    fields = ("path", "absolute_path", "n_bytes", "modified_s")
    image = project.record.image(number)
    before = {number: {name: getattr(image, name) for name in fields}}
    after = {number: describe_file(path, project.folder)}
    for other in project.images:
        if other.number == number or other.absolute_path is None:
            continue
        if is_remote(other.path) or find_file(other, project.folder) is not None:
            continue
        beside = path.parent / Path(other.absolute_path).name
        if beside.exists():
            before[other.number] = {name: getattr(other, name) for name in fields}
            after[other.number] = describe_file(beside, project.folder)
    project.change_images(after)
    more = f", and {_n(list(before)[1:])} beside it" if len(before) > 1 else ""
    undo = partial(_change_images, changes=before)
    yield Did(f"Found '{image.name}'{more}.", undo)
    yield from list_images(project)


def delete_round(project: Project, number: int) -> Generator[JobEvent, None, None]:
    """Delete a round; its model is kept aside until the project closes."""
    project.rounds.set_aside(number)
    project.log(f"deleted the round {number}")
    yield Did(f"Deleted round {number}.", partial(_bring_back_round, number=number))
    yield from list_rounds(project)


def change_round(
    project: Project, number: int, **changes: Any
) -> Generator[JobEvent, None, None]:
    """Pin a round, or write a note to it."""
    kept = project.rounds.get(number)
    before = {name: getattr(kept, name) for name in changes}
    project.rounds.change(number, **changes)
    if "is_pinned" in changes:
        text = "will be kept" if changes["is_pinned"] else "may go when space is short"
    else:
        text = "has a note"
    undo = partial(_change_round_back, number=number, changes=before)
    yield Did(f"Round {number} {text}.", undo)
    yield from list_rounds(project)


# --- undoing ------------------------------------------------------------------------


def _take_out(
    project: Project, numbers: Sequence[int]
) -> Generator[JobEvent, None, None]:
    project.remove_images(*numbers)
    yield Did(f"Took {_n(numbers)} out again.", None)
    yield from list_images(project)


def _restore(
    project: Project, numbers: Sequence[int]
) -> Generator[JobEvent, None, None]:
    project.restore_images(*numbers)
    yield Did(f"{_names(project, numbers)}: back in the list.", None)
    yield from list_images(project)


def _change_images(
    project: Project, changes: dict[int, dict[str, Any]]
) -> Generator[JobEvent, None, None]:
    project.change_images(changes)
    yield Did(f"{_names(project, list(changes))}: as before.", None)
    yield from list_images(project)


def _bring_back_round(project: Project, number: int) -> Generator[JobEvent, None, None]:
    project.rounds.bring_back(number)
    yield Did(f"Round {number} is back.", None)
    yield from list_rounds(project)


def _change_round_back(
    project: Project, number: int, changes: dict[str, Any]
) -> Generator[JobEvent, None, None]:
    project.rounds.change(number, **changes)
    yield Did(f"Round {number}: as before.", None)
    yield from list_rounds(project)


# --- words --------------------------------------------------------------------------


def _n(numbers: Sequence[int]) -> str:
    return "1 image" if len(numbers) == 1 else f"{len(numbers):,} images"


def _names(project: Project, numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        with suppress(ProjectError):
            return f"'{project.record.image(numbers[0]).name}'"
    return _n(numbers)


def _is_image(path: Path) -> bool:
    return _SUFFIX.fullmatch(path.suffix.lower()) is not None


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts image2 before image10."""
    parts = re.split(r"(\d+)", path.name.casefold())
    return [(int(p), "") if p.isdigit() else (0, p) for p in parts]
