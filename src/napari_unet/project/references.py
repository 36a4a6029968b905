"""Images by reference: what to write down of a file, and how to find it again."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_unet.core.atomic import file_error
from napari_unet.errors import ProjectError
from napari_unet.project.record import ProjectImage, ProjectRecord

__all__ = [
    "copy_into",
    "describe_file",
    "find_file",
    "find_image",
    "is_changed",
    "is_remote",
    "locate",
    "move_file",
    "same_image",
    "size_of",
]

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # C:// is a drive
_COPIED_BYTES = 2**22  # at once


def is_remote(place: str | os.PathLike[str] | None) -> bool:
    """Whether a place is an address, such as ``https://`` or ``s3://``, and no file.

    As text: a `Path` holds no address.
    """
    return isinstance(place, str) and _ADDRESS.match(place) is not None


def describe_file(path: str | os.PathLike[str], folder: Path) -> dict[str, Any]:
    """Return the fields of a `ProjectImage` that say where its file is."""
    if is_remote(path):
        nothing = {"n_bytes": None, "modified_s": None}
        return {"path": str(path), "absolute_path": str(path), **nothing}
    absolute = Path(os.path.abspath(path))
    try:
        relative = Path(os.path.relpath(absolute, folder)).as_posix()
    except ValueError:  # another drive of Windows
        relative = absolute.as_posix()
    facts: dict[str, Any] = {"path": relative, "absolute_path": absolute.as_posix()}
    try:
        facts["n_bytes"] = size_of(absolute)
        facts["modified_s"] = absolute.stat().st_mtime
    except OSError:
        facts["n_bytes"] = facts["modified_s"] = None
    return facts


def find_file(image: ProjectImage, folder: Path) -> Path | None:
    """Return where an image's file is: as seen from the project, or where it was.

    None where it is in neither place, at an address, or never was in a file.
    """
    if is_remote(image.path):
        return None
    places = []
    if image.path is not None:
        places.append(Path(os.path.normpath(folder / image.path)))
    if image.absolute_path is not None:
        places.append(Path(image.absolute_path))
    return next((place for place in places if os.path.exists(place)), None)


def locate(image: ProjectImage, folder: Path) -> Path:
    """Return where an image's file is.

    Raises
    ------
    ProjectError
        If it was in no file, is at an address, or is not where it was.
    """
    found = find_file(image, folder)
    if found is not None:
        return found
    if image.path is None:
        raise ProjectError(
            f"the image '{image.name}' was in no file: open it, and what was "
            "painted on it comes back"
        )
    place = image.absolute_path or image.path
    if is_remote(image.path):
        raise ProjectError(
            f"the image '{image.name}' is at {image.path}, which is no file: open that "
            "address in the viewer, and what was painted on it comes back; or download "
            "it, and say where the file is"
        )
    raise ProjectError(
        f"the image '{image.name}' is not at {place} any more: put it back "
        "there, or say where it is now"
    )


def find_image(
    record: ProjectRecord,
    folder: Path,
    path: str | os.PathLike[str] | None,
    fingerprint: str,
    layer: str | None,
    taken: Collection[int] = (),
) -> ProjectImage | None:
    """Return the image of a project that this is: by its file, else by its pixels.

    Equal pixels in another file are another image, such as an empty one of a series.
    ``taken`` are the numbers of images that are known to be others.
    """
    if path is not None:
        of_file = [i for i in record.images if _is_of(i, folder, path)]
        for image in of_file:
            if image.layer in (None, layer):
                return image
        for image in of_file:  # its layer has another name here
            is_alike = bool(fingerprint) and image.fingerprint == fingerprint
            if is_alike and image.number not in taken:
                return image
    alike = [
        image
        for image in record.images
        if fingerprint
        and image.fingerprint == fingerprint
        and image.number not in taken
        and (path is None or find_file(image, folder) is None)
    ]
    alike.sort(key=lambda image: image.name != layer)
    return next(iter(alike), None)


def same_image(
    record: ProjectRecord, path: str | None, facts: Mapping[str, Any]
) -> ProjectImage | None:
    """Return the image of the same file and layer; of no file, of the same pixels."""
    layer, fingerprint = facts.get("layer"), facts.get("fingerprint")
    for image in record.images:
        if path is None:
            is_same = bool(fingerprint) and image.fingerprint == fingerprint
            is_same = is_same and image.name == facts.get("name")
        else:
            is_same = image.absolute_path == path and image.layer == layer
        if is_same:
            return image
    return None


def is_changed(image: ProjectImage, folder: Path) -> bool:
    """Whether an image's file is another than was read, by size and time, or is gone.

    Of what is at an address, nobody looks.
    """
    if is_remote(image.path):
        return False
    path = find_file(image, folder)
    if path is None:
        return True
    if image.n_bytes is None or image.modified_s is None:
        return False
    try:
        found = size_of(path), path.stat().st_mtime
    except OSError:
        return True
    return found[0] != image.n_bytes or abs(found[1] - image.modified_s) > 2


def size_of(path: Path) -> int:
    """Return the bytes of a file; of a folder, such as a zarr, those right in it."""
    if path.is_dir():
        return sum(entry.stat().st_size for entry in path.iterdir() if entry.is_file())
    return path.stat().st_size


def copy_into(path: Path, folder: Path) -> Path:
    """Copy an image's file or folder into a project, under a free name.

    Raises
    ------
    ProjectError
        If there is not enough space, or it cannot be read or written.
    """
    images = folder / "images"
    target = images / path.name
    number = 1
    while os.path.lexists(target):
        number += 1
        target = images / f"{path.stem}-{number}{path.suffix}"
    # a name that nobody can have put a link at
    partial = target.with_name(f".{target.stem[:80]}.{secrets.token_hex(8)}.part")
    try:
        images.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, partial)
        else:
            _copy_file(path, partial)
        os.replace(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            partial.unlink()
        raise ProjectError(str(file_error(error, target))) from error
    return target


def move_file(source: Path, target: Path) -> None:
    """Move a file, also to another drive.

    Raises
    ------
    ProjectError
        If it is gone, or cannot be written.
    """
    try:
        shutil.move(source, target)
    except OSError as error:
        raise ProjectError(str(file_error(error, target))) from error


def _copy_file(path: Path, new: Path) -> None:
    """Copy a file to a new name; what is there, a link too, is never written to."""
    with open(path, "rb") as source, open(new, "xb") as target:
        shutil.copyfileobj(source, target, _COPIED_BYTES)
    shutil.copystat(path, new)


def _is_of(image: ProjectImage, folder: Path, path: str | os.PathLike[str]) -> bool:
    """Whether an image is in this file, there or not."""
    if is_remote(path) or is_remote(image.path):
        return image.path == path
    found = find_file(image, folder)
    if found is not None:
        return _is_same(found, Path(path))
    return image.absolute_path == Path(os.path.abspath(path)).as_posix()


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return Path(os.path.abspath(one)) == Path(os.path.abspath(other))
