"""What lies in a project folder, and what must not."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from napari_unet.core.atomic import file_error, replace_file
from napari_unet.errors import NapariUnetError, ProjectError
from napari_unet.project._database import journals
from napari_unet.project.record import ProjectRecord, write_record

__all__ = [
    "ANNOTATIONS",
    "LOG",
    "PREDICTIONS",
    "README",
    "RECORD",
    "SUFFIX",
    "THUMBNAILS",
    "begin",
    "check_free",
    "check_project",
    "is_project",
    "predictions_folder",
    "refuse_links",
    "require_annotations",
    "sweep",
    "write_log",
]

SUFFIX = ".unet-project"
"""How the name of a project folder ends, by custom."""

RECORD = "project.json"
ANNOTATIONS = "annotations.sqlite"
LOG = "log.txt"
PREDICTIONS = "predictions"
THUMBNAILS = "thumbnails"

_MAX_LOG_BYTES = 2**22
_FOLDERS = ("rounds", "images", PREDICTIONS, THUMBNAILS)

_TEMPORARY = re.compile(r"^\..+\.[0-9a-f]{8}(\.\w+)?~?$")
_PARTIAL = re.compile(r"^\..+\.part$")  # of a copy of an image, a file or a folder

README = """\
This folder is a project of napari-unet, a plugin of napari (https://napari.org).
Open it there: Plugins > U-Net > Project.

project.json        the images (where they are), classes and settings
annotations.sqlite  what was painted: compressed blocks of 256 x 256 px
training.safetensors  from which training goes on where it ended
rounds/             the model of each round (.safetensors), and rounds.json
log.txt             what was done when
corrections.jsonl   what predictions were before strokes corrected them, a line each
interactions.jsonl  when somebody painted, learned and predicted, where that is wanted
images/             copies of images, where they were asked for
predictions/        labels of images, where they were asked for
thumbnails/         small pictures of the images, made anew where they are missing

Without napari-unet, this Python script writes what was painted as TIFF files:

    import json, sqlite3, zlib, numpy as np, tifffile

    db = sqlite3.connect("annotations.sqlite")
    for image, layer, shape, dtype, _ in db.execute("select * from layers").fetchall():
        labels = np.zeros(json.loads(shape), dtype)
        planes = labels.reshape(-1, *labels.shape[-2:])
        for p, y, x, pixels in db.execute(
            "select plane, tile_row, tile_column, pixels"
            " from tiles where image = ? and layer = ?",
            (image, layer),
        ):
            part = planes[p, y * 256 : y * 256 + 256, x * 256 : x * 256 + 256]
            raw = zlib.decompress(pixels)
            kind = f"u{len(raw) // part.size}"
            part[:] = np.frombuffer(raw, kind).reshape(part.shape)
        tifffile.imwrite(f"{image}-{layer}.tif".replace(":", "-"), labels)
"""


def is_project(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a project; one that may not be looked into is none."""
    try:
        return (Path(folder) / RECORD).is_file()
    except OSError:
        return False


def begin(folder: Path, record: ProjectRecord) -> None:
    """Make a project's folder; nothing of it where that fails.

    Raises
    ------
    ProjectError
        If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(str(file_error(error, folder))) from error
    try:
        write_record(folder / RECORD, record)
        with replace_file(folder / "README.txt") as readme:
            readme.write_text(README, encoding="utf-8")
    except NapariUnetError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ProjectError(str(error)) from error


def check_free(folder: str | os.PathLike[str]) -> None:
    """Raise a `ProjectError` unless a project could be made in a folder."""
    folder = Path(folder).absolute()
    if is_project(folder):
        raise ProjectError(f"{folder} is a project already: open it instead")
    try:
        is_taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise ProjectError(str(file_error(error, folder))) from error
    if is_taken:
        raise ProjectError(f"{folder} is not empty: give the name of a new folder")


def check_project(folder: Path) -> None:
    """Raise a `ProjectError` that says what is missing unless a folder is a project."""
    try:
        if (folder / RECORD).is_file():
            return
        lacks = f"has no {RECORD}" if folder.is_dir() else "is not there"
    except OSError as error:
        lacks = f"cannot be looked into ({error.strerror or error})"
    raise ProjectError(f"{folder} is no project: it {lacks}")


def predictions_folder(folder: Path) -> Path:
    """Return where labels of a project's images go; made where it is missing.

    Needs no lock: nothing that was painted or learned is there.

    Raises
    ------
    ProjectError
        If it cannot be made, or there are links out of the project.
    """
    place = folder / PREDICTIONS
    refuse_links(folder)
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise ProjectError(str(file_error(error, place))) from error
    return place


def refuse_links(folder: Path) -> None:
    """Refuse a stranger's project that would have us write somewhere else.

    In ``images/``, links to images are nothing but references; hidden ones are refused.

    Raises
    ------
    ProjectError
        If there is such a link, or a folder cannot be looked into.
    """
    places = [folder, *(folder / name for name in _FOLDERS)]
    for place in places:
        try:
            if place.is_symlink() and place is not folder:
                raise _is_link(place)
            for path in place.iterdir():
                is_image = place.name == "images" and not path.name.startswith(".")
                if path.is_symlink() and not is_image:
                    raise _is_link(path)
        except FileNotFoundError:
            continue
        except NotADirectoryError as error:
            raise ProjectError(
                f"{place} is a file where a project has a folder: move it away"
            ) from error
        except ProjectError:
            raise
        except OSError as error:
            raise ProjectError(
                f"{place} cannot be looked into ({error.strerror or error}): give "
                "yourself the right to it"
            ) from error


def sweep(folder: Path) -> None:
    """Delete what a program that was killed left half-written."""
    for place in (folder, *(folder / name for name in _FOLDERS)):
        with suppress(OSError):
            for path in place.iterdir():
                if _TEMPORARY.match(path.name) and path.is_file():
                    path.unlink()
                elif place.name == "images" and _PARTIAL.match(path.name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_log(folder: Path, text: str) -> None:
    """Note a line in a project's log, with the time; where that fails, none."""
    path = folder / LOG
    with suppress(OSError):
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            os.replace(path, path.with_name(f"{LOG}~"))
        with open(path, "a", encoding="utf-8") as file:
            stamp = datetime.now().astimezone().isoformat(timespec="seconds")
            file.write(f"{stamp} {text}\n")


def _is_link(path: Path) -> ProjectError:
    return ProjectError(
        f"{path} is a link to another place, where a project would write: put the real "
        "file or folder there, or delete the link"
    )


def require_annotations(path: Path, record: ProjectRecord) -> None:
    """Refuse a project whose images are painted on, and whose annotations are gone.

    A new, empty file in their place would hide that they were lost.
    """
    n_painted = sum(bool(image.annotation) for image in record.images)
    is_gone = not path.exists() or path.stat().st_size == 0
    if n_painted and is_gone and not journals(path)[0].exists():
        raise ProjectError(
            f"{path} is gone, and {n_painted} images were painted on: put it back from "
            "a backup, or begin without it by 'napari-unet project rescue'"
        )
